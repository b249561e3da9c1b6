package mime_test

import (
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"

	"milterd/mime"
)

// urlFacts returns the facts of a URL without their prefix.
func urlFacts(u mime.URL) string {
	return strings.TrimPrefix(strings.ReplaceAll(u.Facts.String(), ",URL_", ","), "URL_")
}

func TestParseURL(t *testing.T) {
	tests := []struct{ name, ref, want, host, facts string }{
		{"plain", "http://example.com/a?b#c", "http://example.com/a?b#c", "example.com", ""},
		{"capitals", "HTTP://EXAMPLE.com/A", "http://example.com/A", "example.com", ""},
		{"white space around", " \r\n\thttp://example.com\n ", "http://example.com", "example.com", ""},
		{"line break inside", "http://exa\r\n\tmple.com/", "http://example.com/", "example.com", ""},
		{"usual port", "https://example.com:443/", "https://example.com/", "example.com", ""},
		{"zeros before it", "https://example.com:000443/", "https://example.com/", "example.com", ""},
		{"other port", "http://example.com:8080", "http://example.com:8080", "example.com", ""},
		{"empty port", "http://example.com:/", "http://example.com/", "example.com", ""},
		{"no port", "http://example.com:8o80/", "http://example.com/", "example.com", "BAD_HOST"},
		{"underscore", "http://a_b.example.com/", "http://a_b.example.com/", "a_b.example.com", ""},
		{"query without path", "http://example.com?x=@evil.test", "http://example.com?x=@evil.test", "example.com", ""},

		{"user name", "http://www.bank.test@evil.test/", "http://evil.test/", "evil.test", "USERINFO"},
		{"user name and password", "http://www.bank.test:80@evil.test:81/", "http://evil.test:81/", "evil.test", "USERINFO"},
		{"two at signs", "http://a@b@evil.test/", "http://evil.test/", "evil.test", "USERINFO"},
		{"long user name", "http://" + strings.Repeat("a", 20000) + "@evil.test/", "http://evil.test/", "evil.test", "USERINFO"},

		{"address", "http://192.0.2.1/", "http://192.0.2.1/", "192.0.2.1", "ADDRESS"},
		{"one number", "http://3221225985/", "http://192.0.2.1/", "192.0.2.1", "ADDRESS,ODD_ADDRESS"},
		{"hexadecimal", "http://0xC0000201/", "http://192.0.2.1/", "192.0.2.1", "ADDRESS,ODD_ADDRESS"},
		{"octal", "http://0300.0.02.01/", "http://192.0.2.1/", "192.0.2.1", "ADDRESS,ODD_ADDRESS"},
		{"two numbers", "http://192.513/", "http://192.0.2.1/", "192.0.2.1", "ADDRESS,ODD_ADDRESS"},
		{"mixed", "http://0xc0.0.0x02.1/", "http://192.0.2.1/", "192.0.2.1", "ADDRESS,ODD_ADDRESS"},
		{"address with a dot", "http://192.0.2.1./", "http://192.0.2.1/", "192.0.2.1", "ADDRESS,DISGUISED_HOST"},
		{"too large", "http://4294967296/", "http://4294967296/", "", "ADDRESS,BAD_HOST"},
		{"too large a part", "http://256.1.1.1/", "http://256.1.1.1/", "", "ADDRESS,BAD_HOST"},
		{"five parts", "http://1.2.3.4.5/", "http://1.2.3.4.5/", "", "ADDRESS,BAD_HOST"},
		{"not octal", "http://08.1.1.1/", "http://08.1.1.1/", "", "ADDRESS,BAD_HOST"},
		{"IPv6", "http://[2001:DB8:0::1]:80/", "http://[2001:db8::1]/", "2001:db8::1", "ADDRESS"},
		{"IPv6 cut off", "http://[2001:db8::1/", "http://[2001:db8::1/", "", "BAD_HOST"},
		{"IPv6 zone", "http://[fe80::1%25eth0]/", "http://[fe80::1%25eth0]/", "", "BAD_HOST"},

		{"U-label", "http://münchen.example/", "http://xn--mnchen-3ya.example/", "xn--mnchen-3ya.example", "INTERNATIONAL"},
		{"A-label", "http://XN--mnchen-3ya.example/", "http://xn--mnchen-3ya.example/", "xn--mnchen-3ya.example", "INTERNATIONAL"},
		{"no A-label", "http://xn--a-ä.example/", "http://xn--a-ä.example/", "", "BAD_HOST"},
		{"bad A-label", "http://xn--0.example/", "http://xn--0.example/", "xn--0.example", "INTERNATIONAL,BAD_HOST"},
		{"percent signs", "http://%65vil%2etest/", "http://evil.test/", "evil.test", "DISGUISED_HOST"},
		{"percent signs of UTF-8", "http://m%C3%BCnchen.example/", "http://xn--mnchen-3ya.example/", "xn--mnchen-3ya.example", "INTERNATIONAL,DISGUISED_HOST"},
		{"percent signs of nothing", "http://%ff.test/", "http://%ff.test/", "", "DISGUISED_HOST,BAD_HOST"},
		{"wide letters", "http://ｅｖｉｌ.test/", "http://evil.test/", "evil.test", "DISGUISED_HOST"},
		{"ideographic full stop", "http://evil。test/", "http://evil.test/", "evil.test", "DISGUISED_HOST"},
		{"soft hyphen", "http://ev\u00adil.test/", "http://evil.test/", "evil.test", "DISGUISED_HOST"},
		{"zero-width space", "http://ev\u200bil.test/", "http://evil.test/", "evil.test", "DISGUISED_HOST"},
		{"dot at the end", "http://evil.test./", "http://evil.test/", "evil.test", "DISGUISED_HOST"},
		{"two dots at the end", "http://evil.test../", "http://evil.test../", "", "DISGUISED_HOST,BAD_HOST"},
		{"wide digits", "http://１９２.0.2.1/", "http://192.0.2.1/", "192.0.2.1", "ADDRESS,DISGUISED_HOST"},

		{"no host", "http:///", "http:///", "", "BAD_HOST,ODD_SYNTAX"},
		{"empty label", "http://a..b/", "http://a..b/", "", "BAD_HOST"},
		{"long label", "http://" + strings.Repeat("a", 64) + ".test/", "http://" + strings.Repeat("a", 64) + ".test/", "", "BAD_HOST"},
		{"long name", "http://" + strings.Repeat("a.", 130) + "test/", "http://" + strings.Repeat("a.", 130) + "test/", "", "BAD_HOST"},
		{"bad character", "http://a<b.test/", "http://a<b.test/", "", "BAD_HOST"},
		{"bad UTF-8", "http://\xff.test/", "http://\xff.test/", "", "BAD_HOST"},

		{"backslashes", `http:\\evil.test\a`, `http://evil.test\a`, "evil.test", "ODD_SYNTAX"},
		{"backslash before the at sign", `http://evil.test\@bank.test/`, `http://evil.test\@bank.test/`, "evil.test", ""},
		{"one slash", "http:/evil.test/", "http://evil.test/", "evil.test", "ODD_SYNTAX"},
		{"no slash", "http:evil.test/", "http://evil.test/", "evil.test", "ODD_SYNTAX"},
		{"five slashes", "http://///evil.test/", "http://evil.test/", "evil.test", "ODD_SYNTAX"},
		{"no scheme", "//evil.test/a", "http://evil.test/a", "evil.test", ""},
		{"no scheme, www", "www.evil.test/a", "http://www.evil.test/a", "www.evil.test", ""},
		{"no scheme, known", "example.com/a", "http://example.com/a", "example.com", ""},
		{"defanged", "hxxp://evil.test/a", "hxxp://evil.test/a", "evil.test", "DEFANGED"},

		{"mailto", "mailto:a@EXAMPLE.com?subject=x@y", "mailto:a@EXAMPLE.com?subject=x@y", "example.com", ""},
		{"mailto nobody", "mailto:?subject=x", "mailto:?subject=x", "", ""},
		{"script", "JavaScript:alert('http://a.test')", "JavaScript:alert('http://a.test')", "", ""},
		{"server in the local network", "file://server/share", "file://server/share", "server", ""},
		{"the same for Windows", `\\server\share`, `file://server\share`, "server", ""},
		{"own file", "file:///etc/passwd", "file:///etc/passwd", "", ""},
		{"own file of Windows", "file://C:/x", "file://C:/x", "", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			u, ok := mime.ParseURL(test.ref)
			if !ok || u.String() != test.want || u.Host != test.host || urlFacts(u) != test.facts {
				t.Errorf("%v: %s, host %q, facts %s", ok, u.String(), u.Host, urlFacts(u))
			}
			checkURL(t, u)
		})
	}
	for _, ref := range []string{"", "  ", "#top", "cid:abc@d", "about:blank", "login.php", "/login", "a b", "index.html", "image.png/", "?x"} {
		if u, ok := mime.ParseURL(ref); ok {
			t.Errorf("%q is a URL: %+v", ref, u)
		}
	}
}

