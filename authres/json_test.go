package authres_test

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"milterd/authres"
)

func TestJSON(t *testing.T) {
	tests := []struct {
		name   string
		method authres.Method
		want   string
	}{
		{"as the journal shows it", authres.Method{Method: "spf", Result: "fail", Props: []authres.Prop{{Ptype: "smtp", Property: "mailfrom", Value: "a@b.test"}}},
			`{"method":"spf","result":"fail","reason":"","props":{"smtp.mailfrom":"a@b.test"}}`},
		{"no properties", authres.Method{Method: "dmarc", Result: "none"}, `{"method":"dmarc","result":"none","reason":"","props":{}}`},
		{"the order of Props", authres.Method{Method: "dkim", Result: "pass", Reason: "r", Props: []authres.Prop{
			{Ptype: "header", Property: "s", Value: "1"}, {Ptype: "header", Property: "d", Value: "2"}, {Property: "action", Value: "3"}, {Ptype: "header", Property: "b", Value: "4"}}},
			`{"method":"dkim","result":"pass","reason":"r","props":{"header.s":"1","header.d":"2","action":"3","header.b":"4"}}`},
		{"hostile", authres.Method{Method: "spf", Result: "fail", Props: []authres.Prop{{Ptype: "smtp", Property: "mailfrom", Value: "\"\\<\r\n\x00>"}}},
			`{"method":"spf","result":"fail","reason":"","props":{"smtp.mailfrom":"\"\\<\r\n\u0000>"}}`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := test.method.MarshalJSON()
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != test.want {
				t.Errorf("wrote %s, want %s", got, test.want)
			}
			var back authres.Method
			if err := json.Unmarshal(got, &back); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.method, back); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestJSONLosesWhatDesignLeavesOut(t *testing.T) {
	m := authres.Method{Method: "spf", Version: 1, Result: "pass", Comment: "c",
		Props: []authres.Prop{{Ptype: "a", Property: "b", Value: "first"}, {Ptype: "a", Property: "b", Value: "second"}}}
	got, err := json.Marshal([]authres.Method{m})
	if err != nil {
		t.Fatal(err)
	}
	if want := `[{"method":"spf","result":"pass","reason":"","props":{"a.b":"first"}}]`; string(got) != want {
		t.Errorf("wrote %s, want %s", got, want)
	}
}

func TestJSONErrors(t *testing.T) {
	for _, text := range []string{``, `[]`, `{"method":1}`, `{"props":[]}`, `{"props":{"a":1}}`, `{"props":{"a":{"b":"c"}}}`} {
		m := authres.Method{Method: "kept"}
		if err := json.Unmarshal([]byte(text), &m); err == nil || m.Method != "kept" {
			t.Errorf("%s: %+v, error %v", text, m, err)
		}
	}
	var m authres.Method
	if err := json.Unmarshal([]byte(`{"method":"x","props":{"a":null,"b.c":"d"},"more":1}`), &m); err != nil || !cmp.Equal(m, authres.Method{Method: "x", Props: []authres.Prop{{Ptype: "b", Property: "c", Value: "d"}}}) {
		t.Errorf("read %+v, error %v", m, err)
	}
}
