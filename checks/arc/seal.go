package arc

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"

	"milterd/arc"
	"milterd/authres"
	"milterd/checks"
	"milterd/message"
)

// sealingCheck is the check with sealing on.
type sealingCheck struct {
	*check
	sealer     *arc.Sealer
	authservID string
}

var _ checks.Sealer = (*sealingCheck)(nil)

// errNoResult is the error when the check itself has not ended well.
var errNoResult = errors.New("arc: no result to seal")

// Seal adds an ARC set to mail that is accepted. What the set says is what all
// checks together say in Authentication-Results (RFC 8617, section 4.1.1), so Prior
// has to have the results of all of them.
func (c *sealingCheck) Seal(_ context.Context, in *checks.Input, v *message.Verdict) ([]message.Edit, error) {
	if v.Action.Refuses() || v.Action == message.Discard {
		return nil, nil
	}
	out, ok := checks.Detail[Outcome](in.Prior, "arc")
	if !ok {
		return nil, errNoResult
	}
	m := in.Message
	results := authres.Field{
		AuthservID: cmp.Or(c.authservID, m.Session.MTA, c.sealer.Key.Domain.String()),
		Methods:    methods(in.Prior, &out.Result),
	}
	set, err := c.sealer.Seal(m.Header.Fields, &out.Result, results.String())
	if err != nil || len(set) == 0 {
		return nil, err
	}
	c.metrics.seals.WithLabelValues(out.Result.Status.Wire()).Inc()
	var edits []message.Edit
	for _, f := range set {
		edits = append(edits, message.Edit{Op: message.Insert, Index: 0, Name: f.Name, Value: f.Value[len(" "):]})
	}
	return edits, nil
}

// methods collects what the checks say. A set always says what was found of the
// chain before it, none as well.
func methods(prior checks.Prior, chain *arc.Result) []authres.Method {
	all := []authres.Method{method(chain)}
	for _, name := range slices.Sorted(maps.Keys(prior)) {
		if r := prior[name]; name != "arc" && r.Err == nil {
			all = append(all, r.Auth...)
		}
	}
	return all
}