func TestURLMethods(t *testing.T) {
	for _, test := range []struct{ ref, domain, unicode string }{
		{"http://a.b.example.co.uk/", "example.co.uk", "a.b.example.co.uk"},
		{"http://evil.github.io/", "evil.github.io", "evil.github.io"},
		{"http://192.0.2.1/", "192.0.2.1", "192.0.2.1"},
		{"http://[::1]/", "::1", "::1"},
		{"http://localhost/", "localhost", "localhost"},
		{"http://co.uk/", "co.uk", "co.uk"},
		{"http://www.münchen.de/", "xn--mnchen-3ya.de", "www.münchen.de"},
		{"http://xn--0.example/", "xn--0.example", "xn--0.example"},
		{"javascript:x", "", ""},
	} {
		u, _ := mime.ParseURL(test.ref)
		if u.Domain() != test.domain || u.Unicode() != test.unicode {
			t.Errorf("%s: domain %q, shown as %q", test.ref, u.Domain(), u.Unicode())
		}
	}
	if got := (mime.InText | mime.InLabel | mime.InLink | mime.InSource).String(); got != "text,label,link,source" {
		t.Errorf("places %q", got)
	}
}

func TestTextURLs(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"nothing", "", ""},
		{"one", "see http://example.com/a for more", "http://example.com/a"},
		{"end of a sentence", "See http://example.com/a. Or https://example.com/b?", "http://example.com/a https://example.com/b"},
		{"angle brackets", "<http://example.com/a>", "http://example.com/a"},
		{"quotes", `"http://example.com/a"`, "http://example.com/a"},
		{"parentheses", "(http://example.com/a_(b)) (see http://example.com/c)", "http://example.com/a_(b) http://example.com/c"},
		{"no space in front", "clickhttp://example.com/a", "http://example.com/a"},
		{"other schemes", "ftp://example.com/a gopher://example.com/b foo://bar", "ftp://example.com/a http://example.com/b"},
		{"nothing after the scheme", "http:// https://. ://", ""},
		{"one in another", "http://a.test/?u=http://b.test/", "http://a.test/?u=http://b.test/"},
		{"defanged", "hxxp://evil.test/a", "hxxp://evil.test/a"},
		{"www", "go to www.evil.test/a, WWW.EVIL2.TEST or ...www.evil3.test", "http://www.evil.test/a http://www.evil2.test http://www.evil3.test"},
		{"www of nothing", "www. www.a www...", ""},
		{"known names", "buy at example.com, bit.ly/x or Example.ORG:8080/x?y", "http://example.com http://bit.ly/x http://example.org:8080/x?y"},
		{"names nobody has", "foo.invalid file.txt e.g. etc. 1.2.3.4 v1.2 a.b", ""},
		{"forgotten space", "the end.In the beginning.It was", ""},
		{"not forgotten", "EXAMPLE.IT example.it Example.It/x", "http://example.it http://example.it http://example.it/x"},
		{"addresses of mail", "a@example.com first.last@example.com a@b.example.com <c@example.com>", ""},
		{"address with a scheme", "http://192.0.2.1/a", "http://192.0.2.1/a"},
		{"without a dot", "http://3221225985/a http://localhost/", "http://192.0.2.1/a http://localhost/"},
		{"user name", "http://bank.com@evil.test/", "http://evil.test/"},
		{"other scripts in front", "请访问example.com谢谢 または、www.evil.test。", "http://example.com http://www.evil.test"},
		{"U-labels", "münchen.de und сайт.рф/x", "http://xn--mnchen-3ya.de http://xn--80aswg.xn--p1ai/x"},
		{"dashes around", "--example.com-- _example.net_ *http://example.org*", "http://example.com http://example.net http://example.org"},
		{"punctuation of other scripts", "«http://example.com/a» “http://example.com/b”", "http://example.com/a http://example.com/b"},
		{"lines", "http://example.com/a\nhttp://example.com/b\r\nexample.net\n", "http://example.com/a http://example.com/b http://example.net"},
		{"last character", "http://example.com/ü", "http://example.com/ü"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var got []string
			for u := range mime.TextURLs(test.text) {
				got = append(got, u.String())
				checkURL(t, u)
			}
			if strings.Join(got, " ") != test.want {
				t.Errorf("%q, want %q", got, test.want)
			}
		})
	}
	for range mime.TextURLs("http://a.test http://b.test") {
		break // and no more is asked for
	}
}

