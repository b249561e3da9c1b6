package spamassassin

import "strings"

// tags are the pieces of expressions that rules name in angle brackets, see
// replace_rules.
type tags struct {
	start, end             string
	tag, pre, inter, after map[string]string
}

func newTags() tags {
	return tags{start: "<", end: ">", tag: map[string]string{}, pre: map[string]string{}, inter: map[string]string{}, after: map[string]string{}}
}

func (t *tags) line(l line) {
	switch l.key {
	case "replace_start":
		t.start = l.rest
		return
	case "replace_end":
		t.end = l.rest
		return
	}
	name, text, _ := cutSpace(l.rest)
	switch l.key {
	case "replace_tag":
		t.tag[name] = text
	case "replace_pre":
		t.pre[name] = text
	case "replace_inter":
		t.inter[name] = text
	case "replace_post":
		t.after[name] = text
	}
}

// expand writes the tags of an expression out. <pre X>, <inter X> and <post X>
// say what stands before, between and behind all tags.
func (t *tags) expand(expr string) string {
	if t.start == "" || t.end == "" {
		return expr
	}
	pre, expr := t.option(expr, "pre", t.pre)
	inter, expr := t.option(expr, "inter", t.inter)
	post, expr := t.option(expr, "post", t.after)
	var out strings.Builder
	adjacent := false // a tag ended right here
	for len(expr) > 0 {
		name, rest, ok := t.next(expr)
		text, known := t.tag[name]
		if !ok || !known {
			out.WriteByte(expr[0])
			expr, adjacent = expr[1:], false
			continue
		}
		if adjacent {
			out.WriteString(inter)
		}
		if len(text)+out.Len() > maxExpanded {
			return out.String() + expr
		}
		out.WriteString(pre + t.inner(text, 0) + post)
		expr, adjacent = rest, true
		// A repeat belongs to the tag, and what stands between comes behind it.
		if n := repeatLength(expr); n > 0 {
			out.WriteString(expr[:n])
			expr = expr[n:]
			adjacent = false
		}
	}
	return out.String()
}

// Bounds of what tags may come to.
const (
	maxExpanded = 1 << 20 // bytes
	maxTagDepth = 10
)

// inner writes out the tags in what a tag stands for.
func (t *tags) inner(text string, depth int) string {
	if depth >= maxTagDepth || !strings.Contains(text, t.start) {
		return text
	}
	var out strings.Builder
	for len(text) > 0 && out.Len() < maxExpanded {
		name, rest, ok := t.next(text)
		if tag, known := t.tag[name]; ok && known {
			out.WriteString(t.inner(tag, depth+1))
			text = rest
			continue
		}
		out.WriteByte(text[0])
		text = text[1:]
	}
	return out.String() + text
}

// next reads a tag at the beginning of expr.
func (t *tags) next(expr string) (name, rest string, ok bool) {
	inner, ok := strings.CutPrefix(expr, t.start)
	if !ok {
		return "", "", false
	}
	return strings.Cut(inner, t.end)
}

// option takes <word NAME> out of expr and returns what the name stands for.
func (t *tags) option(expr, word string, names map[string]string) (text, rest string) {
	from := strings.Index(expr, t.start+word+" ")
	if from < 0 {
		return "", expr
	}
	name, after, ok := t.next(expr[from:])
	if !ok {
		return "", expr
	}
	name = strings.TrimSpace(strings.TrimPrefix(name, word))
	text, known := names[name]
	if !known {
		return "", expr
	}
	return text, expr[:from] + after
}

// repeatLength is the length of a repeat at the beginning of expr.
func repeatLength(expr string) int {
	if expr == "" {
		return 0
	}
	n := 0
	switch expr[0] {
	case '*', '+', '?':
		n = 1
	case '{':
		end := strings.IndexByte(expr, '}')
		if end < 0 || strings.Trim(expr[1:end], "0123456789,") != "" {
			return 0
		}
		n = end + 1
	default:
		return 0
	}
	if n < len(expr) && (expr[n] == '?' || expr[n] == '+') {
		n++
	}
	return n
}
