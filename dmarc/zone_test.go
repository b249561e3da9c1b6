package dmarc

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	"milterd/message"
)

// zone is a Resolver that answers from memory and keeps a list of what it was
// asked. A name exists if it or a name below it has a record.
type zone struct {
	txt  map[string][]string
	fail map[string]error

	mu    sync.Mutex
	asked []string
}

// errBudget is what a resolver says when a message has asked enough.
var errBudget = &net.DNSError{Err: "query budget used up", UnwrapErr: queriesError{}}

// zoneOf reads lines of "name value": a TXT record, or for the values FAIL,
// TIMEOUT and BUDGET the way in which the question goes wrong.
func zoneOf(text string) *zone {
	z := &zone{txt: map[string][]string{}, fail: map[string]error{}}
	for line := range strings.Lines(text) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), " ")
		switch {
		case !ok:
		case value == "FAIL":
			z.fail[name] = &net.DNSError{Err: "SERVFAIL", Name: name, IsTemporary: true}
		case value == "TIMEOUT":
			z.fail[name] = &net.DNSError{Err: "timeout", Name: name, IsTimeout: true, IsTemporary: true}
		case value == "BUDGET":
			z.fail[name] = errBudget
		default:
			z.txt[name] = append(z.txt[name], value)
		}
	}
	return z
}

func (z *zone) LookupTXT(ctx context.Context, name string) ([]string, error) {
	z.mu.Lock()
	z.asked = append(z.asked, name)
	z.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, &net.DNSError{Err: err.Error(), Name: name, IsTimeout: true, IsTemporary: true}
	}
	if len(name) > 253 || strings.HasSuffix(name, ".") {
		return nil, fmt.Errorf("asked for %q, which is not a name", name)
	}
	if err := z.fail[name]; err != nil {
		return nil, err
	}
	if txts := z.txt[name]; txts != nil {
		return txts, nil
	}
	for at := range z.txt {
		if strings.HasSuffix(at, "."+name) {
			return nil, nil
		}
	}
	return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
}

// questions returns what was asked since the last time, sorted, without "_dmarc.".
func (z *zone) questions() string {
	z.mu.Lock()
	defer z.mu.Unlock()
	var names []string
	for _, name := range z.asked {
		names = append(names, strings.TrimPrefix(name, prefix))
	}
	z.asked = nil
	slices.Sort(names)
	return strings.Join(names, " ")
}

func domain(t testing.TB, s string) message.Domain {
	t.Helper()
	if s == "" {
		return message.Domain{}
	}
	d, err := message.ParseDomain(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// identifiers reads "spf:a.test dkim:b.test dkim?c.test": a colon for what was
// authenticated, a question mark for what met a temperror.
func identifiers(t testing.TB, text string) Identifiers {
	t.Helper()
	var ids Identifiers
	for _, word := range strings.Fields(text) {
		i := strings.IndexAny(word, ":?")
		id := Identifier{Domain: domain(t, word[i+1:]), TempError: word[i] == '?'}
		if word[:i] == "spf" {
			ids.SPF = id
		} else {
			ids.DKIM = append(ids.DKIM, id)
		}
	}
	return ids
}
