package dns

import (
	"context"
	"errors"
	"net"
)

// An Outcome is how a look-up ended, in one word for metrics. The error of the
// look-up makes the same distinctions with its flags.
type Outcome string

// The outcomes of a look-up.
const (
	OutcomeOK       Outcome = "ok"       // records
	OutcomeNXDomain Outcome = "nxdomain" // no such name
	OutcomeNoData   Outcome = "nodata"   // no such records
	OutcomeServFail Outcome = "servfail" // the servers could not find out
	OutcomeRefused  Outcome = "refused"  // the servers do not want to
	OutcomeTimeout  Outcome = "timeout"  // nobody answered, or the asker's time was over
	OutcomeError    Outcome = "error"    // malformed, too large, a CNAME loop, another rcode
	OutcomeBudget   Outcome = "budget"   // the message's queries are used up
)

// ErrBudget is inside the error of a look-up that was not made because its group
// had no queries left. It has the method BudgetExceeded() bool, so that packages
// which do not know this one can tell by errors.As. What to conclude is the
// asker's business: the sender's own records asked for too much, and coming back
// later would change nothing.
var ErrBudget error = budgetError{}

type budgetError struct{}

func (budgetError) Error() string        { return "dns: query budget used up" }
func (budgetError) BudgetExceeded() bool { return true }

// ErrBudgetTime is inside the error of a look-up whose group has waited long
// enough. Unlike ErrBudget this is a temporary error and a timeout: slowness may
// be our resolver's as well as the sender's, and RFC 7208, section 4.6.4 makes
// it a temperror.
var ErrBudgetTime = errors.New("dns: time budget used up")

// errClosed is inside the errors of a closed Resolver.
var errClosed = errors.New("dns: resolver is closed")

// notFound is the answer for a name that does not exist.
func notFound(name string) *answer {
	return &answer{
		outcome: OutcomeNXDomain,
		err:     &net.DNSError{Err: "no such host", Name: name, IsNotFound: true},
	}
}

// failure is an answer that is none: the question may succeed later.
func failure(name string, outcome Outcome, text string) *answer {
	return &answer{
		outcome: outcome,
		err: &net.DNSError{
			Err:         text,
			Name:        name,
			IsTemporary: true,
			IsTimeout:   outcome == OutcomeTimeout,
		},
	}
}

// overBudget is the answer when the group's queries are used up.
func overBudget(name string) *answer {
	return &answer{
		outcome: OutcomeBudget,
		err:     &net.DNSError{UnwrapErr: ErrBudget, Err: "query budget used up", Name: name},
	}
}

// gaveUp is the answer for an asker whose context ended first.
func gaveUp(ctx context.Context, name string) *answer {
	cause := context.Cause(ctx)
	a := failure(name, OutcomeTimeout, "the asker stopped waiting")
	if errors.Is(cause, ErrBudgetTime) {
		a.err.Err = "time budget used up"
	}
	a.err.UnwrapErr = cause
	return a
}
