package auth

import (
	"context"
	"strings"
	"testing"

	"milterd/authres"
	"milterd/checks"
	"milterd/checks/checktest"
	"milterd/message"
)

func TestRun(t *testing.T) {
	h := checktest.New(t, Spec(), "", checks.Env{})
	for name, test := range map[string]struct {
		mail    checktest.Mail
		outcome checks.Outcome
		detail  string
		auth    string
	}{
		"a stranger":       {checktest.Mail{}, checks.None, "", "none"},
		"our own network":  {checktest.Mail{Role: message.Outbound}, checks.None, "", "none"},
		"an address":       {checktest.Mail{Login: "ann@example.org", Role: message.Outbound}, checks.Clean, "ann@example.org", "auth=pass smtp.auth=ann@example.org"},
		"a bare login":     {checktest.Mail{Login: "ann", Role: message.Outbound}, checks.Clean, "ann", "auth=pass smtp.auth=ann"},
		"an odd login":     {checktest.Mail{Login: "ann; dmarc=pass\r\n", Role: message.Outbound}, checks.Clean, "ann; dmarc=pass??", `auth=pass smtp.auth="ann? dmarc?pass??"`},
		"a sender beside":  {checktest.Mail{Login: "ann", From: "<bob@example.org>", Role: message.Outbound}, checks.Clean, "ann", "auth=pass smtp.auth=ann"},
		"the null sender":  {checktest.Mail{Login: "ann", From: "<>", Role: message.Outbound}, checks.Clean, "ann", "auth=pass smtp.auth=ann"},
		"through a relay":  {checktest.Mail{Login: "mx2", Peer: message.Relay, Role: message.Outbound}, checks.Clean, "mx2", "auth=pass smtp.auth=mx2"},
		"an absurd length": {checktest.Mail{Login: strings.Repeat("a", 300)}, checks.Clean, strings.Repeat("a", 200), "auth=pass smtp.auth=" + strings.Repeat("a", 253) + "..."},
	} {
		t.Run(name, func(t *testing.T) {
			res := h.Run(test.mail)
			if res.Ended() != test.outcome || res.Demand != nil {
				t.Errorf("%s, %+v", res.Ended(), res.Demand)
			}
			detail := ""
			for _, f := range res.Findings {
				detail += f.Detail
			}
			if detail != test.detail {
				t.Errorf("%q, want %q", detail, test.detail)
			}
			field := authres.Field{AuthservID: "mx.test", Methods: res.Auth}.String()
			if got := strings.Join(strings.Fields(strings.TrimPrefix(field, "mx.test;")), " "); got != test.auth {
				t.Errorf("%s, want %s", got, test.auth)
			}
		})
	}
}

func TestConfig(t *testing.T) {
	got := config{}
	if err := checktest.Section(sample).Decode(&got); err != nil || got != defaults() {
		t.Errorf("sample.yaml is %+v, %v; the defaults are %+v", got, err, defaults())
	}
	if _, err := checktest.TryNew(t, Spec(), "enable: true", checks.Env{}); err == nil || !strings.Contains(err.Error(), "enabled") {
		t.Errorf("unknown key: %v", err)
	}
	if spec := Spec(); spec.OnError != defaults().OnError || !spec.Outbound || spec.Phase != checks.Mail {
		t.Errorf("%+v", spec)
	}
}

func BenchmarkRun(b *testing.B) {
	h := checktest.New(b, Spec(), "", checks.Env{})
	for name, login := range map[string]string{"stranger": "", "user": "ann@example.org"} {
		b.Run(name, func(b *testing.B) {
			in := &checks.Input{Message: &message.Message{Session: &message.Session{}, Login: login}}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := h.Check().Run(context.Background(), in); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
