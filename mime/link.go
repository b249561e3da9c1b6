package mime

import "strings"

// URLs returns the URLs of the message, in the order in which they were found:
// of each text part the links of its HTML, then those in its visible and in its
// hidden text. Each is there once; what several places say of it is put
// together. The facts are those of all of them, with LimitURLs when there were
// more than Limits.URLs. They are found when they are first asked for. Safe for
// concurrent use; the slice must not be changed.
func (t *Tree) URLs() ([]URL, Facts) {
	t.urlsOnce.Do(func() {
		c := urlCollector{limit: t.limits.URLs}
		for _, p := range t.Parts {
			if !p.IsText() || c.full {
				continue
			}
			view, found := p.View()
			c.part = p
			c.facts |= found & (1<<LimitURLs | 1<<LimitTime) // there were more of them than were noted
			c.watch = t.budget.watch()
			c.view(view)
			c.watch.note(&c.facts)
		}
		t.urls, t.urlFact = c.urls, c.facts
	})
	return t.urls, t.urlFact
}

// URLs returns the URLs of one view, at most limit, as [Tree.URLs] does.
func (v *View) URLs(limit int) ([]URL, Facts) {
	c := urlCollector{limit: limit}
	c.view(v)
	return c.urls, c.facts
}

// urlKey is what makes two URLs the same.
type urlKey struct{ scheme, host, port, path string }

// urlCollector collects URLs and puts those together that are the same.
type urlCollector struct {
	limit int
	part  *Part
	urls  []URL
	seen  map[urlKey]int // where in urls
	tries int
	full  bool
	facts Facts
	watch watch
}

// maxTries is how many URLs are looked at for one that is kept: many copies of
// one cost no memory but some time.
const maxTries = 20

// add puts a URL to the others, as long as there is room.
func (c *urlCollector) add(u *URL) {
	if c.tries++; c.tries > maxTries*c.limit {
		c.stop()
		return
	}
	key := urlKey{u.Scheme, u.Host, u.Port, u.Path}
	if u.Host == "" {
		key.path = u.Raw
	}
	i, known := c.seen[key]
	if !known {
		if len(c.urls) >= c.limit {
			c.stop()
			return
		}
		if c.seen == nil {
			c.seen = make(map[urlKey]int)
			c.urls = make([]URL, 0, 4)
		}
		u.Part = c.part
		c.seen[key] = len(c.urls)
		c.urls = append(c.urls, *u)
		c.facts |= u.Facts
		return
	}
	old := &c.urls[i]
	if u.Facts.Has(URLDisplayedOther) && !old.Facts.Has(URLDisplayedOther) || old.Displayed == "" {
		old.Displayed, old.DisplayedHost = u.Displayed, u.DisplayedHost
	}
	old.Where |= u.Where
	old.Facts |= u.Facts
	old.Hidden = old.Hidden && u.Hidden
	old.Schemeless = old.Schemeless && u.Schemeless
	c.facts |= u.Facts
}

func (c *urlCollector) stop() {
	c.full = true
	c.facts.add(LimitURLs)
}

// view adds the URLs of a view.
func (c *urlCollector) view(v *View) {
	var base *URL // the first counts, for what stands before it as well
	for i := range v.links {
		if v.links[i].where != inBase {
			continue
		}
		if u, ok := parseURL(v.links[i].ref, nil); ok && u.Host != "" && hierarchical(u.Scheme) {
			u.Path = cutText(u.Path, maxBase)
			base = &u
			break
		}
	}
	for i := range v.links {
		if c.full || !c.watch.spend(len(v.links[i].ref)+urlWork) {
			return
		}
		l := &v.links[i]
		u, ok := parseURL(l.ref, base)
		if !ok || l.where == InSource && u.Host == "" && u.Facts == 0 {
			continue // a picture in the URL itself, and the like
		}
		if u.Where, u.Hidden = l.where, l.hidden; u.Where == inBase {
			u.Where = InLink
		}
		u.display(l.label(v))
		c.add(&u)
	}
	c.text(v.Visible, v.links, false)
	c.text(v.Hidden, v.links, true)
}

// inBase marks the base of relative URLs, which is no place for itself.
const inBase Place = 0

// label returns the text of a link.
func (l *link) label(v *View) string {
	if text := strings.TrimSpace(v.Visible[l.visible.from:l.visible.to]); text != "" {
		return text
	}
	return strings.TrimSpace(v.Hidden[l.hiddenText.from:l.hiddenText.to])
}

// display notes the text of a link to u.
func (u *URL) display(label string) {
	if label == "" {
		return
	}
	u.Displayed = cutText(label, maxDisplayed)
	for shown := range TextURLs(u.Displayed) {
		u.DisplayedHost = shown.Host
		break
	}
	if u.DisplayedHost != "" && u.Host != u.DisplayedHost && registrable(u.Host) != registrable(u.DisplayedHost) {
		u.Facts.add(URLDisplayedOther)
	}
}

// text adds the URLs in the visible or the hidden text of a view. Those in the
// text of links are labels.
func (c *urlCollector) text(text string, links []link, hidden bool) {
	s := textScanner{text: text, dot: -1, colon: -1}
	for !c.full {
		u, ok := s.next(&c.watch)
		if !ok || !c.watch.spend(s.end-s.start+urlWork) {
			return
		}
		u.Hidden = hidden
		// Links are in order and do not overlap.
		for len(links) > 0 && links[0].text(hidden).to <= s.start {
			links = links[1:]
		}
		if len(links) > 0 && links[0].text(hidden).from <= s.start {
			u.Where = InLabel
		}
		c.add(&u)
	}
}

// text returns where the text of the link stands in the visible or in the hidden
// text.
func (l *link) text(hidden bool) extent {
	if hidden {
		return l.hiddenText
	}
	return l.visible
}
