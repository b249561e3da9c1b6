package opendkim

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"milterd/message"
)

// FuzzConf: every line that is not blank is a setting or a flaw, at its place; and
// a whole import of it gives each exactly one fate, in a report that can be
// printed.
func FuzzConf(f *testing.F) {
	f.Add([]byte("Mode sv\nDomain a.test # x\n\tKeyFile\t/k\r\nSelector\nInternalHosts 10.0.0.0/8,!10.1.0.0/16\nDomain b.test\nSubDomains maybe\n"))
	f.Add([]byte("SigningTable csl:a.test=k\nKeyTable csl:k=a.test:s:/k\nMultipleSignatures yes\nBogus 1\nOversignHeaders *,+Foo\nPeerList 10.1.2.3\nExemptDomains x.test\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		settings, flaws := parseConf("f", text)
		lines := map[int]bool{}
		for _, p := range slices.Concat(positions(settings, func(s setting) Pos { return s.Pos }), positions(flaws, func(f flaw) Pos { return f.Pos })) {
			if lines[p.Line] {
				t.Fatalf("line %d is there twice", p.Line)
			}
			lines[p.Line] = true
		}
		for i, line := range bytes.Split(text, []byte("\n")) {
			if end := bytes.IndexAny(line, "#\r\x00"); end >= 0 {
				line = line[:end]
			}
			if blank := len(bytes.Trim(line, " \t")) == 0; blank == lines[i+1] {
				t.Fatalf("line %d, %q: read %v", i+1, line, lines[i+1])
			}
		}
		for _, s := range settings {
			line := bytes.Split(text, []byte("\n"))[s.Line-1]
			if !bytes.HasPrefix(line[s.Col-1:], []byte(s.name)) || !bytes.HasPrefix(line[s.valueCol-1:], []byte(s.value)) || s.value == "" {
				t.Fatalf("%q at %d is not %q %q at %d", line, s.Col, s.name, s.value, s.valueCol)
			}
		}
		if bytes.ContainsAny(text, "/") {
			return // no files
		}
		im := newImporter("/nowhere/opendkim.conf")
		im.include("f", text, 0)
		im.settle()
		im.hosts()
		im.signing()
		r, err := im.result()
		if err != nil {
			t.Fatal(err)
		}
		entered := map[int]bool{}
		for _, i := range im.items {
			entered[i.Line] = true
			if i.fate != carried && i.why == "" {
				t.Fatalf("no reason: %v", i)
			}
		}
		for line := range lines {
			if !entered[line] {
				t.Fatalf("line %d has no fate in\n%s", line, r.Report)
			}
		}
		if !utf8.Valid(r.Report) || !utf8.Valid(r.YAML) || bytes.IndexFunc(r.Report, func(c rune) bool { return c < ' ' && c != '\n' }) >= 0 {
			t.Fatalf("not to be printed: %q", r.Report)
		}
	})
}

func positions[T any](all []T, of func(T) Pos) []Pos {
	list := make([]Pos, len(all))
	for i, v := range all {
		list[i] = of(v)
	}
	return list
}

// FuzzKeyTable: every line has one fate; what is carried can be a key of milterd's;
// what stands in the place of a path is never printed.
func FuzzKeyTable(f *testing.F) {
	f.Add([]byte("k a.test:s:/k\n"), true)
	f.Add([]byte("k a.test:s:/k\nk b.test:s:/x\n a.test %:S:./%\nz a.test:s:MIIBsecret\n* a.test:s_1:/%/k # c\n"), false)
	f.Fuzz(func(t *testing.T, text []byte, refile bool) {
		im := newImporter("/nowhere/opendkim.conf")
		kd := dataset{setting: setting{name: "KeyTable"}, kind: flat, entries: parseFlat("K", text)}
		if refile {
			kd.kind, kd.entries = pattern, parsePatterns("K", text)
		}
		td := dataset{setting: setting{name: "SigningTable"}, kind: flat, entries: parseFlat("S", []byte("a.test k\n.a.test k\nb.test %\n"))}
		s := im.signers(td, kd, false)
		s.index()
		im.fit(s, &exemptions{})
		fates := map[int]int{}
		for _, i := range im.items {
			if i.File == "K" {
				fates[i.Line]++
			}
		}
		for _, e := range kd.entries {
			if fates[e.Line] != 1 {
				t.Fatalf("line %d has %d fates", e.Line, fates[e.Line])
			}
		}
		for _, d := range im.config.Domains {
			for _, k := range d.Keys {
				if !strings.HasPrefix(k.File, "/") || k.Selector != strings.ToLower(k.Selector) || d.Name.Labels() < 2 {
					t.Fatalf("%v %v", d.Name, k)
				}
			}
		}
		report := string(im.report())
		for _, k := range s.keys.all {
			fields := strings.SplitN(k.value, ":", 3)
			named := slices.ContainsFunc(kd.entries, func(e entry) bool { return len(fields) == 3 && strings.Contains(e.key, strings.TrimSpace(fields[2])) }) // it is a name, too
			if len(fields) == 3 && k.path == "" && len(fields[2]) > 20 && !named && strings.Contains(report, fields[2]) {
				t.Fatalf("a key is printed: %s", report)
			}
		}
	})
}

// FuzzSigningTable: every line has a fate; and where all lines that fit a sender
// were carried, milterd signs as OpenDKIM does. The senders are those that the
// fuzzer names.
func FuzzSigningTable(f *testing.F) {
	f.Add([]byte("*@x.test k1\n*@*.x.test k1\n"), "a@x.test b@y.x.test c@z.test", true, true)
	f.Add([]byte("x.test k1\n.x.test k1\na@x.test k2\n* k3\nb@* kp\ny.test %\n"), "a@x.test b@y.x.test c@z.test", false, true)
	f.Add([]byte("*x.test k1\n*@* kp\na*@x.test k2\n *@x.test k1\n"), "a@x.test ab@x.test c@ax.test", true, false)
	f.Fuzz(func(t *testing.T, text []byte, senders string, refile, multiple bool) {
		if len(text) > 4096 || bytes.Count(text, []byte("*")) > 100 {
			return
		}
		im, s := tables(string(text), "k1 x.test:s1:/k/1\nk2 x.test:s2:/k/2\nk3 y.x.test:s3:/k/3\nkp %:sp:/k/p\ny.test y.test:s4:/k/4\n", refile, multiple)
		im.fit(s, &exemptions{})
		fates := map[int]fate{}
		for _, i := range im.items {
			if i.File == "SigningTable" {
				old, twice := fates[i.Line]
				fates[i.Line] = i.fate
				if twice {
					fates[i.Line] = max(old, i.fate)
				}
			}
		}
		entries := parseFlat("SigningTable", text)
		if len(fates) != len(entries) {
			t.Fatalf("%d lines, %d fates", len(entries), len(fates))
		}
		for who := range strings.FieldsSeq(strings.ToLower(senders)) {
			user, domain, ok := cutAt(who)
			d, err := message.ParseDomain(domain)
			if !ok || user == "" || err != nil || d.String() != domain {
				continue
			}
			all := s.matches(user, domain)
			if slices.ContainsFunc(all, func(m match) bool { return fates[m.line.entry.Line] != carried }) {
				continue
			}
			got := im.config.Signatures(d)
			slices.SortFunc(got, func(a, b Signature) int { return strings.Compare(a.Selector, b.Selector) })
			if want := signaturesIn(inForce(all)); !slices.Equal(want, got) {
				t.Fatalf("%s: OpenDKIM %v, milterd %v\n%s", who, want, got, im.report())
			}
		}
	})
}
