package keys

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"milterd/dkim"
)

// pair are the keys of the tests. RSA keys cost time, so there is one.
var pair = sync.OnceValue(func() (p struct {
	rsa     *rsa.PrivateKey
	ed25519 ed25519.PrivateKey
}) {
	p.rsa, _ = rsa.GenerateKey(rand.Reader, 2048)
	p.ed25519 = ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	return p
})

func block(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func pkcs8(t testing.TB, key any) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return block("PRIVATE KEY", der)
}

// put writes a file with exactly these rights, whatever the umask is.
func put(t testing.TB, path string, text []byte, mode os.FileMode) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestParse(t *testing.T) {
	p := pair()
	short, err := x509.MarshalPKCS8PrivateKey(p.rsa)
	if err != nil {
		t.Fatal(err)
	}
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name string
		text []byte
		want crypto.PublicKey
		err  string
	}{
		{"PKCS#8, RSA", pkcs8(t, p.rsa), p.rsa.Public(), ""},
		{"PKCS#1, RSA", block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(p.rsa)), p.rsa.Public(), ""},
		{"PKCS#8, Ed25519", pkcs8(t, p.ed25519), p.ed25519.Public(), ""},
		{"RFC 8410, section 10.3", []byte(rfc8410), nil, ""},
		{"RFC 8410, section 10.3, with attributes and the public key", []byte(rfc8410v2), nil, ""},
		{"text before it", append([]byte("made by hand\n\n"), pkcs8(t, p.rsa)...), p.rsa.Public(), ""},
		{"empty", nil, nil, "not a key in PEM form"},
		{"DER", short, nil, "not a key in PEM form"},
		{"cut", pkcs8(t, p.rsa)[:300], nil, "not a key in PEM form"},
		{"two", append(pkcs8(t, p.rsa), pkcs8(t, p.ed25519)...), nil, "more than one PEM block"},
		{"public key", block("PUBLIC KEY", []byte{1}), nil, `holds a "PUBLIC KEY", expected a PRIVATE KEY`},
		{"encrypted", block("ENCRYPTED PRIVATE KEY", []byte{1}), nil, "encrypted"},
		{"encrypted, old", pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Headers: map[string]string{"DEK-Info": "AES-128-CBC,00"}, Bytes: []byte{1}}), nil, "encrypted"},
		{"garbage inside", block("PRIVATE KEY", []byte("garbage")), nil, "cannot be read"},
		{"elliptic curve", pkcs8(t, curve), nil, "*ecdsa.PrivateKey, expected RSA or Ed25519"},
		{"512 bits", []byte(rsa512), nil, "512 bits is too short"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := Parse(test.text)
			if test.err != "" {
				if err == nil || !strings.Contains(err.Error(), test.err) {
					t.Fatalf("error %v, expected one with %q", err, test.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if test.want != nil && !got.Public().(interface{ Equal(crypto.PublicKey) bool }).Equal(test.want) {
				t.Error("another key came out")
			}
		})
	}
}