var hostName = regexp.MustCompile(`^[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*$`)

// checkURL verifies what must hold for every URL.
func checkURL(t *testing.T, u mime.URL) {
	t.Helper()
	addr, err := netip.ParseAddr(u.Host)
	switch {
	case u.Addr.IsValid():
		if err != nil || addr != u.Addr || addr.String() != u.Host || !u.Facts.Has(mime.URLAddress) {
			t.Fatalf("address %v, host %q, facts %v", u.Addr, u.Host, u.Facts)
		}
	case u.Host != "" && (err == nil || len(u.Host) > 253 || !hostName.MatchString(u.Host)):
		t.Fatalf("host %q of %q", u.Host, u.Raw)
	case u.Host == "" && (u.Scheme == "http" || u.Scheme == "https") && !u.Facts.Has(mime.URLBadHost):
		t.Fatalf("no host in %q, and not said", u.Raw)
	}
	if len(u.Raw) > 8<<10 || len(u.Path) > 8<<10 || len(u.Displayed) > 200 || u.Scheme != strings.ToLower(u.Scheme) || u.Scheme == "" {
		t.Fatalf("%+v", u)
	}
}

func textURLs(t *testing.T, text string) []mime.URL {
	t.Helper()
	found := slices.Collect(mime.TextURLs(text))
	for _, u := range found {
		checkURL(t, u)
		u.Unicode()
		u.Domain()
	}
	return found
}

