package keys

import (
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

var day = time.Date(2026, 11, 1, 10, 0, 0, 0, time.UTC)

// example is a state with a key in every stage.
func example() *State {
	public := pair().ed25519.Public()
	key := func(selector string, stage Stage) Key {
		k := Key{Selector: selector, Algorithm: Ed25519, Bits: 256, File: selector + ".pem", Stage: stage,
			Name: selector + "._domainkey.example.org", Record: Record(public), Created: day}
		if stage == Next {
			return k
		}
		k.TTL, k.Visible, k.Activated = 300, day.Add(time.Hour), day.Add(2*time.Hour)
		switch stage {
		case Retiring:
			k.RetiringSince = day.Add(3 * time.Hour)
		case Retired:
			k.RetiringSince, k.RetiredAt, k.Record = day.Add(3*time.Hour), day.Add(4*time.Hour), Revoked(Ed25519)
		}
		return k
	}
	return &State{Version: 1, Domain: "example.org", Keys: []Key{
		key("202608e", Retired), key("202609e", Retiring), key("202610e", Active), key("202611e", Next), key("other", Active)}}
}

func encode(t testing.TB, s *State) []byte {
	t.Helper()
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestReadState(t *testing.T) {
	dir := realTemp(t)
	put(t, filepath.Join(dir, StateFile), encode(t, example()), 0o644)
	s, err := ReadState(dir)
	if err != nil {
		t.Fatal(err)
	}
	want := example()
	for i := range want.Keys {
		want.Keys[i].Path = filepath.Join(dir, want.Keys[i].Selector+".pem")
	}
	if !reflect.DeepEqual(s, want) {
		t.Errorf("read %+v\nwant %+v", s, want)
	}
	if active := s.Active(); len(active) != 2 || active[0].Selector != "202610e" || active[1].Selector != "other" {
		t.Errorf("active %+v", active)
	}
	if len(s.Keys) != 5 {
		t.Error("Active changed the state")
	}

	var unsafe *UnsafeError
	os.Chmod(filepath.Join(dir, StateFile), 0o664)
	if _, err := ReadState(dir); !errors.As(err, &unsafe) || unsafe.Cure != "chmod 0644 "+filepath.Join(dir, StateFile) {
		t.Errorf("writable by its group: %v", err)
	}
	if _, err := ReadState(filepath.Join(dir, "nowhere")); !errors.Is(err, ErrNoDirectory) {
		t.Errorf("missing: %v", err)
	}
	put(t, filepath.Join(dir, StateFile), []byte("{"), 0o600)
	if _, err := ReadState(dir); err == nil || !strings.HasPrefix(err.Error(), filepath.Join(dir, StateFile)+": is not a state file: ") {
		t.Errorf("half a file: %v", err)
	}
}

func TestCacheState(t *testing.T) {
	dir := realTemp(t)
	now := day
	c := NewCache(func() time.Time { return now })
	if _, err := c.State(dir); !errors.Is(err, ErrMissing) {
		t.Fatal(err)
	}
	put(t, filepath.Join(dir, StateFile), encode(t, example()), 0o640)
	now = now.Add(time.Second)
	first, err := c.State(dir)
	if err != nil || len(first.Keys) != 5 || first.Keys[0].Path != filepath.Join(dir, "202608e.pem") {
		t.Fatalf("%+v, %v", first, err)
	}
	now = now.Add(time.Second)
	if second, _ := c.State(dir); second != first {
		t.Error("unchanged, but read again")
	}
}

// TestParseStateRefuses changes one thing at a time.
func TestParseStateRefuses(t *testing.T) {
	if _, err := ParseState(encode(t, example())); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ old, new, want string }{
		{`"version":1`, `"version":2`, "version 2, expected 1"},
		{`"version":1`, `"version":1,"colour":1`, `unknown field "colour"`},
		{`"example.org"`, `"Example.org"`, "not a signing domain in lower case"},
		{`"example.org"`, `"org"`, "not a signing domain"},
		{`"example.org"`, `"../example.org"`, "not a signing domain"},
		{`"selector":"202608e"`, `"selector":"../e"`, "keys[0]: selector: "},
		{`"selector":"202608e"`, `"selector":"a..b"`, "keys[0]: selector: "},
		{`"selector":"202608e"`, `"selector":"202609E"`, "keys[0]: selector: "},
		{`"202609e._domainkey.example.org"`, `"202609e._domainkey.example.com"`, `keys[1]: name: "202609e._domainkey.example.com", expected "202609e._domainkey.example.org"`},
		{`"202609e`, `"202608e`, "keys[1]: selector \"202608e\" is taken"},
		{`"file":"202609e.pem"`, `"file":"202608e.pem"`, "keys[1]: file \"202608e.pem\" is taken"},
		{`"file":"202609e.pem"`, `"file":"../x.pem"`, "keys[1]: file: "},
		{`"file":"202609e.pem"`, `"file":"state.json"`, "keys[1]: file: "},
		{`"file":"202609e.pem"`, `"file":""`, "keys[1]: file: "},
		{`"algorithm":"ed25519"`, `"algorithm":"dsa"`, "algorithm: "},
		{`"bits":256`, `"bits":2048`, "bits: 2048, expected 256"},
		{`"algorithm":"ed25519","bits":256`, `"algorithm":"rsa","bits":512`, "bits: 512, expected 1024 or more"},
		{`"algorithm":"ed25519","bits":256`, `"algorithm":"rsa","bits":2048`, "record: "},
		{`"stage":"next"`, `"stage":"soon"`, "keys[3]: stage: \"soon\", expected next, active, retiring or retired"},
		{`"stage":"next"`, `"stage":"active"`, "keys[3]: stage: it is active, but the file does not say since when"},
		{`"stage":"next"`, `"stage":"retired"`, "keys[3]: record: "},
		{`"stage":"active"`, `"stage":1`, "cannot unmarshal"},
		{`"ttl":300`, `"ttl":-1`, "ttl: -1 is out of range"},
		{`"v=DKIM1; k=ed25519; p="`, `"v=DKIM1; p="`, "keys[0]: record: "},
		{`"v=DKIM1; k=ed25519; p=O`, `"v=DKIM1; k=ed25519; p=!`, "keys[1]: record: "},
		{`]}`, `]}{}`, "something follows its end"},
		{`]}`, `]`, "is not a state file"},
		{`"created":"2026-11-01T10:00:00Z"`, `"created":"yesterday"`, "is not a state file"},
	} {
		text := strings.ReplaceAll(string(encode(t, example())), test.old, test.new)
		if _, err := ParseState([]byte(text)); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s for %s: error %v, expected one with %q", test.new, test.old, err, test.want)
		}
	}
	if _, err := ParseState(make([]byte, maxStateFile+1)); err == nil || !strings.Contains(err.Error(), "larger than") {
		t.Errorf("large: %v", err)
	}
	s := example()
	for len(s.Keys) <= maxKeys {
		s.Keys = append(s.Keys, s.Keys[0])
	}
	if _, err := ParseState(encode(t, s)); err == nil || !strings.Contains(err.Error(), "expected at most 100") {
		t.Errorf("many: %v", err)
	}
}

