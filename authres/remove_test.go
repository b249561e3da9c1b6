package authres_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"milterd/authres"
	"milterd/authres/authrestest"
)

const ours = "mx.ours.test"

func TestIsOurs(t *testing.T) {
	deep := strings.Repeat("(", 30) + strings.Repeat(")", 30)
	for _, value := range []string{
		// reference/security.md, section 1.2 and 3: the spellings that survived elsewhere.
		"mx.ours.test; dmarc=pass header.from=bank.test",
		" mx.ours.test; spf=pass",
		"MX.Ours.TEST; spf=pass",
		"mx.ours.test 1; spf=pass",
		"mx.ours.test (a comment); spf=pass",
		"(a comment (nested)) mx.ours.test; spf=pass",
		"\r\n\tmx.ours.test\r\n\t;\r\n\tspf=pass",
		`"mx.ours.test"; spf=pass`,
		`"mx\.ours.\test"; spf=pass`,
		"mx.ours.test", "mx.ours.test;", "mx.ours.test; none", "mx.ours.test ;;;",
		// An id with something around it.
		"mx.ours.test.; spf=pass", ".mx.ours.test; spf=pass", "'mx.ours.test'; spf=pass", `" mx.ours.test "; spf=pass`, `"mx.ours.test;"; spf=pass`,
		`"<mx.ours.test>"; spf=pass`, `"mx.ours.test 1"; spf=pass`, "mx.ours.test'1; spf=pass", "mx.ours.test~; spf=pass", `"\"mx.ours.test\""; spf=pass`,
		// What cannot be read could be anything.
		"mx.ours.test, spf=pass", "mx.ours.test spf=pass", "mx.ours.test\x00; spf=pass", "mx.ours.test\x00.foreign.test; spf=pass",
		"mx.ours.test; spf=pass (", `mx.ours.test; spf=pass "`, "mx.ours.test/1; spf=pass", "<mx.ours.test>; spf=pass", "; mx.ours.test; spf=pass",
		"mx.(c)ours.test; spf=pass", "mx. ours.test; spf=pass", "foreign.test mx.ours.test; spf=pass", "foreign.test\n\tmx.ours.test; spf=pass",
		"foreign.test; mx.ours.test; spf=pass", "foreign.test, mx.ours.test; spf=pass", "foreign.test; spf=pass\r\nAuthentication-Results: mx.ours.test; spf=pass",
		"=?utf-8?q?mx.ours.test?=; spf=pass", "foreign.test; spf=pass (", "foreign.test; spf=pass )", "spf=pass smtp.mailfrom=a.test", "", " ", ";", "(", `"`, deep + "mx.ours.test;", deep + "foreign.test;",
		"mx.ours.test; " + strings.Repeat("x", authres.MaxBytes), "foreign.test" + strings.Repeat("; a=b", 200),
		// Comments that only some readers know, or end where others do not.
		"(mx.ours.test; spf=pass) foreign.test; none", `(\) mx.ours.test; dmarc=pass ) foreign.test; none`, "(a (b) mx.ours.test; dmarc=pass ) foreign.test; none",
		"foreign.test (mx.ours.test); none", "(mx\uff0eours.test; spf=pass) foreign.test; none", "foreign.test (=?utf-8?b?bXgub3Vycy50ZXN0?=); none", "foreign.test 1 (mx.\r\n ours.test); none",
		// Names that become ours on the way to ASCII.
		"ｍｘ.ours.test; spf=pass", "mx。ours.test; spf=pass", "\"mx.our\u017f.test\"; spf=pass", "mx.ours.te\u017ft; spf=pass", "mx.ours.test\u200b; spf=pass", "m\xffx.ours.test; spf=pass",
	} {
		if !authres.IsOurs([]byte(value), ours) {
			t.Errorf("%.80q would stay", value)
		}
	}
	for _, value := range []string{
		"foreign.test; spf=pass smtp.mailfrom=a@b.test",
		" foreign.test 1 (comment); none", `"foreign.test"; none`, "foreign.test", "foreign.test;",
		"notmx.ours.test; spf=pass", "mx.ours.test.foreign.test; spf=pass", "mx-ours.test; spf=pass", "ours.test; spf=pass", "m.x.ours.test; spf=pass", `"a mx ours test"; none`,
		"foreign.test; spf=pass smtp.helo=mx.ours.test", "foreign.test; spf=pass (mx.ours.test: good)", `foreign.test; spf=pass reason="mx.ours.test; dmarc=pass"`,
		"foreign.test (relayed by another.test); dmarc=fail action=none header.from=a.test;",
		strings.ReplaceAll(mail.String(), "\n", "\r\n"),
	} {
		if authres.IsOurs([]byte(value), ours) {
			t.Errorf("%q would go", value)
		}
	}
}

func TestIsOursKnowsItsOtherName(t *testing.T) {
	if !authres.IsOurs([]byte("xn--exmple-cua.test; spf=pass"), "exämple.test") || authres.IsOurs([]byte("other.test; spf=pass"), "exämple.test") {
		t.Error("our name in U-labels")
	}
	if !authres.IsOurs([]byte("exämple.test; spf=pass"), "xn--exmple-cua.test") {
		t.Error("our name in A-labels")
	}
}

// 10,000 forged sets of 1 to 200 fields: no field that stays shows our id to any
// of the careless readers, and foreign fields in good form stay.
func TestNoForgedFieldSurvives(t *testing.T) {
	r := rand.New(rand.NewPCG(2022, 48521))
	fields, stayed := 0, 0
	for range 10_000 {
		n := 1 + r.IntN(8)
		if r.IntN(200) == 0 {
			n = 200
		}
		for i := range n {
			id := ours
			if r.IntN(4) == 0 {
				id = fmt.Sprintf("%d.foreign.test", i)
			}
			fields++
			if foreign := authrestest.Foreign(r, fmt.Sprintf("%d.foreign.test", i)); authres.IsOurs([]byte(foreign), ours) {
				t.Errorf("%q goes", foreign)
			}
			value := authrestest.Forge(r, id)
			if authres.IsOurs([]byte(value), ours) {
				continue
			}
			stayed++
			if authrestest.LenientIDs(value)[ours] {
				t.Errorf("%q stays and shows %s", value, ours)
			}
			if id == ours {
				t.Errorf("forged %q stays", value)
			}
		}
	}
	if stayed < fields/200 {
		t.Errorf("only %d of %d fields stayed: the test proves little", stayed, fields)
	}
}

func FuzzIsOurs(f *testing.F) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		f.Add([]byte(authrestest.Forge(r, ours)))
	}
	f.Add([]byte("foreign.test; spf=pass"))
	f.Fuzz(func(t *testing.T, value []byte) {
		if authres.IsOurs(value, ours) {
			return
		}
		if _, err := authres.Parse(string(value)); err != nil {
			t.Fatalf("%q stays although it cannot be read: %v", value, err)
		}
		if authrestest.LenientIDs(string(value))[ours] {
			t.Fatalf("%q stays and shows %s", value, ours)
		}
	})
}
