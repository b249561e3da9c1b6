package view

import (
	"strings"

	"golang.org/x/net/html"
)

// spaceAround is the white space that an element has around it, before its text
// and behind.
var spaceAround = map[string]string{
	"br": "\n", "div": "\n",
	"li": " ", "td": " ", "th": " ", "dd": " ", "dt": " ", "embed": " ",
	"h1": " ", "h2": " ", "h3": " ", "h4": " ", "h5": " ", "h6": " ",
	"p": "\n\n", "hr": "\n\n", "blockquote": "\n\n", "pre": "\n\n", "listing": "\n\n", "plaintext": "\n\n", "xmp": "\n\n", "title": "\n\n",
}

// linkAttributes are the attributes that lead somewhere, by element.
var linkAttributes = map[string][]string{
	"a": {"href"}, "area": {"href"}, "base": nil, "link": {"href"},
	"img": {"src"}, "script": {"src"}, "iframe": {"src"}, "frame": {"src"}, "embed": {"src"}, "input": {"src"},
	"form": {"action"}, "body": {"background"}, "table": {"background"}, "td": {"background"}, "tr": {"background"}, "th": {"background"},
	"object": {"data"}, "bgsound": {"src"},
}

// renderHTML returns the text of HTML and where it leads. Hidden text is text.
func renderHTML(source string) (text string, links []string) {
	z := html.NewTokenizer(strings.NewReader(source))
	var b strings.Builder
	literal := 0  // pre elements that are open
	skipped := "" // the script or style that is open
	base := ""
	for {
		switch kind := z.Next(); kind {
		case html.ErrorToken:
			return b.String(), links
		case html.TextToken:
			if skipped != "" {
				continue
			}
			t := html.UnescapeString(string(z.Raw()))
			if literal == 0 {
				squeeze(&b, t)
			} else {
				b.WriteString(t)
			}
		case html.StartTagToken, html.SelfClosingTagToken, html.EndTagToken:
			raw, more := z.TagName()
			name := string(raw)
			end := kind == html.EndTagToken
			switch name {
			case "script", "style":
				if skipped = ""; kind == html.StartTagToken {
					skipped = name
				}
			case "pre", "listing", "xmp", "plaintext":
				if end {
					literal = max(0, literal-1)
				} else {
					literal++
				}
				z.NextIsNotRawText()
			case "title", "textarea":
			default:
				z.NextIsNotRawText()
			}
			b.WriteString(spaceAround[name])
			wanted := linkAttributes[name]
			if end || len(wanted) == 0 && name != "base" {
				continue
			}
			for more {
				var key, value []byte
				key, value, more = z.TagAttr()
				for _, w := range wanted {
					if string(key) == w {
						links = appendLink(links, base, string(value))
					}
				}
				if name == "base" && string(key) == "href" {
					base = strings.TrimSpace(string(value))
				}
			}
		}
	}
}

// squeeze writes text with each run of white space as one blank.
func squeeze(b *strings.Builder, text string) {
	space := false
	for i := range len(text) {
		c := text[i]
		if isSpace(c) {
			space = true
			continue
		}
		if space {
			b.WriteByte(' ')
			space = false
		}
		b.WriteByte(c)
	}
	if space {
		b.WriteByte(' ')
	}
}

// appendLink adds where an attribute leads, from base if that is given.
func appendLink(links []string, base, value string) []string {
	const most = 1000 // of one part
	value = strings.TrimSpace(strings.Map(func(r rune) rune {
		if r == '\n' || r == '\r' || r == '\t' {
			return -1
		}
		return r
	}, value))
	if strings.HasPrefix(value, "#") || len(links) >= most {
		return links
	}
	if base != "" && value != "" && !strings.Contains(value, ":") {
		return append(links, strings.TrimRight(base, "/")+"/"+strings.TrimLeft(value, "/"))
	}
	return append(links, value)
}
