package view

import (
	"strings"

	"milterd/mime"
)

// unfold joins the lines of a field: a line end and the white space behind it are
// one blank.
func unfold(value string) string {
	if !strings.Contains(value, "\n") {
		return value
	}
	var b strings.Builder
	for i := 0; i < len(value); i++ {
		if value[i] != '\n' {
			b.WriteByte(value[i])
			continue
		}
		b.WriteByte(' ')
		for i+1 < len(value) && strings.IndexByte(" \t\n", value[i+1]) >= 0 {
			i++
		}
	}
	return b.String()
}

// decoded is a field's value as most rules want it.
func decoded(value string) string {
	value = strings.TrimLeft(unfold(value), " \t")
	if strings.Contains(value, "=?") {
		value = mime.DecodeWords(value)
	}
	return strings.TrimRight(value, " \t\r\n")
}

// received is a field's value as it stands, as :raw wants it.
func received(value string) string { return value }

// values returns those of all fields of a name, one a line.
func (v *View) values(name string, as func(string) string) (string, bool) {
	var b strings.Builder
	found := false
	for _, f := range v.fields {
		if strings.EqualFold(f.Name, name) {
			found = true
			b.WriteString(as(f.Value))
			b.WriteByte('\n')
		}
	}
	return b.String(), found
}

// messageIDs are where mailing lists and others move a Message-ID.
var messageIDs = []string{"X-Message-ID", "Resent-Message-ID", "X-Original-Message-ID", "Message-ID"}

// Header is the text of a header field with its modifiers, or of one of the names
// that stand for several fields. It is not ok when there is no such field.
func (v *View) Header(spec string) (text string, ok bool) {
	name, modifiers, _ := strings.Cut(spec, ":")
	as := decoded
	var pick []string
	for _, m := range strings.Split(modifiers, ":") {
		switch m = strings.ToLower(m); m {
		case "":
		case "raw":
			as = received
		default:
			pick = append(pick, m)
		}
	}
	text, ok = v.named(name, as)
	for _, m := range pick {
		if !ok {
			return "", false
		}
		text, ok = picked(text, m)
	}
	return text, ok
}

// named is the text of a name without its modifiers.
func (v *View) named(name string, as func(string) string) (string, bool) {
	switch name {
	case "ALL":
		return v.block(v.fields, as), true
	case "ALL-TRUSTED", "ALL-INTERNAL":
		at, written := v.border()
		if written { // our own side wrote that one
			at = min(at+1, len(v.fields))
		}
		return v.block(v.fields[:at], as), true
	case "ALL-UNTRUSTED", "ALL-EXTERNAL":
		at, _ := v.border()
		return v.block(v.fields[at:], as), true
	case "X-Spam-Relays-External", "X-Spam-Relays-Untrusted":
		_, outside := split(v.route())
		return relaysText(outside, false), true
	case "X-Spam-Relays-Internal", "X-Spam-Relays-Trusted":
		inside, _ := split(v.route())
		return relaysText(inside, true), true
	case "EnvelopeFrom":
		return v.envelopeFrom()
	case "ToCc":
		return v.several(as, "To", "Cc")
	case "MESSAGEID":
		return v.several(as, messageIDs...)
	}
	return v.values(name, as)
}

func (v *View) several(as func(string) string, names ...string) (all string, ok bool) {
	for _, name := range names {
		text, found := v.values(name, as)
		all += text
		ok = ok || found
	}
	return all, ok
}

// block is a list of fields, names and all.
func (v *View) block(fields []Field, as func(string) string) string {
	var b strings.Builder
	for _, f := range fields {
		b.WriteString(f.Name)
		b.WriteByte(':')
		text := as(f.Value)
		if text == "" || text[0] != ' ' && text[0] != '\t' {
			b.WriteByte(' ')
		}
		b.WriteString(text)
		b.WriteByte('\n')
	}
	return b.String()
}

// border is where the fields begin that came in from outside: with the Received
// field that tells of the first client out there, or at the top where that field is
// not written yet. Without one, nothing did.
func (v *View) border() (outside int, written bool) {
	_, out := split(v.route())
	switch {
	case len(out) == 0:
		return len(v.fields), false
	case out[0].field < 0:
		return 0, false
	}
	return out[0].field, true
}

// envelopeFrom is the reverse-path, or what MTAs make of it in the header.
func (v *View) envelopeFrom() (string, bool) {
	if v.src.Envelope {
		return v.src.MailFrom, true
	}
	for _, name := range []string{"X-Envelope-From", "Envelope-Sender", "X-Sender", "Return-Path"} {
		if text, ok := v.values(name, decoded); ok {
			if a := firstAddress(text); a != "" || name == "Return-Path" {
				return a, true
			}
		}
	}
	return "", false
}

// picked applies one modifier.
func picked(text, modifier string) (string, bool) {
	switch modifier {
	case "addr":
		a := firstAddress(text)
		return a, a != ""
	case "name":
		n := firstName(text)
		return n, n != ""
	case "host", "domain":
		a := firstAddress(text)
		at := strings.LastIndexByte(a, '@')
		if at < 0 {
			return "", false
		}
		if modifier == "domain" {
			return registered(a[at+1:]), true
		}
		return a[at+1:], true
	case "ip", "revip":
		ip := firstIP(text)
		if ip == "" {
			return "", false
		}
		if modifier == "revip" {
			parts := strings.Split(ip, ".")
			for i, j := 0, len(parts)-1; i < j; i, j = i+1, j-1 {
				parts[i], parts[j] = parts[j], parts[i]
			}
			ip = strings.Join(parts, ".")
		}
		return ip, true
	case "first":
		line, _, _ := strings.Cut(text, "\n")
		return line + "\n", true
	case "last":
		lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
		return lines[len(lines)-1] + "\n", true
	}
	return text, true
}

// MIMEHeader is the field of a name in each part, the message itself among them.
func (v *View) MIMEHeader(spec string) (texts []string) {
	name, modifiers, _ := strings.Cut(spec, ":")
	as := decoded
	if strings.EqualFold(modifiers, "raw") {
		as = func(value string) string { return strings.TrimLeft(value, " \t") }
	}
	if v.src.Tree == nil {
		return nil
	}
	for _, part := range v.src.Tree.Parts {
		fields := v.fields
		if part.Parent != nil {
			fields = make([]Field, 0, len(part.Header))
			for _, f := range part.Header {
				fields = append(fields, Field{f.Name, lineFeeds(f.Value)})
			}
		}
		if name == "ALL" {
			texts = append(texts, v.block(fields, as))
			continue
		}
		var b strings.Builder
		for _, f := range fields {
			if strings.EqualFold(f.Name, name) {
				b.WriteString(as(f.Value) + "\n")
			}
		}
		if b.Len() > 0 {
			texts = append(texts, b.String())
		}
	}
	return texts
}
