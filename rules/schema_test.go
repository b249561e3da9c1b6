package rules

import (
	"bytes"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"gopkg.in/yaml.v3"
)

func schemaOf(t *testing.T) *jsonschema.Schema {
	t.Helper()
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema()))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("rules.schema.json", document); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile("rules.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

func validate(t *testing.T, schema *jsonschema.Schema, text []byte) error {
	t.Helper()
	var document any
	if err := yaml.Unmarshal(text, &document); err != nil {
		t.Fatal(err)
	}
	return schema.Validate(document)
}

// The schema takes what ships and all that the language has.
func TestSchemaTakes(t *testing.T) {
	schema := schemaOf(t)
	for _, s := range Shipped() {
		if err := validate(t, schema, s.Text); err != nil {
			t.Errorf("%s: %v", s.Name, err)
		}
	}
	all := "backtracking: true\nrules:\n"
	for i, k := range Kinds() {
		name := "R" + strings.Repeat("I", i)
		if k.Named {
			all += "- {name: " + name + ", " + string(k.Text) + ": Subject, match: x, times: 2, count: 3, normalised: leet}\n"
			continue
		}
		all += "- {name: " + name + ", " + string(k.Text) + ": {match: x, times: 2, count: 3, normalised: true}}\n"
	}
	all += "- {name: W, describe: d, when: R, score: -1.5, state: shadow, tests: {hit: [R], miss: ['']}}\n" +
		"- {name: L, from_addr: {in: [a.test]}}\n- {name: E, body: , exists: true}\ngroups: {g: {rules: [R], max: 1}}\nscores: {SPF_FAIL: 1, SPF_PASS: }"
	if _, err := load(t, all); err != nil {
		t.Fatal(err)
	}
	if err := validate(t, schema, []byte(all)); err != nil {
		t.Error(err)
	}
	for _, empty := range []string{"", "rules:\ngroups:\nscores:\n"} {
		if err := validate(t, schema, []byte(empty)); err != nil {
			t.Errorf("%q: %v", empty, err)
		}
	}
}

// The schema refuses what has the wrong form; the loader does, too.
func TestSchemaRefuses(t *testing.T) {
	schema := schemaOf(t)
	for _, text := range []string{
		"rule: []", "rules: {}", "rules: [{header: Subject, match: x}]", "rules: [{name: lower, header: X, match: x}]",
		"rules: [{name: A, header: X, match: x, score: lots}]", "rules: [{name: A, header: X, match: x, score: 1001}]",
		"rules: [{name: A, header: X, match: x, state: on}]", "rules: [{name: A, body: text}]", "rules: [{name: A, body: {mach: x}}]",
		"rules: [{name: A, body: {match: x, times: 0}}]", "rules: [{name: A, header: X, match: x, tests: [x]}]",
		"rules: [{name: A, from_addr: {in: {a: b}}}]", "rules: [{name: A, header: X, match: x, normalised: maybe}]",
		"groups: {g: {rules: [SPF_FAIL], max: 0}}", "scores: {SPF_FAIL: many}", "backtracking: perhaps",
	} {
		if validate(t, schema, []byte(text)) == nil {
			t.Errorf("the schema takes %s", text)
		}
		if _, err := load(t, text); err == nil {
			t.Errorf("the loader takes %s", text)
		}
	}
}