// TestRecord reads its records with the parser that verifiers use.
func TestRecord(t *testing.T) {
	p := pair()
	digest := make([]byte, 32)
	for _, test := range []struct {
		private   crypto.Signer
		opts      crypto.SignerOpts
		algorithm string
		bits      int
	}{
		{p.rsa, crypto.SHA256, RSA, 2048},
		{p.ed25519, crypto.Hash(0), Ed25519, 256},
	} {
		public := test.private.Public()
		if algorithm, bits := Describe(public); algorithm != test.algorithm || bits != test.bits {
			t.Errorf("Describe says %s, %d", algorithm, bits)
		}
		signature, err := test.private.Sign(rand.Reader, digest, test.opts)
		if err != nil {
			t.Fatal(err)
		}
		record := Record(public)
		key, err := dkim.ParseKey(record)
		if err != nil || key.Bits != test.bits || !key.Verify(digest, signature) || key.TestMode {
			t.Errorf("%s: %+v, %v", record, key, err)
		}
		if prefix := "v=DKIM1; k=" + test.algorithm + "; p="; !strings.HasPrefix(record, prefix) || strings.Count(record, ";") != 2 {
			t.Errorf("record %s", record)
		}
		if _, err := dkim.ParseKey(Revoked(test.algorithm)); !errors.Is(err, dkim.ErrKeyRevoked) {
			t.Errorf("%s: %v", Revoked(test.algorithm), err)
		}
	}
	if algorithm, bits := Describe("no key"); algorithm != "" || bits != 0 {
		t.Errorf("Describe of a string says %s, %d", algorithm, bits)
	}
	// RFC 8463, appendix A.2.
	const want = "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
	seed := []byte("\x9d\x61\xb1\x9d\xef\xfd\x5a\x60\xba\x84\x4a\xf4\x92\xec\x2c\xc4\x44\x49\xc5\x69\x7b\x32\x69\x19\x70\x3b\xac\x03\x1c\xae\x7f\x60")
	if got := Record(ed25519.NewKeyFromSeed(seed).Public()); got != want {
		t.Errorf("%s, expected %s", got, want)
	}
}

