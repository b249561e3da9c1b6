package header

import (
	"strings"
	"testing"
	"time"

	"milterd/checks"
	"milterd/checks/checktest"
)

const received = "Received: from a.test (a.test [192.0.2.1]) by b.test; Fri, 20 Nov 2026 11:59:00 +0000\n"

func TestRun(t *testing.T) {
	h := checktest.New(t, Spec(), "", checks.Env{})
	for _, test := range []struct {
		name, text string
		want       string
	}{
		{"nothing to see", received + "Date: Fri, 20 Nov 2026 12:58:00 +0100\nFrom: Ann <ann@a.test>\nReply-To: ann@mail.a.test\nMessage-ID: <1@a.test>\nSubject: lunch", ""},
		{"a weekend in a queue", received + "Date: Mon, 16 Nov 2026 12:58:00 +0100", ""},
		{"yesterday's clock", received + "Date: Thu, 19 Nov 2026 12:58:00 +0100", ""},
		{"tomorrow", received + "Date: Sat, 21 Nov 2026 12:58:00 +0100", "HEADER_DATE_FUTURE"},
		{"another year", received + "Date: Wed, 20 Nov 2024 12:58:00 +0100", "HEADER_DATE_PAST"},
		{"the top hop counts", "Received: by x.test; Tue, 1 Oct 2024 10:00:00 +0000\n" + received + "Date: Tue, 1 Oct 2024 12:00:00 +0200", ""},
		{"a hop without a time is passed over", "Received: by x.test\n" + received + "Date: Tue, 1 Oct 2024 12:00:00 +0200", "HEADER_DATE_PAST"},
		{"without hops nothing is old", "Date: Tue, 1 Oct 2024 12:00:00 +0200", ""},
		{"without hops the transaction counts", "Date: Sun, 22 Nov 2026 12:00:00 +0200", "HEADER_DATE_FUTURE"},
		{"sloppy and in time", received + "Date: Fri Nov 20 11:00:00 2026", ""},
		{"no date", received + "Date: now", "HEADER_DATE_UNREADABLE"},
		{"not the day it says", received + "Date: Mon, 20 Nov 2026 11:00:00 +0000", "HEADER_DATE_WEEKDAY"},
		{"answers go elsewhere", "From: Ann <ann@a.test>\nReply-To: Ann <ann.a@mail.example>", "HEADER_REPLY_TO_OTHER"},
		{"answers go to another desk", "From: Ann <ann@news.a.test>\nReply-To: <help@a.test>", ""},
		{"no author to compare with", "From: nobody\nReply-To: <help@a.test>", ""},
		{"from the recipient himself", "From: Rcpt <RCPT@mx.test>", "HEADER_FROM_IS_RCPT HEADER_FROM_OUR_DOMAIN"},
		{"from a colleague", "From: <other@mx.test>\nMessage-ID: <1@mx.test>", "HEADER_FROM_OUR_DOMAIN"},
		{"the address in the subject", "Subject: rcpt@mx.test your password ends today", "HEADER_SUBJECT_HAS_RCPT"},
		{"the domain in the subject", "Subject: mx.test", ""},
		{"an id of our own", "From: a@a.test\nMessage-ID: <123@mx.test>", "HEADER_ID_OF_RCPT"},
		{"an id of a host without a domain", "From: a@a.test\nMessage-ID: <123@localhost>", ""},
		{"a domain for a name", `From: "Bank.com Support" <a@a.test>`, "HEADER_NAME_HAS_DOMAIN"},
		{"its own domain for a name", `From: "Shop.com" <news@mail.shop.com>`, ""},
		{"a name with a dot", `From: "Dr.Smith Jr.dev" <a@a.test>`, ""},
		{"an address for a name is package author's", `From: "a@bank.com" <a@a.test>`, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			var names []string
			for _, f := range h.Run(checktest.Mail{Text: test.text + "\n\nhello\n"}).Findings {
				names = append(names, f.Name)
			}
			if got := strings.Join(names, " "); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestConfig(t *testing.T) {
	if _, err := checktest.TryNew(t, Spec(), "days: 3", checks.Env{}); err == nil {
		t.Error("an unknown key is taken")
	}
}

// What can be read is read to the same time again, however it was spaced.
func FuzzDate(f *testing.F) {
	for _, s := range []string{"Fri, 20 Nov 2026 12:58:00 +0100", "20 Nov 26 9:00:00 PM", "Fri Nov 20 11:00:00 2026", "2026-11-20T11:00:00Z", "Mon, 1 Jan 2024 00:00:00 (a", "("} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		at, ok := parseDate(text)
		if !ok {
			return
		}
		if len(strings.TrimSpace(text)) > maxDate {
			t.Fatalf("%d bytes are a date", len(text))
		}
		if year := at.UTC().Year(); year < 1 || year > 9999 {
			return // no year that could be written again
		}
		again, ok := parseDate(at.UTC().Format(time.RFC1123Z))
		if !ok || !again.Equal(at.Truncate(time.Second)) {
			t.Errorf("%q is %s and then %s", text, at, again)
		}
	})
}
