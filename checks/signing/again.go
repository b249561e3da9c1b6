package signing

import (
	"context"
	"net"
	"slices"
	"strings"

	"milterd/checks"
	"milterd/dkim"
	"milterd/internal/keys"
	"milterd/message"
)

// maxAgain bounds the signatures that are tried. A message that went through us
// before has as many of ours as its domain has keys.
const maxAgain = 4

// again reports whether a valid signature of the domain's own keys is on the message
// already: mail that comes back from a content filter. That takes our key, and not
// our name. The whole body has arrived.
func (c *check) again(ctx context.Context, in *checks.Input, list []dkim.SigningKey) (bool, error) {
	fields := in.Message.Header.Fields
	if in.Message.Header.Count(dkim.FieldName) == 0 {
		return false, nil
	}
	own := 0
	others := func(i int) bool {
		if !strings.EqualFold(fields[i].Name, dkim.FieldName) {
			return false
		}
		s, err := dkim.ParseSignature(fields, i)
		if err != nil || !isKey(list, s.Domain, s.Selector) {
			return true
		}
		own++
		return own > maxAgain
	}
	kept := make([]message.Field, 0, len(fields))
	for i := range fields {
		if !others(i) {
			kept = append(kept, fields[i])
		}
	}
	if own == 0 {
		return false, nil
	}
	v := (&dkim.Verifier{Resolver: published(list), Now: c.now}).Start(ctx, kept, list[0].Domain)
	err := v.Follow(ctx, in.Body)
	results := v.Finish(ctx) // in any case: it ends the look-ups
	passed := slices.ContainsFunc(results, func(r dkim.Result) bool { return r.Status == dkim.Pass })
	return err == nil && passed, err
}

// published answers as the DNS would for the public halves of our own keys.
type published []dkim.SigningKey

// LookupTXT implements [dkim.TXTResolver].
func (p published) LookupTXT(_ context.Context, name string) ([]string, error) {
	for i := range p {
		if dkim.KeyName(p[i].Domain, p[i].Selector) == name {
			return []string{keys.Record(p[i].Private.Public())}, nil
		}
	}
	return nil, &net.DNSError{Err: "not one of our keys", Name: name, IsNotFound: true}
}

func isKey(list []dkim.SigningKey, d message.Domain, selector string) bool {
	return slices.ContainsFunc(list, func(k dkim.SigningKey) bool { return k.Domain == d && k.Selector == selector })
}