// TestLoad tries every way in which a file can lie wrong, and that the cure in the
// message is one.
func TestLoad(t *testing.T) {
	text := pkcs8(t, pair().ed25519)
	chmod := func(mode os.FileMode, parts ...string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			if err := os.Chmod(filepath.Join(append([]string{dir}, parts...)...), mode); err != nil {
				t.Fatal(err)
			}
		}
	}
	link := func(target, name string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			path := filepath.Join(dir, name)
			os.Remove(path)
			if err := os.Symlink(strings.ReplaceAll(target, "DIR", dir), path); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, test := range []struct {
		name   string
		change func(t *testing.T, dir string) // of dir/keys/example.org/s.pem
		why    string                         // empty: it is in order
		cure   string
	}{
		{"0600", func(*testing.T, string) {}, "", ""},
		{"0640", chmod(0o640, "keys/example.org/s.pem"), "", ""},
		{"0400", chmod(0o400, "keys/example.org/s.pem"), "", ""},
		{"others read", chmod(0o644, "keys/example.org/s.pem"), "s.pem: others have rights to it (mode 0644)", "chmod 0640 DIR/keys/example.org/s.pem"},
		{"others execute", chmod(0o601, "keys/example.org/s.pem"), "others have rights to it", "chmod 0600 DIR/keys/example.org/s.pem"},
		{"group writes", chmod(0o660, "keys/example.org/s.pem"), "s.pem: its group can change it (mode 0660)", "chmod 0640 DIR/keys/example.org/s.pem"},
		{"directory open to its group", chmod(0o775, "keys/example.org"), "example.org: its group can write to this directory", "chmod go-w DIR/keys/example.org"},
		{"directory open to others", chmod(0o757, "keys/example.org"), "example.org: others can write to this directory", "chmod go-w DIR/keys/example.org"},
		{"parent open", chmod(0o777, "keys"), "keys: others can write to this directory", "chmod go-w DIR/keys"},
		{"parent open with the sticky bit", chmod(0o777|os.ModeSticky, "keys"), "", ""},
		{"no regular file", func(t *testing.T, dir string) {
			path := filepath.Join(dir, "keys/example.org/s.pem")
			os.Remove(path)
			if err := os.Mkdir(path, 0o700); err != nil {
				t.Fatal(err)
			}
		}, "s.pem: it is not a regular file", "mv DIR/keys/example.org/s.pem DIR/keys/example.org/s.pem.old"},
		{"link beside it", func(t *testing.T, dir string) {
			put(t, filepath.Join(dir, "keys/example.org/.v1/s.pem"), text, 0o600)
			link(".v1/s.pem", "keys/example.org/s.pem")(t, dir)
		}, "", ""},
		{"link through a link, as Kubernetes has it", func(t *testing.T, dir string) {
			put(t, filepath.Join(dir, "keys/example.org/.v1/s.pem"), text, 0o600)
			link(".v1", "keys/example.org/..data")(t, dir)
			link("..data/s.pem", "keys/example.org/s.pem")(t, dir)
		}, "", ""},
		{"link that leads out", func(t *testing.T, dir string) {
			put(t, filepath.Join(dir, "else.pem"), text, 0o600)
			link("../../else.pem", "keys/example.org/s.pem")(t, dir)
		}, "s.pem: it is a link that leads out of its directory, to DIR/else.pem", "cp --remove-destination DIR/else.pem DIR/keys/example.org/s.pem"},
		{"absolute link that leads out", func(t *testing.T, dir string) {
			put(t, filepath.Join(dir, "keys/example.org.old/s.pem"), text, 0o600) // its name begins alike
			link("DIR/keys/example.org.old/s.pem", "keys/example.org/s.pem")(t, dir)
		}, "leads out of its directory", "cp --remove-destination DIR/keys/example.org.old/s.pem DIR/keys/example.org/s.pem"},
		{"directory behind a link", func(t *testing.T, dir string) {
			if err := os.Rename(filepath.Join(dir, "keys"), filepath.Join(dir, "volume")); err != nil {
				t.Fatal(err)
			}
			link("DIR/volume", "keys")(t, dir)
		}, "", ""},
		{"directory behind a link, open", func(t *testing.T, dir string) {
			if err := os.Rename(filepath.Join(dir, "keys"), filepath.Join(dir, "volume")); err != nil {
				t.Fatal(err)
			}
			link("volume", "keys")(t, dir)
			chmod(0o777, "volume")(t, dir)
		}, "volume: others can write to this directory", "chmod go-w DIR/volume"},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := realTemp(t)
			path := put(t, filepath.Join(dir, "keys/example.org/s.pem"), text, 0o600)
			test.change(t, dir)
			private, err := Load(path)
			if test.why == "" {
				if err != nil || !pair().ed25519.Equal(private) {
					t.Fatalf("%v", err)
				}
				return
			}
			var unsafe *UnsafeError
			if !errors.As(err, &unsafe) {
				t.Fatalf("error %v, expected an UnsafeError", err)
			}
			why, cure := strings.ReplaceAll(test.why, "DIR", dir), strings.ReplaceAll(test.cure, "DIR", dir)
			if !strings.Contains(err.Error(), why) || unsafe.Cure != cure || !strings.HasSuffix(err.Error(), "cure: "+cure) {
				t.Errorf("error %q\nexpected one with %q and the cure %q", err, why, cure)
			}
		})
	}
}

// realTemp is t.TempDir without links in it, and closed to others.
func realTemp(t *testing.T) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err == nil {
		err = os.Chmod(dir, 0o755) // whatever the umask is
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestLoadOfOthers needs root to give files away.
func TestLoadOfOthers(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("NOT TESTED: files of other users; this needs root")
	}
	dir := realTemp(t)
	path := put(t, filepath.Join(dir, "k/s.pem"), pkcs8(t, pair().ed25519), 0o600)
	for _, give := range []string{path, filepath.Dir(path)} {
		if err := os.Chown(give, 12345, 0); err != nil {
			t.Fatal(err)
		}
		var unsafe *UnsafeError
		if _, err := Load(path); !errors.As(err, &unsafe) || unsafe.Path != give || unsafe.Cure != "chown -h root "+give {
			t.Errorf("%s: %v", give, err)
		}
		os.Chown(give, 0, 0)
	}
	link := filepath.Join(dir, "k/link.pem")
	if err := os.Symlink("s.pem", link); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(link); err != nil {
		t.Fatal(err)
	}
	os.Lchown(link, 12345, 0)
	if _, err := Load(link); err == nil {
		t.Error("a link of another user was followed")
	}
}

