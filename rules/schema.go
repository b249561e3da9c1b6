package rules

import (
	"bytes"
	"encoding/json"
)

// Schema returns the JSON Schema of a rule file, made from what reads them: for
// editors that complete and check. It knows the form of a file; whether names are
// known and tests pass, only [Load] does.
func Schema() []byte {
	condition := object{}
	rule := object{}
	for _, k := range ruleKeys {
		value := described(k.schema, k.doc)
		rule[k.name] = value
		if k.condition {
			condition[k.name] = value
		}
	}
	for _, k := range kinds {
		if k.Named {
			rule[string(k.Text)] = object{"type": "string", "minLength": 1, "description": k.Doc}
			continue
		}
		rule[string(k.Text)] = object{"type": []any{"object", "null"}, "additionalProperties": false, "properties": condition, "description": k.Doc}
	}
	name := object{"type": "string"}
	score := described(object{"type": "number", "minimum": -maxScore, "maximum": maxScore}, "points")
	whole := object{
		"$schema":              "https://json-schema.org/draft/2020-12/schema",
		"title":                "milterd rule file",
		"type":                 []any{"object", "null"},
		"additionalProperties": false,
		"properties": object{
			"backtracking": described(object{"type": "boolean"}, "let expressions of this file look around and refer back: for rules brought along from elsewhere"),
			"rules": described(object{"type": []any{"array", "null"}, "items": object{
				"type": "object", "additionalProperties": false, "required": []any{"name"}, "properties": rule,
			}}, "in the order in which they are reported"),
			"groups": described(object{"type": []any{"object", "null"}, "additionalProperties": object{
				"type": []any{"object", "null"}, "additionalProperties": false, "properties": object{
					"rules": described(object{"type": "array", "items": name}, "its members: rules and findings"),
					"max":   described(object{"type": "number", "exclusiveMinimum": 0, "maximum": maxScore}, "the most points that they may add up to"),
				},
			}}, "what their members bring together is capped"),
			"scores": described(object{"type": []any{"object", "null"}, "additionalProperties": object{"oneOf": []any{score, object{"type": "null"}}}},
				"weights of what checks report"),
		},
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	if err := e.Encode(whole); err != nil {
		panic("rules: the schema cannot be written: " + err.Error())
	}
	return b.Bytes()
}

// described returns a schema with a sentence for people.
func described(schema object, doc string) object {
	all := object{"description": doc}
	for k, v := range schema {
		all[k] = v
	}
	return all
}

// Key is a key of a rule that is no text, for documents.
type Key struct{ Name, Doc string }

// Keys returns the keys of a rule but for the texts, in the order of the
// documents.
func Keys() []Key {
	all := make([]Key, 0, len(ruleKeys))
	for _, k := range ruleKeys {
		all = append(all, Key{k.name, k.doc})
	}
	return all
}
