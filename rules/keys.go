package rules

// A ruleKey is a key that every rule understands, whatever text it looks at. The
// keys of texts are in the table of kinds.
type ruleKey struct {
	name, doc string
	schema    object // its value, for the JSON Schema
	condition bool   // it may stand inside a text as well
}

// object is a piece of JSON Schema.
type object map[string]any

// ruleKeys are in the order of the documents.
var ruleKeys = []ruleKey{
	{name: "name", doc: "what the log, the journal and other rules call it: capital letters, digits and _",
		schema: object{"type": "string", "pattern": "^[A-Z_][A-Z0-9_]*$", "maxLength": maxName}},
	{name: "describe", doc: "one line for people", schema: object{"type": "string"}},
	{name: "match", condition: true, doc: "an RE2 expression that a text must match; ^ and $ are the ends of the whole text unless it says (?m)",
		schema: object{"type": "string", "minLength": 1, "maxLength": maxImportedMatch}},
	{name: "in", condition: true, doc: "a list that must hold a text: the path of a file, or the entries",
		schema: object{"oneOf": []any{object{"type": "string"}, object{"type": "array", "items": object{"type": "string"}}}}},
	{name: "exists", condition: true, doc: "true: there must be such a text; false: there must be none", schema: object{"type": "boolean"}},
	{name: "normalised", condition: true, doc: "free the text of disguises before match: true, or leet for digits that stand for letters as well",
		schema: object{"enum": []any{true, false, "leet"}}},
	{name: "times", condition: true, doc: "how many matches make a hit, in all texts together; 1 without it",
		schema: object{"type": "integer", "minimum": 1, "maximum": maxTimes}},
	{name: "count", condition: true, doc: "how far matches are counted, for rules with a when; without it they see that the rule hit",
		schema: object{"type": "integer", "minimum": 1, "maximum": maxTimes}},
	{name: "when", doc: "instead of a text: an expression over the names of rules and findings",
		schema: object{"type": "string", "minLength": 1, "maxLength": maxWhen}},
	{name: "score", doc: "points; without one the rule is a fact, worth 0, for other rules to name",
		schema: object{"type": "number", "minimum": -maxScore, "maximum": maxScore}},
	{name: "state", doc: "active; shadow: counted and shown, never scored; off: not even run",
		schema: object{"enum": []any{string(Active), string(Shadow), string(Off)}}},
	{name: "tests", doc: "what must hit and what must miss",
		schema: object{"type": "object", "additionalProperties": false, "properties": object{
			"hit":  object{"type": "array", "items": object{"type": "string"}},
			"miss": object{"type": "array", "items": object{"type": "string"}},
		}}},
}

// keyNames returns all keys of a rule.
func keyNames() []string {
	names := make([]string, 0, len(ruleKeys)+len(kinds))
	for _, k := range ruleKeys {
		names = append(names, k.name)
	}
	for _, k := range kinds {
		names = append(names, string(k.Text))
	}
	return names
}
