package arc

import (
	"strings"
	"testing"

	"milterd/message"
)

func TestParseResults(t *testing.T) {
	deep := strings.Repeat("(", 20) + strings.Repeat(")", 20)
	for value, want := range map[string]string{
		" i=1; host.test; none":                  "1| host.test; none",
		"i=50;x":                                 "50|x",
		"\r\n\ti\n = (a (comment\\) )) 7 (c)\t;": "7|",
		" i=07; host.test":                       "7| host.test",
		"(i=2;) i=1 (;) ; host.test":             "1| host.test",
		deep + "i=1;":                            "1|",
		"i=1; i=2; host.test":                    "1| i=2; host.test",
		" host.test; i=1; spf=pass":              "",
		"i=1 host.test; spf=pass":                "",
		"i=1":                                    "",
		"i=0; host.test":                         "",
		"i=51; host.test":                        "",
		"i=100; host.test":                       "",
		"i=-1; host.test":                        "",
		"i=+1; host.test":                        "",
		"i=1.0; host.test":                       "",
		"i=; host.test":                          "",
		"i=x; host.test":                         "",
		"I=1; host.test":                         "",
		"i; host.test":                           "",
		"ii=1; host.test":                        "",
		"(i=1; host.test":                        "",
		"(i=1;\\) host.test":                     "",
		"\xa0i=1; host.test":                     "",
		"":                                       "",
		" ":                                      "",
		"(" + deep + ")i=1; host.test":           "",
		strings.Repeat("(", 100_000):             "",
		"i=" + strings.Repeat("1", 100_000) + "; a.test": "",
	} {
		got := ""
		if n, payload, ok := parseResults(value); ok {
			got = string(rune('0'+n/10)) + string(rune('0'+n%10)) + "|" + payload
			got = strings.TrimPrefix(got, "0")
		}
		if got != want {
			t.Errorf("%.60q: %.60q, want %q", value, got, want)
		}
	}
}

// What made others crash (OpenDMARC issues 183, 222, 236, 242, 31), and more of
// the kind: a chain that fails, whatever else there is.
func TestHostile(t *testing.T) {
	const as, ams, aar = "ARC-Seal: i=1; a=rsa-sha256; cv=none; d=a.test; s=s; b=AAAA\n",
		"ARC-Message-Signature: i=1; a=rsa-sha256; d=a.test; s=s; h=from; bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=; b=AAAA\n",
		"ARC-Authentication-Results: i=1; a.test; none\n"
	long := strings.Repeat("A", 1<<20)
	for _, header := range []string{
		"ARC-Seal: i=1; cv\n",
		"ARC-Seal: i=1; cv\n" + ams + aar,
		"ARC-Seal: i=1; cv=\n" + ams + aar,
		"ARC-Seal: i=1\n" + ams + aar,
		"ARC-Seal:\n" + ams + aar,
		"ARC-Seal: \n",
		"ARC-Seal: ;\n" + ams + aar,
		"ARC-Seal: i=1; cv=none; b=" + long + "\n" + ams + aar,
		"ARC-Seal: i=1; a=rsa-sha256; cv=none; d=a.test; s=s; b=" + long + "\n" + ams + aar,
		"ARC-Seal: i=1; a=rsa-sha256; cv=none; d=a.test; s=" + long + "; b=AAAA\n" + ams + aar,
		as + "ARC-Message-Signature: i=1; b=" + long + "\n" + aar,
		as + "ARC-Message-Signature: i=1; bh=" + long + "\n" + aar,
		as + "ARC-Message-Signature: i\n" + aar,
		as + "ARC-Message-Signature: i=1; h=" + strings.Repeat("from:", 20_000) + "\n" + aar,
		as + ams + "ARC-Authentication-Results: i=1; (null)=pass\n",
		as + ams + "ARC-Authentication-Results: i=1; a.test" + strings.Repeat("; spf=pass", 10_000) + "\n",
		as + ams + "ARC-Authentication-Results: i=1;\n",
		as + ams + "ARC-Authentication-Results:" + strings.Repeat("(", 1<<20) + "\n",
		as + ams + "ARC-Authentication-Results: i=\x00; a.test\n",
		aar, ams, as,
		as + ams + aar,
		strings.Repeat(as+ams+aar, 60),
		strings.Repeat("ARC-Seal:"+strings.Repeat(" i=1;", 1000)+"\n", 50),
		"arc-SEAL \t: i=1; cv\n",
		"ARC-Seal: i=1; a=rsa-sha256; cv=none; d=a.test\xff; s=s; b=AAAA\n" + ams + aar,
	} {
		r := verify(t, verifier(&zone{}), header+"From: a@author.test\n\nbody\n")
		if r.Status != Fail {
			t.Errorf("%.80q: %s", header, r.Status)
		}
	}
	// Names that are only like those of ARC.
	for _, header := range []string{"ARC-Seals: i=1\n", "XARC-Seal: i=1\n", "ARC-: i=1\n", "ARC-Message: i=1\n", "\u0100RC-Seal: i=1\n", "A\u212aC-Seal: i=1\n", ":\n"} {
		if r := verify(t, verifier(&zone{}), header+"From: a@author.test\n\nbody\n"); r.Status != None {
			t.Errorf("%q: %s", header, r.Status)
		}
	}
}

// A set whose results cannot be read says nothing, and that is all.
func TestUnreadableResults(t *testing.T) {
	for _, payload := range []string{" (null)=pass", " host.test; spf=pass (", ""} {
		s := Set{payload: payload}
		if f, err := s.Results(); err == nil || len(f.Methods) > 0 {
			t.Errorf("%q: %+v, %v", payload, f, err)
		}
	}
}

func TestResults(t *testing.T) {
	var fields []message.Field
	for _, value := range []string{
		" mx.test; spf=pass smtp.mailfrom=a@b.test;\n\tdkim=none;", " other.test; dmarc=pass", "MX.test ;\n dmarc=pass (x;y) header.from=b.test \n",
		"mx.test; none", "mx.test (c); iprev=pass", "mx.test 1; iprev=pass", "mx.test; auth=pass (", "mx.test.evil; auth=pass", "mx.test",
	} {
		fields = append(fields, message.Field{Name: "Authentication-Results", Value: value})
	}
	fields = append(fields, message.Field{Name: "authentication-RESULTS ", Value: "mx.test; arc=none"})
	want := "mx.test;\n\tspf=pass smtp.mailfrom=a@b.test;\n\tdkim=none;\n\tdmarc=pass (x;y) header.from=b.test;\n\tarc=none"
	if got := Results(fields, "mx.test"); got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := Results(fields, "nobody.test"); got != "" {
		t.Errorf("%q of nobody", got)
	}
}
