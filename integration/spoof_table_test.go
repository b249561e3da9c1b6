package integration

import (
	"fmt"
	"strings"
	"testing"
)

// A table is Markdown with a column for each rival.
type table struct {
	strings.Builder
	rivals []*rival
}

func (t *table) head(what string) {
	fmt.Fprintf(t, "\n| %s |", what)
	for _, r := range t.rivals {
		fmt.Fprintf(t, " %s |", r.name)
	}
	fmt.Fprintf(t, "\n|---|%s\n", strings.Repeat("---|", len(t.rivals)))
}

func (t *table) row(what string, cell func(*rival) any) {
	fmt.Fprintf(t, "| %s |", what)
	for _, r := range t.rivals {
		fmt.Fprintf(t, " %v |", cell(r))
	}
	t.WriteString("\n")
}

// sum is how many of some fates are as they are asked for.
func sum(fates []fate, is func(int, fate) bool) (n int) {
	for i, f := range fates {
		if is(i, f) {
			n++
		}
	}
	return n
}

// loud is the fate, in bold where it is bad.
func loud(f fate, bad bool) string {
	if bad {
		return "**" + f.String() + "**"
	}
	return f.String()
}

// table is what the rivals answered: the sums, then message by message.
func (c *contest) table(t *testing.T, rivals []*rival) string {
	b := &table{rivals: rivals}
	postfix, err := c.bed.Postfix(within(t), "postconf", "-dh", "mail_version")
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(b, "Postfix: %s\n", strings.TrimSpace(postfix))
	for _, r := range rivals {
		fmt.Fprintf(b, "%s: %s\n", r.name, r.version)
	}
	honest := func(i int) bool { return !failsMildly(c.guards[i].name) }

	b.head(" ")
	b.row(fmt.Sprintf("spoofs that pass, of %d", len(c.spoofs)), func(r *rival) any {
		return sum(r.spoofs, func(_ int, f fate) bool { return f.passes() })
	})
	b.row("of them, called the victim's (`dmarc=pass`)", func(r *rival) any {
		return sum(r.spoofs, func(_ int, f fate) bool { return f.asVictim() })
	})
	b.row("spoofs delivered as spam", func(r *rival) any {
		return sum(r.spoofs, func(_ int, f fate) bool { return f.what == marked && !f.asVictim() })
	})
	for _, what := range []string{refused, marked} {
		n := sum(make([]fate, len(c.guards)), func(i int, _ fate) bool { return honest(i) })
		b.row(fmt.Sprintf("honest messages %s, of %d", strings.Replace(what, "as spam", "delivered as spam", 1), n), func(r *rival) any {
			return sum(r.guards, func(i int, f fate) bool { return honest(i) && f.what == what })
		})
	}
	b.row(fmt.Sprintf("forged results in our name left in, of %d", len(c.beside)-1), func(r *rival) any {
		return sum(r.beside, func(_ int, f fate) bool { return f.forged() })
	})

	b.head("spoof")
	for i, letter := range c.spoofs {
		b.row(letter.name, func(r *rival) any { return loud(r.spoofs[i], r.spoofs[i].passes()) })
	}
	b.row(c.beside[0].name, func(r *rival) any { return loud(r.beside[0], r.beside[0].passes()) })
	b.head("honest mail")
	for i, letter := range c.guards {
		if honest(i) {
			b.row(letter.name, func(r *rival) any { return loud(r.guards[i], r.guards[i].what != accepted) })
		}
	}
	b.head("mail that fails another policy")
	for i, letter := range c.guards {
		if !honest(i) {
			b.row(letter.name, func(r *rival) any { return r.guards[i] })
		}
	}
	b.head("forged results")
	for i, letter := range c.beside[1:] {
		b.row(letter.name, func(r *rival) any {
			switch f := r.beside[1+i]; {
			case f.forged():
				return "**left in**"
			case f.what == accepted || f.what == marked:
				return "taken out"
			default:
				return f
			}
		})
	}
	return b.String()
}

// failsMildly reports whether a guard fails a policy that does not ask to refuse it.
func failsMildly(name string) bool { return strings.HasPrefix(name, "p=") }
