package rules

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
)

// counts gives A 1, B 2, C 3; everything else is 0.
func counts(name string) float64 { return map[string]float64{"A": 1, "B": 2, "C": 3}[name] }

func TestWhen(t *testing.T) {
	for _, c := range []struct {
		when  string
		want  float64
		print string // as when, if empty
	}{
		{"A", 1, ""},
		{"Z_9", 0, ""},
		{"0.5", 0.5, ""},
		{"!A", 0, ""},
		{"!!B", 1, ""},
		{"- -A", 1, "--A"},
		{"1-2-3", -4, "1 - 2 - 3"},
		{"1-(2-3)", 2, "1 - (2 - 3)"},
		{"A+B*C", 7, "A + B * C"},
		{"(A+B)*C", 9, "(A + B) * C"},
		{"2*-C", -6, "2 * -C"},
		{"-2*C", -6, "-2 * C"},
		{"!A+B", 2, "!A + B"},
		{"!(A+B)", 0, "!(A + B)"},
		{"A+B>=C", 1, "A + B >= C"},
		{"A<B&&B<C", 1, "A < B && B < C"},
		{"A||Z&&Z", 1, "A || Z && Z"},
		{"(A||Z)&&Z", 0, "(A || Z) && Z"},
		{"(((A)))", 1, "A"},
		{"A==1", 1, "A == 1"},
		{"(A<B)==1", 1, "(A < B) == 1"},
		{"1==(A<B)", 1, "1 == (A < B)"},
		{"A!=B", 1, "A != B"},
		{"!A!=B", 1, "!A != B"},
		{"B<=2 && B>1.5 && B<2.5", 1, "B <= 2 && B > 1.5 && B < 2.5"},
		{" A\t&&\nB ", 1, "A && B"},
		{"A-A", 0, "A - A"},
	} {
		e, err := parseWhen(c.when)
		if err != nil {
			t.Errorf("%s: %v", c.when, err)
			continue
		}
		want := c.print
		if want == "" {
			want = c.when
		}
		if got := e.eval(counts); got != c.want || e.String() != want || e.hits(counts) != (c.want != 0) {
			t.Errorf("%s is %g (%v), printed %s; want %g, printed %s", c.when, got, e.hits(counts), e, c.want, want)
		}
	}
}

// Comparisons do not chain, whatever stands in parentheses beside them.
func TestWhenChains(t *testing.T) {
	for when, column := range map[string]int{
		"A<B<C": 4, "A < (B) < C": 9, "A == B != C": 8, "A + B > C > A": 11, "A < (B < C) < A": 13,
	} {
		_, err := parseWhen(when)
		if bad, ok := errors.AsType[*syntaxError](err); !ok || bad.column != column {
			t.Errorf("%s: %v, want an error at column %d", when, err, column)
		}
	}
}

func TestWhenBounds(t *testing.T) {
	deep := func(n int) string { return strings.Repeat("!", n-1) + "A" }
	nested := func(n int) string { return strings.Repeat("(", n-1) + "A" + strings.Repeat(")", n-1) }
	long := strings.Repeat("A+", (maxWhen-1)/2) + "A"
	for _, when := range []string{deep(maxDepth), nested(maxDepth), long, strings.Repeat("A", maxName)} {
		if _, err := parseWhen(when); err != nil {
			t.Errorf("%.20s...: %v", when, err)
		}
	}
	for _, when := range []string{deep(maxDepth + 1), nested(maxDepth + 1), long + "+A", strings.Repeat("A", maxName+1)} {
		if _, err := parseWhen(when); err == nil {
			t.Errorf("%.20s... was taken", when)
		}
	}
	e, err := parseWhen(strings.Repeat("1000000*", 100) + "A" + strings.Repeat(" - 1", 3) + "- 1000000" + strings.Repeat("*1000000", 100))
	if err != nil || !math.IsNaN(e.eval(counts)) || e.hits(counts) {
		t.Errorf("an overflow: %v, %v, %v", e.eval(counts), e.hits(counts), err)
	}
}

func TestWhenNames(t *testing.T) {
	e, err := parseWhen("B && (A + 2 > B || !C) && A")
	if err != nil {
		t.Fatal(err)
	}
	if got := e.names(nil); !slices.Equal(got, []string{"B", "A", "C"}) {
		t.Errorf("names %v", got)
	}
}

func BenchmarkEval(b *testing.B) {
	e, err := parseWhen("A && !B && (C + D >= 1)")
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		e.hits(counts)
	}
}

// What is read prints as something that reads as the same, and evaluates.
func FuzzWhen(f *testing.F) {
	for _, seed := range []string{
		"A && !B && (C + D >= 1)", "A<B<C", "((((", "))", "!-!-A", "1.5*A - 2", "A & B", "A = B", "é", "\x00", "1e9", "0.0000001", "A||(B)&&C",
		"(A == B) != C", strings.Repeat("(", 100), strings.Repeat("A+", 100) + "A", "A.B", ".5", "5.", "A\n&&\tB", "a and b",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, when string) {
		e, err := parseWhen(when)
		if err != nil {
			bad, ok := errors.AsType[*syntaxError](err)
			if !ok || bad.column < 1 || bad.column > len([]rune(when))+1 || bad.what == "" {
				t.Fatalf("%q: %v", when, err)
			}
			return
		}
		printed := e.String()
		again, err := parseWhen(printed)
		if err != nil && len(printed) <= maxWhen {
			t.Fatalf("%q printed as %q: %v", when, printed, err)
		} else if err != nil {
			return
		}
		if again.String() != printed || !same(e, again) {
			t.Fatalf("%q printed as %q reads as %q", when, printed, again)
		}
		if a, b := e.eval(counts), again.eval(counts); a != b && !(math.IsNaN(a) && math.IsNaN(b)) {
			t.Fatalf("%q is %g, printed %g", when, a, b)
		}
		for _, name := range e.names(nil) {
			if !validName(name) || !strings.Contains(when, name) {
				t.Errorf("%q names %q", when, name)
			}
		}
	})
}

func same(a, b *expr) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.op == b.op && a.name == b.name && a.number == b.number && same(a.left, b.left) && same(a.right, b.right)
}