// FuzzParseState: what is accepted survives a round trip, and no key of it is
// outside its directory or at another domain's name.
func FuzzParseState(f *testing.F) {
	f.Add(encode(f, example()))
	f.Add([]byte(`{"version":1,"domain":"example.org","keys":[]}`))
	f.Add([]byte(`{"version":1,"domain":"example.org","keys":[{"selector":"a","file":"../../etc/shadow"}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := ParseState(text)
		if err != nil {
			return
		}
		for _, k := range s.Keys {
			if filepath.Dir(filepath.Join("/keys", k.File)) != "/keys" || !strings.HasSuffix(k.Name, "._domainkey."+s.Domain) {
				t.Errorf("key %+v", k)
			}
		}
		again, err := ParseState(encode(t, s))
		if err != nil {
			t.Fatalf("not read again: %v", err)
		}
		if string(encode(t, again)) != string(encode(t, s)) {
			t.Errorf("%s\nbecame %s", encode(t, s), encode(t, again))
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add(pkcs8(f, pair().ed25519))
	f.Add([]byte(rfc8410v2))
	f.Add([]byte(rsa512))
	f.Fuzz(func(t *testing.T, text []byte) {
		private, err := Parse(text)
		if err != nil {
			return
		}
		if algorithm, bits := Describe(private.Public()); algorithm == "" || bits < 256 || algorithm == RSA && bits < MinBits {
			t.Errorf("%s of %d bits", algorithm, bits)
		}
		// It is the key that it was when it is written again.
		der, err := x509.MarshalPKCS8PrivateKey(private)
		if err != nil {
			t.Fatal(err)
		}
		again, err := Parse(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
		if err != nil || Record(again.Public()) != Record(private.Public()) {
			t.Errorf("written again it is another key: %v", err)
		}
	})
}
