package pipeline

import (
	"context"
	"strings"
	"testing"

	"milterd/checks"
	"milterd/checks/checktest"
	"milterd/message"
)

// TestCarry: the verdict goes along with mail that is let in with its header fields,
// and with no other.
func TestCarry(t *testing.T) {
	found := checktest.Fake("found", checks.Message, checktest.Func(func(context.Context, *checks.Input) (checks.Result, error) { return finding("FOUND"), nil }))
	for name, c := range map[string]struct {
		role  message.Role
		mode  message.Mode
		score string
		value string
		want  string
	}{
		"accepted":        {message.Inbound, message.Enforce, "1", "signed", "signed"},
		"junk":            {message.Inbound, message.Enforce, "7", "signed", "signed"},
		"tagged":          {message.Inbound, message.Tag, "20", "signed", "signed"},
		"refused":         {message.Inbound, message.Enforce, "20", "signed", ""},
		"observed":        {message.Inbound, message.Observe, "7", "signed", ""},
		"leaving":         {message.Outbound, message.Enforce, "1", "signed", ""},
		"back again":      {message.Reinject, message.Enforce, "1", "signed", ""},
		"nothing to sign": {message.Inbound, message.Enforce, "1", "", ""},
	} {
		asked := 0
		p := newPipeline(t, []checks.Spec{found}, func(o *Options) {
			o.Policy = newPolicy(t, c.mode, "scores: {FOUND: "+c.score+"}")
			o.Carry = func(_ context.Context, o *Outcome) string {
				if asked++; o.Verdict.Action == "" || len(o.Results) != 1 {
					t.Errorf("%s: asked before the verdict", name)
				}
				return c.value
			}
		})
		m := newMessage(t, "X-Milterd-Carry: forged\n"+plain, func(m *message.Message) { m.Role = c.role })
		out := decide(t, p, m)
		var got []string
		for _, e := range out.Edits {
			if e.Name == CarryField && e.Op == message.Insert {
				got = append(got, e.Value)
			}
		}
		if strings.Join(got, ",") != c.want || asked > 1 {
			t.Errorf("%s: %q, asked %d times", name, got, asked)
		}
	}
}
