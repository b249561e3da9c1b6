package strictyaml

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestSection(t *testing.T) {
	var zero Section
	d := door{Width: 1}
	if err := zero.Decode(&d); err != nil || d.Width != 1 {
		t.Errorf("the zero Section: %v, %+v", err, d)
	}
	if n := zero.Node(); n.Kind() != Null || !n.Pos().IsZero() || n.Path() != "" || n.KnownKeys("a") != nil {
		t.Errorf("the node of the zero Section is %v at %v", n.Kind(), n.Pos())
	}
	h := defaultHouse()
	if err := Decode("f", []byte("checks:\n  spf:\n  dkim:\n    width: 1\n    hight: 2\n"), &h); err != nil {
		t.Fatal(err)
	}
	if err := h.Checks["spf"].Decode(&d); err != nil {
		t.Errorf("an empty section: %v", err)
	}
	err := h.Checks["dkim"].Decode(&d)
	if got, want := fmt.Sprint(err), "f:5:5: checks.dkim.hight: unknown key, did you mean height?"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	err = h.Checks["dkim"].Node().Key("width").Errorf("too wide")
	if got, want := fmt.Sprint(err), "f:4:12: checks.dkim.width: too wide"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestSectionsAreDecodedAtTheSameTime(t *testing.T) {
	var h house
	if err := Decode("f", []byte("checks: {a: {width: 1, height: 2}, b: {width: 1, height: 2}}\n"), &h); err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			var d door
			if err := h.Checks[string("ab"[i%2])].Decode(&d); err != nil || d.Width != 1 {
				t.Errorf("%+v, %v", d, err)
			}
		})
	}
	all.Wait()
}

func TestNode(t *testing.T) {
	n, err := Parse("f", []byte("a: {b: [x, y]}\n"))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		node       *Node
		kind       Kind
		text, what string
	}{
		{n.Key("a"), Mapping, "", "f:1:4: a: x"},
		{n.Key("a").Key("b"), List, "", "f:1:8: a.b: x"},
		{n.Key("a").Key("b").Item(1), Scalar, "y", "f:1:12: a.b[1]: x"},
		{n.Key("a").Key("b").Item(2), Null, "", "f:1:8: a.b[2]: x"},
		{n.Key("a").Key("c").Key("d"), Null, "", "f:1:4: a.c.d: x"},
		{n.Key("a").Item(0), Null, "", "f:1:4: a[0]: x"},
	} {
		text, isText := c.node.Text()
		if got := c.node.Errorf("x").Error(); got != c.what || c.node.Kind() != c.kind || text != c.text || isText != (c.kind == Scalar) {
			t.Errorf("got %s (%v, %q), want %s (%v, %q)", got, c.node.Kind(), text, c.what, c.kind, c.text)
		}
	}
	if err := n.Key("a").KnownKeys("xx", "yy"); err == nil || err.Error() != "f:1:5: a.b: unknown key, expected xx or yy" {
		t.Errorf("KnownKeys: %v", err)
	}
	if err := n.KnownKeys(); err == nil || err.Error() != "f:1:1: a: unknown key, expected none" {
		t.Errorf("KnownKeys without any: %v", err)
	}
	if err := n.KnownKeys("a"); err != nil {
		t.Errorf("KnownKeys: %v", err)
	}
}

func TestKeys(t *testing.T) {
	got := Keys(&house{})
	for _, want := range []string{"name", "door", "door.width", "back.key", "trees", "rooms", "addr"} {
		if !slices.Contains(got, want) {
			t.Errorf("%s is missing in %v", want, got)
		}
	}
	if len(got) != 24+3+3 {
		t.Errorf("%d keys, want the 24 of the house and 3 of each of two doors: %v", len(got), got)
	}
}

func TestErrors(t *testing.T) {
	var errs Errors
	errs.Add(nil)
	if errs.Err() != nil {
		t.Error("no errors are an error")
	}
	cause := errors.New("cause")
	one := &Error{Pos: Pos{"b", 2, 1}, What: "two", Err: cause}
	errs.Add(errors.Join(one, Errors{{Pos: Pos{"b", 1, 9}, Path: "k", What: "one"}, {Pos: Pos{"a", 7, 7}, What: "zero"}}))
	errs.Add(fmt.Errorf("wrapped: %w", &Error{Pos: Pos{"b", 2, 2}, What: "three"}))
	errs.Add(cause)
	want := "cause\na:7:7: zero\nb:1:9: k: one\nb:2:1: two\nb:2:2: three"
	if got := errs.Err().Error(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if !errors.Is(errs, cause) {
		t.Error("the cause is lost")
	}
	if got := (Pos{File: "f"}).String(); got != "f" {
		t.Errorf("a file as a whole is %q", got)
	}
}

func TestErrorsAreBounded(t *testing.T) {
	var many strings.Builder
	for i := range 50000 {
		fmt.Fprintf(&many, "key%d: x\n", i)
	}
	start := time.Now()
	errs, _ := errors.AsType[Errors](Decode("f", []byte(many.String()), &house{}))
	if len(errs) != maxErrors {
		t.Errorf("%d errors, want %d", len(errs), maxErrors)
	}
	if took := time.Since(start); took > time.Minute {
		t.Errorf("took %v", took)
	}
}
