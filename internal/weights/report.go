package weights

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"text/tabwriter"
)

// A Line is what the samples say of one rule.
type Line struct {
	Weight
	Ham, Spam int
	Proposed  float64
	Fitted    bool // Proposed is of the data; otherwise it is the weight that ships
}

// Precision is the share of spam among the messages that the rule hits, each kind of
// mail counted as if there were as much of one as of the other.
func (l *Line) Precision(total Rate) float64 {
	spam, ham := share(l.Spam, total.Spam), share(l.Ham, total.Ham)
	if spam+ham == 0 {
		return 0
	}
	return spam / (spam + ham)
}

// Report is what is to be known about weights.
type Report struct {
	Options   Options
	Lines     []Line // in the order of their hits in spam
	Shipped   Rate   // the weights that ship, on all samples
	Fitted    Rate   // proposed ones, on the samples that they were fitted to
	Validated Rate   // such a fit, on messages that it had not seen
}

// NewReport fits, validates and counts.
func (m *Model) NewReport(samples []Sample, o Options) *Report {
	proposed := m.Fit(samples, o)
	f := m.newFit(samples, o)
	r := &Report{Options: o, Lines: make([]Line, len(m.Weights)),
		Shipped: m.Rate(m.Shipped(), samples, o.Threshold), Fitted: m.Rate(proposed, samples, o.Threshold), Validated: m.CrossValidate(samples, o)}
	for i := range m.Weights {
		r.Lines[i] = Line{Weight: m.Weights[i], Proposed: proposed[i], Fitted: f.free[i]}
	}
	for i := range samples {
		for _, at := range f.at[i] {
			if samples[i].Spam {
				r.Lines[at].Spam++
			} else {
				r.Lines[at].Ham++
			}
		}
	}
	slices.SortStableFunc(r.Lines, func(a, b Line) int {
		return cmp.Or(-cmp.Compare(a.Spam, b.Spam), -cmp.Compare(a.Ham, b.Ham), cmp.Compare(a.Name, b.Name))
	})
	return r
}

// Write prints the report as a table: every rule, its hits, how much of what it hits
// is spam, how much of the spam it hits, what it is worth and what the data propose.
// A weight in parentheses was not fitted.
func (r *Report) Write(to io.Writer) error {
	w := tabwriter.NewWriter(to, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "RULE\tCLASS\tHAM\tSPAM\tPRECISION\tRECALL\tSHIPPED\tPROPOSED")
	for i := range r.Lines {
		l := &r.Lines[i]
		precision := "-"
		if l.Ham+l.Spam > 0 {
			precision = percent(l.Precision(r.Shipped))
		}
		proposed := strconv.FormatFloat(l.Proposed, 'f', -1, 64)
		if !l.Fitted {
			proposed = "(" + proposed + ")"
		}
		fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%s\t%s\t%g\t%s\n", l.Name, l.Class, l.Ham, l.Spam, precision, percent(share(l.Spam, r.Shipped.Spam)), l.Points, proposed)
	}
	fmt.Fprintf(w, "\nat %g points\tHAM FILED\t\t\tSPAM FILED\n", r.Options.Threshold)
	for _, row := range []struct {
		name string
		rate Rate
	}{
		{"as shipped", r.Shipped},
		{"as proposed", r.Fitted},
		{fmt.Sprintf("fitted to other messages (%d folds, seed %d)", r.Options.Folds, r.Options.Seed), r.Validated},
	} {
		fmt.Fprintf(w, "%s\t%d of %d, %s\t\t\t%d of %d, %s\n", row.name, row.rate.HamFiled, row.rate.Ham, percent(row.rate.FalsePositives()),
			row.rate.SpamFiled, row.rate.Spam, percent(row.rate.Recall()))
	}
	return w.Flush()
}

func percent(x float64) string { return strconv.FormatFloat(100*x, 'f', 2, 64) + "%" }