func FuzzTextURLs(f *testing.F) {
	f.Add("see http://example.com/a_(b). www.evil.test, <hxxp://a@1.2.3/>", "example.com")
	f.Add("请访问example.com谢谢 münchen.de http://ｅｖｉｌ。test/%41", "a@b.com http://[::1]:80/")
	f.Add("http://xn--0.example:99999/ 0x7f.1", "сайт.рф/x Example.It ://")
	f.Fuzz(func(t *testing.T, one, two string) {
		first, second := textURLs(t, one), textURLs(t, two)
		at := 0
		for _, u := range first {
			// In order, nothing made up, and found again by itself.
			i := strings.Index(one[at:], u.Raw)
			if i < 0 || u.Raw == "" {
				t.Fatalf("%q is not in what is left of %q", u.Raw, one)
			}
			at += i + len(u.Raw)
			if again := textURLs(t, u.Raw); len(u.Raw) < 8<<10 && (len(again) != 1 || again[0] != u) {
				t.Fatalf("%+v by itself is %+v", u, again)
			}
		}
		// Lines do not know of each other.
		if both := textURLs(t, one+"\n"+two); !slices.Equal(both, slices.Concat(first, second)) {
			t.Fatalf("%q has %v, %q has %v, together %v", one, first, two, second, both)
		}
	})
}

func FuzzParseURL(f *testing.F) {
	f.Add("http://www.bank.test:80@0xC0000201:81/\\x")
	f.Add("HTTP:\\\\%65vil。test.")
	f.Add("mailto:a%40b?c")
	f.Fuzz(func(t *testing.T, ref string) {
		u, ok := mime.ParseURL(ref)
		if !ok {
			return
		}
		checkURL(t, u)
		if u.Host == "" || u.Scheme == "mailto" || len(u.Path) >= 8<<10 {
			return
		}
		// Normalised, it is what it was, without its disguise.
		again, ok := mime.ParseURL(u.String())
		if !ok || again.String() != u.String() || again.Host != u.Host || again.Facts.Has(mime.URLDisguisedHost) || again.Facts.Has(mime.URLOddAddress) || again.Facts.Has(mime.URLUserinfo) {
			t.Fatalf("%q is %q, and that is %+v", ref, u.String(), again)
		}
	})
}
