package mime

import "strings"

// selector is a selector of CSS with one condition or two: an element, a class,
// an id, or an element with one of these.
type selector struct{ tag, class, id string }

// sheet is what all style sheets of a source say, as far as it can hide text or
// show it again.
type sheet struct {
	rules              map[selector]rule
	tags, classes, ids bool             // there are selectors of the kind
	known              map[string]style // of style attributes
}

// rule is what all rules with one selector say. Those whose conditions we do not
// look at can only raise doubts about what others hide: a filter must not be blind
// for text that some reader sees.
type rule struct {
	style   style
	doubted property // what rules with more conditions may show
	surely  property // those of them marked as important
}

// maxSelectors is how many selectors a sheet may have that matter.
const maxSelectors = 2000

// collect adds what the sheets say of one element, the more specific after the
// less.
func (s *sheet) collect(to *rule, tag, class, id string, w *watch) {
	add := func(key selector) {
		if r, ok := s.rules[key]; ok {
			to.style.merge(&r.style)
			to.doubted |= r.doubted
			to.surely |= r.surely
		}
	}
	if s.tags {
		add(selector{tag: "*"})
		add(selector{tag: tag})
	}
	if s.classes && class != "" {
		for word := range strings.FieldsSeq(class) {
			if !w.spend(2 * lookUpWork) {
				return
			}
			add(selector{class: word})
			add(selector{tag: tag, class: word})
		}
	}
	if s.ids && id != "" {
		add(selector{id: id})
		add(selector{tag: tag, id: id})
	}
}

// style returns what the sheets and a style attribute say of one element, which
// is hidden to begin with if it has that attribute.
func (s *sheet) style(hidden bool, tag string, a *attributes, w *watch) (st style) {
	if hidden {
		st.note(display, true)
	}
	var r rule
	if s.rules != nil {
		s.collect(&r, tag, a.class, a.id, w)
		st.merge(&r.style)
		st.doubt(r.doubted &^ st.important)
	}
	if a.style != "" {
		inline := s.inline(a.style)
		st.merge(&inline)
	}
	st.doubt(r.surely)
	return st
}

// maxKnown is how many style attributes are remembered: newsletters have the same
// few in most of their tags.
const maxKnown = 64

// inline returns what a style attribute says.
func (s *sheet) inline(text string) style {
	if st, ok := s.known[text]; ok {
		return st
	}
	var st style
	st.parse(text)
	if s.known == nil {
		s.known = make(map[string]style)
	}
	if len(s.known) < maxKnown {
		s.known[text] = st
	}
	return st
}

// styleSheet reads a style sheet (CSS Syntax, section 5).
func (r *renderer) styleSheet(text string) {
	if hasURLFunction(text) {
		r.styleURLs(text)
	}
	text = strings.ReplaceAll(strings.ReplaceAll(text, "<!--", ""), "-->", "")
	if strings.Contains(text, "/*") {
		text = withoutCSSComments(text)
	}
	depth, conditional := 0, 0 // of blocks with rules; of the outermost with conditions
	for text != "" {
		end := strings.IndexAny(text, "{};")
		if end < 0 || !r.watch.spend(end+tokenWork) {
			return
		}
		prelude, mark := trimSpace(text[:end]), text[end]
		text = text[end+1:]
		isAt := strings.HasPrefix(prelude, "@")
		switch {
		case mark == ';':
			if hasPrefixFold(prelude, "@import") && !hasURLFunction(prelude) {
				r.link(strings.Trim(prelude[len("@import"):], quotesAndSpace), InSource, false)
			}
		case mark == '}':
			if depth = max(depth-1, 0); depth < conditional {
				conditional = 0
			}
		case isAt && hasRules(prelude):
			if depth++; conditional == 0 && !isScreen(prelude) {
				conditional = depth
			}
		case isAt:
			text = afterBlock(text)
		default:
			body := text
			if end = strings.IndexByte(text, '}'); end >= 0 {
				body, text = text[:end], text[end+1:]
			} else {
				text = ""
			}
			if !r.watch.spend(len(body)) {
				return
			}
			var st style
			if st.parse(body); st.known != 0 {
				r.rule(prelude, &st, conditional > 0)
			}
		}
	}
}

