package pipeline

import (
	"errors"
	"fmt"

	"milterd/checks"
)

// plan orders the checks so that each comes after those it needs, keeping the
// given order otherwise, and reports needs that cannot be met.
func plan(specs []checks.Spec) ([]checks.Spec, error) {
	byName := map[string]checks.Spec{}
	var errs []error
	for _, s := range specs {
		if _, dup := byName[s.Name]; dup {
			errs = append(errs, fmt.Errorf("check %s is listed twice", s.Name))
		}
		byName[s.Name] = s
	}
	const (
		unseen = iota
		open
		placed
	)
	state := map[string]int{}
	var order []checks.Spec
	var place func(s checks.Spec, path string)
	place = func(s checks.Spec, path string) {
		path += s.Name
		switch state[s.Name] {
		case placed:
			return
		case open:
			errs = append(errs, fmt.Errorf("checks need each other: %s", path))
			return
		}
		state[s.Name] = open
		follow := func(name string, needed bool) {
			dep, enabled := byName[name]
			switch {
			case !enabled && needed:
				errs = append(errs, fmt.Errorf("check %s needs check %s, which is off", s.Name, name))
			case !enabled:
			case dep.Phase > s.Phase:
				errs = append(errs, fmt.Errorf("check %s (phase %s) cannot wait for check %s (phase %s)", s.Name, s.Phase, name, dep.Phase))
			case needed && s.Outbound && !dep.Outbound:
				errs = append(errs, fmt.Errorf("check %s runs on outbound mail, check %s, which it needs, does not", s.Name, name))
			case dep.Phase == checks.Rcpt:
				errs = append(errs, fmt.Errorf("check %s cannot use check %s, which has a result for each recipient", s.Name, name))
			default:
				place(dep, path+" -> ")
			}
		}
		for _, name := range s.Needs {
			follow(name, true)
		}
		for _, name := range s.After {
			follow(name, false)
		}
		state[s.Name] = placed
		order = append(order, s)
	}
	for _, s := range specs {
		switch {
		case s.BodyReader && s.Phase != checks.Header:
			errs = append(errs, fmt.Errorf("check %s reads the body as it arrives, so its phase must be header", s.Name))
		case s.BodyReader && s.Timeout != 0:
			errs = append(errs, fmt.Errorf("check %s reads the body as it arrives, so a timeout would bound the client", s.Name))
		}
		place(s, "")
	}
	return order, errors.Join(errs...)
}
