// Package auth is the check of the login: did the client prove to our MTA who it is?
//
// SMTP AUTH (RFC 4954) is the MTA's business, and it refuses who fails. What is left
// to say is whose mail this is, in the words in which the other methods speak of the
// mail of strangers.
package auth

import (
	"context"
	_ "embed"

	"milterd/authres"
	"milterd/checks"
	"milterd/message"
)

//go:embed sample.yaml
var sample string

// Spec describes the check. A login makes a message outbound, so that is where the
// check has something to say.
func Spec() checks.Spec {
	return checks.Spec{
		Name:     "auth",
		Phase:    checks.Mail,
		Outbound: true,
		OnError:  checks.OnErrorIgnore,
		Sample:   sample,
		Findings: []checks.FindingSpec{{Name: findPass, Describe: "The client logged in"}},
		New:      newCheck,
	}
}

const findPass = "AUTH_PASS"

// maxDetail bounds what of a login goes into log and journal.
const maxDetail = 200

type check struct{}

var _ checks.Check = check{}

func newCheck(section checks.Section, _ checks.Env) (checks.Check, error) {
	cfg := defaults()
	if err := section.Decode(&cfg); err != nil {
		return nil, err
	}
	return check{}, nil
}

// Run names the login (RFC 8601, section 2.7.4). Without one there is nothing to say:
// "none" would stand on the mail of every stranger.
func (check) Run(_ context.Context, in *checks.Input) (checks.Result, error) {
	login := in.Message.Login
	if login == "" {
		return checks.Result{Outcome: checks.None}, nil
	}
	return checks.Result{
		Findings: []checks.Finding{{Name: findPass, Detail: message.SafeText(login, maxDetail)}},
		Outcome:  checks.Clean,
		Auth: []authres.Method{{Method: "auth", Result: "pass",
			Props: []authres.Prop{{Ptype: "smtp", Property: "auth", Value: login}}}},
	}, nil
}
