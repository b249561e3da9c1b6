package arc

import (
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"milterd/dkim"
	"milterd/message"

	"gopkg.in/yaml.v3"
)

// scenario is one YAML document of the ValiMail suite: tests in a small DNS, and
// for signing a key.
type scenario struct {
	Description string
	Tests       yaml.Node         // a mapping in which some names come twice
	TXTRecords  map[string]string `yaml:"txt-records"`

	Domain, Sel, PrivateKey string
}

type suiteTest struct {
	name    string
	Message string

	CV string // of a validation test

	T          int64
	SigHeaders string `yaml:"sig-headers"`
	SrvID      string `yaml:"srv-id"`
	AS         string `yaml:"AS"`
	AMS        string `yaml:"AMS"`
	AAR        string `yaml:"AAR"`
}

// readSuite reads a file of the public suites, which lie outside the project.
func readSuite(t testing.TB, name string) []scenario {
	t.Helper()
	root := os.Getenv("MILTERD_SUITES")
	if root == "" {
		root = filepath.Join("..", "..", "shared", "suites")
	}
	f, err := os.Open(filepath.Join(root, "arc-valimail", name))
	if errors.Is(err, os.ErrNotExist) {
		t.Skipf("PUBLIC ARC SUITE NOT RUN: %v (set MILTERD_SUITES to the folder of the suites)", err)
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

func (s *scenario) tests(t testing.TB) []suiteTest {
	t.Helper()
	var all []suiteTest
	for i := 0; i < len(s.Tests.Content); i += 2 {
		test := suiteTest{name: s.Tests.Content[i].Value}
		if err := s.Tests.Content[i+1].Decode(&test); err != nil {
			t.Fatalf("%s: %v", test.name, err)
		}
		all = append(all, test)
	}
	return all
}

func (s *scenario) zone() *zone {
	z := &zone{txt: map[string]string{}}
	for name, txt := range s.TXTRecords {
		// The folded records have blanks in p=, as DNS has not, and it does not matter.
		z.txt[strings.ToLower(name)] = strings.TrimSpace(txt)
	}
	return z
}

func (s *scenario) key(t testing.TB) dkim.SigningKey {
	t.Helper()
	der, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(s.PrivateKey), ""))
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.ParsePKCS1PrivateKey(der)
	if err != nil {
		t.Fatal(err)
	}
	d, err := message.ParseDomain(s.Domain)
	if err != nil {
		t.Fatal(err)
	}
	return dkim.SigningKey{Domain: d, Selector: s.Sel, Private: private}
}

// All cases with a wanted result get it; the RFC leaves nothing open where the
// suite does: what is sealed as failed is failed. Four names come twice, with
// different messages, so there are 175 tests of 171 names.
func TestValidationSuite(t *testing.T) {
	counts, names := map[string]int{}, map[string]bool{}
	for _, s := range readSuite(t, "arc-draft-validation-tests.yml") {
		v := &Verifier{DKIM: dkim.Verifier{Resolver: s.zone()}}
		for _, test := range s.tests(t) {
			names[test.name] = true
			cv := strings.ToLower(strings.TrimSpace(test.CV))
			counts[cv]++
			want := Status(cv)
			if cv == "" {
				want = Fail
			}
			if r := verify(t, v, test.Message); r.Status != want {
				t.Errorf("%s: %s (%s; %v), want %s", test.name, r.Status, r.Reason, r.Err, want)
			}
		}
	}
	if len(names) != 171 || fmt.Sprint(counts) != "map[:3 fail:109 none:5 pass:58]" {
		t.Error(len(names), counts)
	}
}

func TestSigningSuite(t *testing.T) {
	tests := 0
	for _, s := range readSuite(t, "arc-draft-sign-tests.yml") {
		v := &Verifier{DKIM: dkim.Verifier{Resolver: s.zone()}, ForSealing: true}
		for _, test := range s.tests(t) {
			tests++
			fields, _ := parseMessage(test.Message)
			found := verify(t, v, test.Message)
			sealer := &Sealer{Key: s.key(t), Names: strings.Split(test.SigHeaders, ":"), Now: func() time.Time { return time.Unix(test.T, 0) }}
			if err := sealer.Check(); err != nil {
				t.Errorf("%s: %v", test.name, err)
			}
			set, err := sealer.Seal(fields, &found, Results(fields, test.SrvID))
			if err != nil {
				t.Errorf("%s: %v", test.name, err)
				continue
			}
			if strings.TrimSpace(test.AS) == "" {
				if set != nil {
					t.Errorf("%s: a set was added: %q", test.name, set)
				}
				continue
			}
			if len(set) != 3 {
				t.Errorf("%s: set %q", test.name, set)
				continue
			}
			for i, want := range []string{test.AS, test.AMS} {
				if got, want := tagsOf(t, set[i].Value), tagsOf(t, want); !maps.Equal(got, want) {
					t.Errorf("%s: %s\n got %v\nwant %v", test.name, set[i].Name, got, want)
				}
			}
			if got, want := strings.Join(strings.Fields(set[2].Value), " "), strings.Join(strings.Fields(test.AAR), " "); got != want {
				t.Errorf("%s: %s\n got %s\nwant %s", test.name, set[2].Name, got, want)
			}
		}
	}
	if tests != 17 {
		t.Errorf("%d tests", tests)
	}
}

// tagsOf reads a field without the code under test, and drops white space.
func tagsOf(t testing.TB, value string) map[string]string {
	t.Helper()
	tags := map[string]string{}
	for tag := range strings.SplitSeq(strings.TrimSpace(value), ";") {
		name, value, ok := strings.Cut(strings.Join(strings.Fields(tag), ""), "=")
		if _, twice := tags[name]; !ok || twice {
			t.Fatalf("tag %q in %q", tag, value)
		}
		tags[name] = value
	}
	return tags
}
