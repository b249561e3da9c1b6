package dkim

import (
	"slices"
	"strings"
	"testing"

	"milterd/message"
)

func TestSelect(t *testing.T) {
	var fields []message.Field
	for name := range strings.SplitSeq("DKIM-Signature Received From received To Subject RECEIVED Dkim-signature  X", " ") {
		fields = append(fields, message.Field{Name: name})
	}
	h := NewHeader(fields)
	tests := []struct {
		names string
		own   int
		want  []int
	}{
		{"From:to:SUBJECT", -1, []int{2, 4, 5}},
		{"Received:From:Received:received:Received", -1, []int{6, 2, 3, 1, -1}},
		{"From:From:Cc:Cc", -1, []int{2, -1, -1, -1}},
		{"DKIM-Signature:DKIM-Signature:DKIM-Signature", -1, []int{7, 0, -1}},
		{"DKIM-Signature:DKIM-Signature", 7, []int{0, -1}},
		{"DKIM-Signature:DKIM-Signature", 0, []int{7, -1}},
		{":x:", -1, []int{-1, 9, -1}},
	}
	for _, tt := range tests {
		if got := h.Select(strings.Split(tt.names, ":"), tt.own); !slices.Equal(got, tt.want) {
			t.Errorf("%s without %d: %v, want %v", tt.names, tt.own, got, tt.want)
		}
	}
	for name, want := range map[string]int{"received": 3, "From": 1, "Cc": 0} {
		if got := h.Count(name); got != want {
			t.Errorf("%s: %d, want %d", name, got, want)
		}
	}
}