func TestLoadMissing(t *testing.T) {
	dir := realTemp(t)
	for _, test := range []struct {
		path        string
		noDirectory bool
	}{
		{"s.pem", false},
		{"example.org/s.pem", true},
		{"keys/example.org/s.pem", true},
	} {
		path := filepath.Join(dir, test.path)
		_, err := Load(path)
		if !errors.Is(err, ErrMissing) || errors.Is(err, ErrNoDirectory) != test.noDirectory || !strings.HasPrefix(err.Error(), path+": is not there") {
			t.Errorf("%s: %v", test.path, err)
		}
	}
	os.Symlink("nowhere.pem", filepath.Join(dir, "dangling.pem"))
	if _, err := Load(filepath.Join(dir, "dangling.pem")); !errors.Is(err, ErrMissing) {
		t.Errorf("dangling link: %v", err)
	}
	os.Symlink("loop.pem", filepath.Join(dir, "loop.pem"))
	if _, err := Load(filepath.Join(dir, "loop.pem")); err == nil || !strings.Contains(err.Error(), "too many symbolic links") {
		t.Errorf("loop: %v", err)
	}
	put(t, filepath.Join(dir, "large.pem"), make([]byte, maxKeyFile+1), 0o600)
	if _, err := Load(filepath.Join(dir, "large.pem")); err == nil || !strings.Contains(err.Error(), "larger than 65536 bytes") {
		t.Errorf("large: %v", err)
	}
	if _, err := Load(filepath.Join(dir, "large.pem/s.pem")); err == nil || !strings.Contains(err.Error(), "not a directory") {
		t.Errorf("below a file: %v", err)
	}
}

// TestCache: a key is read again when it has changed, and only then; it may come,
// go, become unsafe and be cured.
func TestCache(t *testing.T) {
	dir := realTemp(t)
	path := filepath.Join(dir, "volume/s.pem")
	now := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	c := NewCache(func() time.Time { return now })
	later := func() { now = now.Add(time.Second) }

	if _, err := c.Get(path); !errors.Is(err, ErrNoDirectory) {
		t.Fatal(err)
	}
	put(t, path, pkcs8(t, pair().ed25519), 0o600)
	if _, err := c.Get(path); !errors.Is(err, ErrMissing) {
		t.Errorf("looked twice within a second: %v", err)
	}
	later()
	first, err := c.Get(path)
	if err != nil || !pair().ed25519.Equal(first) {
		t.Fatalf("it has come: %v", err)
	}
	put(t, path+".new", pkcs8(t, pair().rsa), 0o600)
	os.Rename(path+".new", path)
	if again, err := c.Get(path); err != nil || !pair().ed25519.Equal(again) {
		t.Errorf("within the second: %v", err)
	}
	later()
	second, err := c.Get(path)
	if err != nil || !pair().rsa.Equal(second) {
		t.Errorf("replaced: %v", err)
	}
	later()
	if third, err := c.Get(path); err != nil || third != second {
		t.Errorf("unchanged, but read again: %v", err)
	}
	var unsafe *UnsafeError
	os.Chmod(path, 0o644)
	later()
	if _, err := c.Get(path); !errors.As(err, &unsafe) {
		t.Errorf("open to others: %v", err)
	}
	os.Chmod(path, 0o600)
	os.Chmod(filepath.Dir(path), 0o777)
	later()
	if _, err := c.Get(path); !errors.As(err, &unsafe) || unsafe.Path != filepath.Dir(path) {
		t.Errorf("directory open to others: %v", err)
	}
	os.Chmod(filepath.Dir(path), 0o700)
	later()
	if _, err := c.Get(path); err != nil {
		t.Errorf("cured: %v", err)
	}
	os.Remove(path)
	now = now.Add(-time.Hour) // a clock that is put back does not freeze anything
	if _, err := c.Get(path); !errors.Is(err, ErrMissing) || errors.Is(err, ErrNoDirectory) {
		t.Errorf("gone: %v", err)
	}
	put(t, path, []byte("half a key"), 0o600)
	later()
	if _, err := c.Get(path); err == nil || errors.Is(err, ErrMissing) {
		t.Errorf("garbage: %v", err)
	}
	later()
	if _, err := c.Get(path); err == nil || errors.Is(err, ErrMissing) {
		t.Errorf("still garbage: %v", err)
	}
}

