package dkim

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	"milterd/message"
)

// TXTResolver looks TXT records up in the DNS.
//
// Names are absolute, without a final dot. A name without TXT records (NODATA)
// is an empty answer and a nil error. An error is or wraps a [*net.DNSError]: with
// IsNotFound the name does not exist (NXDOMAIN), everything else is temporary.
// An error whose chain has a method BudgetExceeded() bool that returns true says
// that this sender has used up the DNS work granted to it: that is a permerror,
// never a temperror.
type TXTResolver interface {
	// LookupTXT returns the TXT records of name, the character-strings of each
	// joined without a separator (RFC 6376, section 3.6.2.2).
	LookupTXT(ctx context.Context, name string) ([]string, error)
}

// Knows reports whether a resolver has a memory and would answer from it, without
// waiting: it has a method KnowsTXT then. What is known needs no goroutine to wait for it.
func Knows(r TXTResolver, name string) bool {
	k, ok := r.(interface{ KnowsTXT(name string) bool })
	return ok && k.KnowsTXT(name)
}

// maxKeys is the most key records of one name that are tried.
const maxKeys = 4

// KeyName returns the name at which the key is published (RFC 6376, section
// 3.6.2.1).
func KeyName(d message.Domain, selector string) string {
	return selector + "._domainkey." + d.String()
}

// LookupKeys fetches the keys of a selector (RFC 6376, section 6.1.2, steps 1 to
// 3). There should be one; where there are several each may be the right one, up
// to a limit, so they come in an order that does not depend on the DNS. Texts at
// that name which are no key records, such as those of a wildcard, are passed
// over.
//
// Without a usable key the error says why: [ErrNoKey], [ErrKeySyntax],
// [ErrKeyRevoked], [ErrKeyAlgorithm], [ErrKeyCount], [ErrBudget], [ErrDNS] or
// [ErrTime].
func LookupKeys(ctx context.Context, r TXTResolver, d message.Domain, selector string) ([]*Key, error) {
	txts, err := r.LookupTXT(ctx, KeyName(d, selector))
	if err != nil {
		return nil, lookupFault(ctx, err)
	}
	var keys []*Key
	var why error
	records := 0
	for _, txt := range txts {
		key, err := ParseKey(txt)
		if errors.Is(err, ErrNoKey) {
			continue
		}
		if records++; records > maxKeys {
			return nil, ErrKeyCount
		}
		if err == nil {
			keys = append(keys, key)
		} else if why == nil || err.Error() < why.Error() {
			why = err
		}
	}
	switch {
	case records == 0:
		return nil, ErrNoKey
	case len(keys) == 0:
		return nil, why
	}
	if len(keys) > 1 {
		slices.SortFunc(keys, func(a, b *Key) int { return strings.Compare(a.record, b.record) })
	}
	return keys, nil
}

// lookupFault sorts the errors of a resolver.
func lookupFault(ctx context.Context, err error) error {
	if b, ok := errors.AsType[budgetError](err); ok && b.BudgetExceeded() {
		return fmt.Errorf("%w: %w", ErrBudget, err)
	}
	if d, ok := errors.AsType[*net.DNSError](err); ok && d.IsNotFound && !d.IsTemporary && !d.IsTimeout {
		return ErrNoKey
	}
	if ctx.Err() != nil {
		return fmt.Errorf("%w: %w", ErrTime, err)
	}
	return fmt.Errorf("%w: %w", ErrDNS, err)
}

// budgetError is how a resolver says that the sender used up its DNS work.
type budgetError interface {
	error
	BudgetExceeded() bool
}
