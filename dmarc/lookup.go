package dmarc

import (
	"context"
	"errors"
	"net"
	"sync"

	"milterd/message"
)

// Step is one question for a DMARC Policy Record and its answer.
type Step struct {
	// Domain is the name in question; the record would be at _dmarc below it.
	Domain message.Domain
	// Records is how many DMARC records there are. With more than one they all are
	// discarded (RFC 9989, section 4.10, step 2), so nothing is found.
	Records int
	// Text and Record are the record found, as published and as read.
	Text   string
	Record Record
	// Unusable is ErrRequest where the record says nothing that could be done.
	Unusable error
	// NotFound says that not even _dmarc.Domain exists.
	NotFound bool
	// Err is why there is no answer.
	Err error
}

// Found reports whether there is one record.
func (s *Step) Found() bool { return s.Records == 1 }

// errQueries is the error of a question beyond MaxQueries.
var errQueries = queriesError{}

type queriesError struct{}

func (queriesError) Error() string        { return "too many questions for one evaluation" }
func (queriesError) BudgetExceeded() bool { return true }

// budgetError is how a Resolver says that no more may be asked.
type budgetError interface {
	error
	BudgetExceeded() bool
}

func isOverBudget(err error) bool {
	b, ok := errors.AsType[budgetError](err)
	return ok && b.BudgetExceeded()
}

func isNotFound(err error) bool {
	d, ok := errors.AsType[*net.DNSError](err)
	return ok && d.IsNotFound && !d.IsTemporary && !d.IsTimeout
}

// lookups asks each question of an evaluation once. It is used by one goroutine.
type lookups struct {
	resolver Resolver
	steps    []*Step // asked so far
	queries  int
	author   *existence
}

// existence is whether the Author Domain exists.
type existence struct {
	is  bool
	err error
}

// ask returns the steps for names, in their order. What has not been asked before
// is asked side by side: the names of a walk are known from the beginning, and
// most walks go to their end.
func (l *lookups) ask(ctx context.Context, names []message.Domain) []*Step {
	steps := make([]*Step, len(names))
	fresh := make([]*Step, 0, len(names))
	for i, name := range names {
		if steps[i] = l.known(name); steps[i] != nil {
			continue
		}
		s := &Step{Domain: name}
		steps[i], l.steps = s, append(l.steps, s)
		switch {
		case len(prefix)+len(name.String()) > maxName:
			s.NotFound = true // there can be no such name
		case l.queries >= MaxQueries:
			s.Err = errQueries
		default:
			l.queries++
			fresh = append(fresh, s)
		}
	}
	l.fetchAll(ctx, fresh)
	return steps
}

// fetchAll asks for the records of all steps, the last one in this goroutine. A
// Resolver that panics does so here, where the caller can recover: in a goroutine
// of its own it would end the process.
func (l *lookups) fetchAll(ctx context.Context, steps []*Step) {
	if len(steps) == 0 {
		return
	}
	last := len(steps) - 1
	panics := make([]any, last)
	var others sync.WaitGroup
	for i, s := range steps[:last] {
		fetch := func() {
			defer func() { panics[i] = recover() }()
			l.fetch(ctx, s)
		}
		if l.knows(prefix + s.Domain.String()) {
			fetch() // without waiting, which takes no goroutine
		} else {
			others.Go(fetch)
		}
	}
	func() {
		defer others.Wait()
		l.fetch(ctx, steps[last])
	}()
	for _, v := range panics {
		if v != nil {
			panic(v)
		}
	}
}

// knows reports whether the resolver has a memory and would answer from it.
func (l *lookups) knows(name string) bool {
	r, ok := l.resolver.(interface{ KnowsTXT(name string) bool })
	return ok && r.KnowsTXT(name)
}

func (l *lookups) known(name message.Domain) *Step {
	for _, s := range l.steps {
		if s.Domain == name {
			return s
		}
	}
	return nil
}

const (
	prefix  = "_dmarc."
	maxName = 253 // RFC 1035, section 2.3.4, as text
)

// fetch asks for the record at s.Domain.
func (l *lookups) fetch(ctx context.Context, s *Step) {
	txts, err := l.resolver.LookupTXT(ctx, prefix+s.Domain.String())
	switch {
	case err == nil:
	case isNotFound(err):
		s.NotFound = true
		return
	default:
		s.Err = err
		return
	}
	// RFC 9989, section 4.10, step 2: what does not begin with the version is
	// discarded, and so are several records.
	for _, txt := range txts {
		if _, ok := hasVersion(txt); ok {
			s.Records++
			s.Text = txt
		}
	}
	if !s.Found() {
		s.Text = ""
		return
	}
	s.Record, s.Unusable = Parse(s.Text)
}

// exists reports whether the Author Domain exists.
//
// RFC 9989, section 3.2.13: it does not if the answer is NXDOMAIN, to a question
// of any type (appendix A.4). TXT is what SPF has asked already where MAIL FROM
// has the same domain.
func (l *lookups) exists(ctx context.Context, author message.Domain) (bool, error) {
	if l.author == nil {
		l.author = l.lookupExistence(ctx, author)
	}
	return l.author.is, l.author.err
}

func (l *lookups) lookupExistence(ctx context.Context, author message.Domain) *existence {
	// RFC 8020, section 2: below a name that does not exist nothing does.
	if s := l.known(author); s != nil && s.Err == nil && !s.NotFound {
		return &existence{is: true}
	}
	l.queries++
	_, err := l.resolver.LookupTXT(ctx, author.String())
	if isNotFound(err) {
		return &existence{}
	}
	return &existence{err == nil, err}
}