// hasRules says whether the block of an at-rule has rules in it.
func hasRules(prelude string) bool {
	return hasPrefixFold(prelude, "@media") || hasPrefixFold(prelude, "@supports") || hasPrefixFold(prelude, "@layer") ||
		hasPrefixFold(prelude, "@container") || hasPrefixFold(prelude, "@-moz-document")
}

const quotesAndSpace = "\"' \t\r\n\f"

// isScreen says whether an at-rule is for every screen.
func isScreen(prelude string) bool {
	medium, found := strings.CutPrefix(strings.ToLower(prelude), "@media")
	switch trimSpace(medium) {
	case "screen", "only screen", "all":
		return found
	}
	return false
}

// afterBlock returns what follows the end of the block that text begins in.
func afterBlock(text string) string {
	depth := 1
	for i := range len(text) {
		switch text[i] {
		case '{':
			depth++
		case '}':
			if depth--; depth == 0 {
				return text[i+1:]
			}
		}
	}
	return ""
}

// rule keeps what a rule says, for each of its selectors.
func (r *renderer) rule(prelude string, st *style, conditional bool) {
	for written := range strings.SplitSeq(prelude, ",") {
		key, simple, ok := parseSelector(trimSpace(written))
		if !r.watch.spend(lookUpWork) {
			return
		}
		if !ok {
			continue
		}
		s := &r.sheet
		if s.rules == nil {
			s.rules = make(map[selector]rule)
		}
		old, known := s.rules[key]
		if !known && len(s.rules) == maxSelectors {
			r.facts.add(LimitHTML)
			return
		}
		if simple && !conditional {
			old.style.merge(st)
		} else {
			old.doubted |= st.shows()
			old.surely |= st.shows() & st.important
		}
		s.rules[key] = old
		s.tags = s.tags || key.class == "" && key.id == ""
		s.classes = s.classes || key.class != ""
		s.ids = s.ids || key.id != ""
	}
}

// parseSelector reads a selector. One that asks for more than we know of an
// element is not simple; key is what it asks for that we know.
func parseSelector(s string) (key selector, simple, ok bool) {
	if s == "" || len(s) > 200 {
		return key, false, false
	}
	simple = true
	if last := strings.LastIndexAny(s, " \t\r\n\f>+~"); last >= 0 {
		s, simple = s[last+1:], false
	}
	if more := strings.IndexAny(s, "[:\\"); more >= 0 {
		s, simple = s[:more], false
	}
	if s == "" {
		return selector{tag: "*"}, false, true
	}
	mark := strings.IndexAny(s, ".#")
	if mark < 0 {
		return selector{tag: strings.ToLower(s)}, simple, true
	}
	name := s[mark+1:]
	if more := strings.IndexAny(name, ".#"); more >= 0 {
		name, simple = name[:more], false
	}
	if key.tag = strings.ToLower(s[:mark]); key.tag == "*" {
		key.tag = ""
	}
	if s[mark] == '.' {
		key.class = name
	} else {
		key.id = name
	}
	return key, simple, name != ""
}

// withoutCSSComments takes the comments out of text. One that never ends takes
// the rest with it.
func withoutCSSComments(text string) string {
	var b strings.Builder
	b.Grow(len(text))
	for {
		before, after, found := strings.Cut(text, "/*")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		if _, text, found = strings.Cut(after, "*/"); !found {
			return b.String()
		}
	}
}

// hasURLFunction says whether there is a url(...) in CSS.
func hasURLFunction(text string) bool { return indexURLFunction(text) >= 0 }

// indexURLFunction returns where the argument of the first url(...) begins, -1 if
// there is none.
func indexURLFunction(text string) int {
	for from := 0; ; {
		paren := strings.IndexByte(text[from:], '(')
		if paren < 0 {
			return -1
		}
		if paren += from; paren >= 3 && strings.EqualFold(text[paren-3:paren], "url") {
			return paren + 1
		}
		from = paren + 1
	}
}

// styleURLs notes the URLs in CSS.
func (r *renderer) styleURLs(text string) {
	for {
		at := indexURLFunction(text)
		if at < 0 {
			return
		}
		text = text[at:]
		end := strings.IndexByte(text, ')')
		if end < 0 {
			return
		}
		if ref := strings.Trim(text[:end], quotesAndSpace); ref != "" {
			r.link(ref, InSource, false)
		}
		text = text[end:]
	}
}
