package engine

import (
	"errors"
	"maps"
	"slices"

	"milterd/checks/all"
	"milterd/internal/config"
	"milterd/internal/strictyaml"
	"milterd/internal/table"
	"milterd/message"
	"milterd/scoring"
)

// exceptions opens the files that the policies name. Its error is everything
// that is wrong with them.
func exceptions(cfg *config.Config, h Host) ([]scoring.Exception, error) {
	var list []scoring.Exception
	var errs []error
	for i := range cfg.Policies {
		p := &cfg.Policies[i]
		open := func(e *table.Entries) table.Tables {
			t, err := e.Open(h.Now, h.Logger)
			errs = append(errs, err)
			return t
		}
		w := &whose{recipient: open(&p.Recipient), sender: open(&p.Sender), network: open(&p.Network), logins: p.Login}
		x := scoring.Exception{Name: p.Name, Applies: w.applies, Mode: message.Mode(p.Mode), Thresholds: message.Thresholds{
			Greylist: changed(p.Thresholds.Greylist), Junk: changed(p.Thresholds.Junk), Reject: changed(p.Thresholds.Reject),
		}}
		for _, name := range slices.Sorted(maps.Keys(p.Checks)) {
			if !p.Checks[name] {
				x.Without = append(x.Without, name)
			}
		}
		list = append(list, x)
	}
	return list, errors.Join(errs...)
}

// exempted checks that lists.allow names checks that exist.
func exempted(cfg *config.Config) error {
	var errs strictyaml.Errors
	names := all.Names()
	allow := cfg.Lists.Node().Key("allow")
	for i := range allow.Len() {
		list := allow.Item(i).Key("exempt")
		for j := range list.Len() {
			at := list.Item(j)
			if name, _ := at.Text(); !slices.Contains(names, name) {
				errs.Add(at.Errorf("no check is called %q%s", name, strictyaml.DidYouMean(name, names)))
			}
		}
	}
	return errs.Err()
}

// changed is the score of a threshold that a policy gives; off is infinite.
func changed(t *config.Threshold) *float64 { return (*float64)(t) }

// whose says for whom a policy is; nil and empty fit everybody.
type whose struct {
	recipient, sender, network table.Tables
	logins                     []string
}

func (w *whose) applies(m *message.Message, to *message.Recipient) bool {
	if w.recipient != nil && !has(w.recipient, to.Path) || w.sender != nil && !has(w.sender, m.MailFrom) {
		return false
	}
	if w.network != nil {
		if _, ok := w.network.Table().FindAddr(m.Session.Client); !ok {
			return false
		}
	}
	return len(w.logins) == 0 || slices.Contains(w.logins, m.Login)
}

func has(t table.Tables, p message.Path) bool {
	if p.Address.IsZero() {
		return false
	}
	_, ok := t.Table().Find(p.Address.String())
	return ok
}