// TestCacheConcurrently is for the race detector.
func TestCacheConcurrently(t *testing.T) {
	dir := realTemp(t)
	path := put(t, filepath.Join(dir, "s.pem"), pkcs8(t, pair().ed25519), 0o600)
	c := NewCache(time.Now)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 200 {
				if _, err := c.Get(path); err != nil {
					t.Error(err)
				}
				if _, err := c.State(dir); !errors.Is(err, ErrMissing) {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
}

func BenchmarkCacheGet(b *testing.B) {
	path := put(b, filepath.Join(b.TempDir(), "s.pem"), pkcs8(b, pair().ed25519), 0o600)
	c := NewCache(time.Now)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Get(path); err != nil {
			b.Fatal(err)
		}
	}
}

// TestExplain: what the system says becomes what to do about it.
func TestExplain(t *testing.T) {
	var unsafe *UnsafeError
	err := explain("/etc/milterd/keys/it's/s.pem", &os.PathError{Op: "open", Path: "x", Err: syscall.EACCES})
	if !errors.As(err, &unsafe) || !strings.HasPrefix(unsafe.Cure, "chgrp ") ||
		!strings.HasSuffix(unsafe.Cure, ` '/etc/milterd/keys/it'\''s' '/etc/milterd/keys/it'\''s/s.pem' && chmod g+rx '/etc/milterd/keys/it'\''s' && chmod g+r '/etc/milterd/keys/it'\''s/s.pem'`) {
		t.Errorf("%v", err)
	}
	if err := explain("/k/s.pem", &os.PathError{Op: "open", Path: "x", Err: syscall.EIO}); err.Error() != "/k/s.pem: input/output error" {
		t.Errorf("%v", err)
	}
}

// The two keys of RFC 8410, section 10.3, and one that nobody should use.
const (
	rfc8410 = `-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC
-----END PRIVATE KEY-----
`
	rfc8410v2 = `-----BEGIN PRIVATE KEY-----
MHICAQEwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC
oB8wHQYKKoZIhvcNAQkJFDEPDA1DdXJkbGUgQ2hhaXJzgSEAGb9ECWmEzf6FQbrB
Z9w7lshQhqowtrbLDFw4rXAxZuE=
-----END PRIVATE KEY-----
`
	rsa512 = `-----BEGIN RSA PRIVATE KEY-----
MIIBOwIBAAJBANBOfTthjrCOJ2SC7/95ZBhr6p/kQWg7zBssGnncpJy3IWw4HklR
FRAydJptwKM/GFjPS/nmSM86bwwoo7SlwO0CAwEAAQJAB5FicV7Y/Ucc3UT4jTKO
1WhOTOLREYVio/YVPCos/NiFlIg3NzLsPc3BHXSvfSmEj0u9+q9/+bbkDfLT0Hr1
7QIhAPnGvl9//6bPrNAzXkLoqrfHuI8BlVNH7eTQVYkk4EOPAiEA1X84nddjVrwr
A2z+1PEyrGMJ6flXBDxEEidNKXk3hcMCIHXKLdjnie5mnX6J2vf+tRN6EiUOgBcI
Ir33KX9FbqUtAiEAv/NpSOi9hN8bYTIfD/9oCvvkjvvCE6nHnfa99nrow5cCIQDg
0py0AmVFa4rb0Qw3HYuqKtPHutlI5BgRKTcMKSk6Nw==
-----END RSA PRIVATE KEY-----
`
)
