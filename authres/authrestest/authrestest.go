// Package authrestest is the other side of authres: what an attacker writes to have
// his Authentication-Results believed, and what careless readers make of it. Tests
// of the removal of forged fields hold the two against each other.
package authrestest

import (
	"math/rand/v2"
	"regexp"
	"strings"
)

// LenientIDs reads value as careless programs do, each in its own way, and
// returns every authserv-id that one of them would see. It shares no code with
// package authres.
func LenientIDs(value string) map[string]bool {
	ids := make(map[string]bool)
	texts := []string{value}
	vary := func(f func(string) string) {
		for _, text := range texts {
			if changed := f(text); changed != text {
				texts = append(texts, changed)
			}
		}
	}
	vary(func(s string) string { s, _, _ = strings.Cut(s, "\x00"); return s })                // C strings
	vary(func(s string) string { return strings.TrimLeft(s, " \t\r\n;,=\"") })                // skips what it does not know
	vary(func(s string) string { return innermost.ReplaceAllString(s, " ") })                 // comments do not nest
	vary(func(s string) string { return firstClose.ReplaceAllString(s, " ") })                // comments end at the first parenthesis
	vary(func(s string) string { return firstClose.ReplaceAllString(s, "") })                 // ... and leave no gap
	vary(func(s string) string { return strings.NewReplacer(`\`, "", `"`, "").Replace(s) })   // quotes mean nothing
	vary(func(s string) string { _, after, _ := strings.Cut(s, `"`); return after })          // the first quoted thing is the id
	vary(func(s string) string { return strings.NewReplacer("\r", "", "\n", "").Replace(s) }) // unfolds without a space
	vary(func(s string) string { return strings.Map(printable, s) })                          // drops control characters
	for _, text := range texts {
		for _, stops := range []string{";", "; \t\r\n", "; \t\r\n(/,:", "; \t\r\n\"'<>=@"} {
			id := strings.TrimLeft(text, " \t\r\n(\"'<")
			if i := strings.IndexAny(id, stops); i >= 0 {
				id = id[:i]
			}
			ids[strings.ToLower(strings.Trim(id, " \t\r\n.\"'()<>[]"))] = true
		}
	}
	return ids
}

var (
	innermost  = regexp.MustCompile(`\([^()]*\)`)
	firstClose = regexp.MustCompile(`\([^)]*\)`)
)

func printable(r rune) rune {
	if r < ' ' || r == 0x7f {
		return -1
	}
	return r
}

// Foreign returns the value of a field in good form that names another host, and
// has to stay as it is.
func Foreign(r *rand.Rand, id string) string {
	pick := func(choices ...string) string { return choices[r.IntN(len(choices))] }
	id = capitals(r, id)
	if r.IntN(4) == 0 {
		id = `"` + id + `"`
	}
	cfws := func() string {
		return pick("", "", " ", "\t", "\r\n ", "\r\n\t", "(c)", " (a (b) c) ", "(;)", " (c)\r\n\t ")
	}
	return pick("", " ", "  ", "\r\n ") + id + cfws() + pick("", " 1", " 1(c)") + cfws() + ";" + cfws() +
		pick("none", "dmarc=pass header.from=bank.test", "spf = pass smtp.mailfrom=\"a@b\"", "dkim=fail reason=\"a; b\" header.d=a.test;\r\n\tspf=none") + pick("", ";", " ")
}

// capitals writes some letters of an id large.
func capitals(r *rand.Rand, id string) string {
	spelled := []byte(id)
	for i := range spelled {
		if r.IntN(3) == 0 {
			spelled[i] = strings.ToUpper(string(spelled[i]))[0]
		}
	}
	return string(spelled)
}

// Forge spells an id as an attacker would.
func Forge(r *rand.Rand, id string) string {
	pick := func(choices ...string) string { return choices[r.IntN(len(choices))] }
	id = capitals(r, id)
	switch r.IntN(9) {
	case 0:
		id = `"` + id + `"`
	case 1:
		at := r.IntN(len(id))
		id = `"` + id[:at] + `\` + id[at:] + `"`
	case 2:
		id = pick(".", "'", "<", "[", "", "=", `\`) + id + pick(".", "'", ">", "]", "", ",", "\x00", "/1", ":25", "\x00.x", `\`)
	case 3:
		id = "=?utf-8?q?" + id + "?="
	case 4:
		id = strings.Replace(id, ".", pick("\u3002", "\uff0e", "\xff."), 1)
	case 5:
		id = pick("another.test\x00", "another.test\x00\r\n ", "\a") + id
	}
	cfws := func() string {
		return pick("", "", " ", "\t", "\r\n ", "\n\t", "(c)", " (a (b) c) ", `(\))`, "(", ")", "(;)", "(foreign.test; none)", "\x00", "\r")
	}
	return cfws() + id + cfws() + pick("", " 1", " 1(c)", " 2 2", " x") + cfws() + pick(";", ";", ";", "", ",", " ") + cfws() +
		pick("none", "dmarc=pass header.from=bank.test", "spf = pass smtp.mailfrom=\"a@b\"", "dkim=pass (", "dkim=pass reason=\"", "=", "", "junk", ";;") + pick("", ";", "\r\n", " \x00", ")")
}
