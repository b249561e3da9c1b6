package spf

import (
	"errors"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

// scenario is one YAML document of a suite: a small DNS and tests in it.
type scenario struct {
	Description string
	Tests       map[string]suiteTest
	ZoneData    map[string][]yaml.Node
}

type suiteTest struct {
	Helo        string
	Host        string
	MailFrom    string
	Result      stringList
	Explanation *string
}

// stringList is a YAML list of strings, or one string.
type stringList []string

func (l *stringList) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.SequenceNode {
		return n.Decode((*[]string)(l))
	}
	var s string
	err := n.Decode(&s)
	*l = stringList{s}
	return err
}

// readSuite reads a file of the public suites, which lie outside the project.
func readSuite(t testing.TB, name string) []scenario {
	t.Helper()
	root := os.Getenv("MILTERD_SUITES")
	if root == "" {
		root = filepath.Join("..", "..", "shared", "suites")
	}
	f, err := os.Open(filepath.Join(root, filepath.FromSlash(name)))
	if errors.Is(err, os.ErrNotExist) {
		t.Skipf("PUBLIC SPF SUITE NOT RUN: %v (set MILTERD_SUITES to the folder of the suites)", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var all []scenario
	for d := yaml.NewDecoder(f); ; {
		var s scenario
		switch err := d.Decode(&s); {
		case errors.Is(err, io.EOF):
			return all
		case err != nil:
			t.Fatal(err)
		}
		all = append(all, s)
	}
}

// zone builds the DNS of a scenario. TIMEOUT answers every type that has no
// records; SPF is served as TXT unless there is a TXT entry; TXT: NONE is an entry
// without a record; a list is one record of several strings.
func (s *scenario) zone(t testing.TB) *zone {
	t.Helper()
	z := newZone()
	for name, entries := range s.ZoneData {
		var spf []string
		hasTXT := false
		for _, entry := range entries {
			if entry.Kind == yaml.ScalarNode {
				z.add(name, entry.Value, "")
				continue
			}
			for i := 0; i < len(entry.Content); i += 2 {
				kind, value := entry.Content[i].Value, entry.Content[i+1]
				var parts stringList
				if err := value.Decode(&parts); err != nil {
					t.Fatalf("%s %s: %v", name, kind, err)
				}
				switch kind {
				case "SPF":
					spf = append(spf, strings.Join(parts, ""))
				case "TXT":
					hasTXT = true
					if parts[0] != "NONE" {
						z.add(name, kind, strings.Join(parts, ""))
					}
				case "MX":
					z.add(name, kind, parts[1])
				case "SERVFAIL":
					z.add(name, "FAIL", "")
				default:
					for _, part := range parts {
						z.add(name, kind, part)
					}
				}
			}
		}
		if !hasTXT {
			for _, txt := range spf {
				z.add(name, "TXT", txt)
			}
		}
	}
	return z
}

// reversePath spells the <sender> of a suite, whose local-part is plain text, as a
// client has to in MAIL FROM: quoted where a dot-string cannot hold it.
func reversePath(sender string) string {
	at := strings.LastIndexByte(sender, '@')
	if at <= 0 {
		return sender
	}
	if _, rest, ok := cutLocalPart(sender[:at]); ok && rest == "" {
		return sender
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(sender[:at]) + `"` + sender[at:]
}

// run returns the status and, for the RFC's suite, the explanation ("DEFAULT" when
// the domain gave none).
func (st *suiteTest) run(t *testing.T, z *zone, singleLabel bool) Result {
	t.Helper()
	v := &Verifier{
		Resolver:    z,
		Explain:     true,
		SingleLabel: singleLabel,
		Trace: func(depth int, format string, args ...any) {
			t.Logf(strings.Repeat("  ", depth)+format, args...)
		},
	}
	res, err := v.CheckMailFrom(t.Context(), Args{
		IP:       netip.MustParseAddr(st.Host),
		Helo:     st.Helo,
		MailFrom: reversePath(st.MailFrom),
	})
	checkInvariants(t, res, err)
	return res
}

// checkInvariants holds for every result, whatever the input.
func checkInvariants(t testing.TB, res Result, err error) {
	t.Helper()
	if bad := res.Status == TempError || res.Status == PermError; bad != (err != nil) {
		t.Errorf("status %s with error %v", res.Status, err)
	}
	if e, ok := errors.AsType[*Error](err); err != nil && (!ok || e.Status != res.Status || e.Reason.Error() != res.Reason) {
		t.Errorf("error %#v does not belong to %+v", err, res)
	}
	evaluated := slices.Contains([]Status{Neutral, Pass, Fail, Softfail}, res.Status)
	if evaluated != (res.Reason == "") || evaluated != (res.Mechanism != "") || evaluated && res.Record == "" {
		t.Errorf("incomplete result %+v", res)
	}
	if evaluated && res.Domain == "" {
		t.Errorf("%s without a domain", res.Status)
	}
	if res.Domain != "" && (!isName(res.Domain) || res.Domain != lowerASCII(res.Domain)) {
		t.Errorf("domain %q", res.Domain)
	}
	for _, c := range []byte(res.Explanation + res.Mechanism + res.Reason) {
		if c < ' ' || c > '~' {
			t.Errorf("unprintable text in %+v", res)
		}
	}
}

func TestRFC7208Suite(t *testing.T) {
	cases, explained := 0, 0
	for _, s := range readSuite(t, "spf-rfc7208/rfc7208-tests.yml") {
		for name, st := range s.Tests {
			cases++
			t.Run(s.Description+"/"+name, func(t *testing.T) {
				res := st.run(t, s.zone(t), false)
				if !slices.Contains(st.Result, string(res.Status)) {
					t.Errorf("result %s (%s), want %s", res.Status, res.Reason, st.Result)
				}
				if st.Explanation == nil {
					return
				}
				got := res.Explanation
				if got == "" {
					got = "DEFAULT"
				}
				if got != *st.Explanation {
					t.Errorf("explanation %q, want %q", got, *st.Explanation)
				}
			})
			if st.Explanation != nil {
				explained++
			}
		}
	}
	if cases != 203 || explained != 22 {
		t.Errorf("ran %d cases, %d with explanation; the suite has 203 and 22", cases, explained)
	}
}

// The second suite uses names of one label ("include:d11", "foo@mx10"), which the
// first one and RFC 7208 forbid ("a:museum", section 7.1): it needs SingleLabel.
func TestBlitiriSuite(t *testing.T) {
	// What the letter of the RFC says instead.
	strict := map[string]Status{
		"resolution-with-10-lookups": PermError, // section 7.1: include:d11
		"mx-resolution-10-terms":     None,      // section 4.3: foo@mx10
		"mx-resolution-11-terms":     None,
		"one-mx-not-found":           None,
		"all-mx-not-found":           None,
		"include-not-found":          None,
		"redirect-not-found":         None,
	}
	cases := 0
	for _, s := range readSuite(t, "spf-blitiri/blitirispf-tests.yml") {
		for name, st := range s.Tests {
			cases++
			t.Run(s.Description+"/"+name, func(t *testing.T) {
				if res := st.run(t, s.zone(t), true); !slices.Contains(st.Result, string(res.Status)) {
					t.Errorf("result %s (%s), want %s", res.Status, res.Reason, st.Result)
				}
				want, differs := strict[name]
				res := st.run(t, s.zone(t), false)
				if differs && res.Status != want || !differs && !slices.Contains(st.Result, string(res.Status)) {
					t.Errorf("without SingleLabel: %s (%s), want %s or %s", res.Status, res.Reason, want, st.Result)
				}
			})
		}
	}
	if cases != 21 {
		t.Errorf("ran %d cases; the suite has 21", cases)
	}
}
