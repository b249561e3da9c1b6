package dkim

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"milterd/internal/complexity"
	"milterd/message"
)

// headerBomb is a signature field that names so many, above a header of 2,000 fields.
func headerBomb(names string) []message.Field {
	fields := []message.Field{{Name: FieldName, Value: " v=1; a=ed25519-sha256; d=example.org; s=ed25519; h=From" + names +
		"; bh=" + strings.Repeat("A", 43) + "=; b=AAAAAAAAAAAA"}}
	for i := range 2000 {
		fields = append(fields, message.Field{Name: fmt.Sprintf("X%d", i%500), Value: " a value"})
	}
	return fields
}

// A signature field as large as Postfix lets pass, full of names, in a header of
// 2,000 fields: the "h= bomb".
func TestComplexityOfNames(t *testing.T) {
	shapes := map[string]complexity.Text{}
	for name, piece := range map[string]string{"one name": ":x1", "empty names": ":", "many names": ":x1:x2:x3:x499", "no names": ":y", "folds": ":\n\t"} {
		shapes[name] = complexity.Repeat(piece)
		bomb := headerBomb(shapes[name](61_000))
		for limit, want := range map[int]string{0: "too many names in h=", 100_000: "body hash did not verify"} {
			v := &Verifier{Resolver: testZone(t, ""), MaxHeaderNames: limit}
			if r := v.Start(t.Context(), bomb, message.Domain{}).Finish(t.Context()); r[0].Reason != want {
				t.Errorf("%s: %+v, want %s", name, r, want)
			}
		}
	}
	verify := func(limit int) func(string) {
		v := &Verifier{Resolver: testZone(t, ""), MaxHeaderNames: limit}
		return func(names string) { v.Start(t.Context(), headerBomb(names), message.Domain{}).Finish(t.Context()) }
	}
	complexity.Check(t, complexity.Parser{Name: "names", Shapes: shapes, Run: verify(0)}, complexity.Parser{Name: "names without a limit", Shapes: shapes, Run: verify(100_000)})
}

// Bodies, with two signatures, in the chunks of a milter, as long as a message can be.
func TestComplexityOfBodies(t *testing.T) {
	fields, _ := parseMessage(t, testHeader)
	for _, c := range []string{"simple/simple", "relaxed/relaxed"} {
		fields = append([]message.Field{{Name: FieldName, Value: " v=1; a=ed25519-sha256; d=example.org; s=ed25519; h=From; c=" + c +
			"; bh=" + strings.Repeat("A", 43) + "=; b=AAAAAAAAAAAA"}}, fields...)
	}
	v := &Verifier{Resolver: testZone(t, "")}
	complexity.Check(t, complexity.Parser{Name: "verify", Most: 1 << 20, Frame: func(text string) string { return text + "end" },
		Shapes: map[string]complexity.Text{"blank lines": complexity.Repeat(" \r\n"), "tabs": complexity.Repeat("a\t"), "one letter lines": complexity.Repeat("a\r\n")},
		Run: func(text string) {
			s := v.Start(t.Context(), fields, message.Domain{})
			for chunk := range slices.Chunk([]byte(text), 65535) {
				s.Write(chunk)
			}
			s.Finish(t.Context())
		}})
}
