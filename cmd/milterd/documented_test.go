package main

import (
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// TestDocumented wants every command and every flag in docs/commands.md: a flag in the
// section that names its command, those of all commands at the top.
func TestDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/commands.md")
	if err != nil {
		t.Fatal(err)
	}
	sections := strings.Split(string(text), "\n## ")
	everywhere := map[string]bool{}
	for _, flag := range regexp.MustCompile(`--[a-z0-9-]+`).FindAllString(sections[0], -1) {
		everywhere[flag] = true
	}
	parser, err := kong.New(new(cli), kong.Name("milterd"), kong.Writers(io.Discard, io.Discard))
	if err != nil {
		t.Fatal(err)
	}
	commands := 0
	for _, leaf := range parser.Model.Leaves(true) {
		commands++
		path := strings.TrimPrefix(leaf.FullPath(), "milterd ")
		section := ""
		for _, s := range sections[1:] {
			heading, _, _ := strings.Cut(s, "\n")
			if names(heading, path) {
				section += s
			}
		}
		if section == "" {
			t.Errorf("docs/commands.md has no heading for %s", path)
			continue
		}
		for _, flags := range leaf.AllFlags(true) {
			for _, flag := range flags {
				name := "--" + flag.Name
				if !everywhere[name] && !regexp.MustCompile(regexp.QuoteMeta(name)+`\b`).MatchString(section) {
					t.Errorf("docs/commands.md does not speak of %s %s", path, name)
				}
			}
		}
	}
	if commands < 25 {
		t.Errorf("only %d commands", commands)
	}
}

// names reports whether a heading is that of a command: "milterd rules" of all rules
// commands, "milterd dkim genkey, dns" of these two.
func names(heading, path string) bool {
	group, name, _ := strings.Cut(path, " ")
	of, list, _ := strings.Cut(strings.TrimPrefix(heading, "milterd "), " ")
	return of == group && (list == "" || slices.Contains(strings.Split(list, ", "), name))
}
