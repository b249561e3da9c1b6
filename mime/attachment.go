package mime

import "strings"

// Attachment is a part that a mail program offers as a file, or could.
type Attachment struct {
	// Names are all names that the part gives itself, decoded, the one most
	// programs take first. There are several when its fields do not agree, or
	// when a program may not understand how one was written (RFC 2231); empty
	// when it has none. They are a stranger's text: see [Part.Filename].
	Names []string
	Type  string // the media type that the part claims
	Part  *Part
}

// Attachments returns the attachments of the message and of the messages in it,
// in their order: parts with a name, parts that ask to be attachments, enclosed
// messages, and whatever is neither of type text nor a container.
func (t *Tree) Attachments() []Attachment {
	var found []Attachment
	for _, p := range t.Parts {
		if p.isAttachment() {
			found = append(found, Attachment{p.Names, p.Type, p})
		}
	}
	return found
}

func (p *Part) isAttachment() bool {
	switch {
	case len(p.Names) > 0 || p.Disposition == "attachment":
		return true
	case p.IsMessage():
		return true
	}
	return len(p.Children) == 0 && !p.IsMultipart() && !strings.HasPrefix(p.Type, "text/") && !strings.HasPrefix(p.Type, "message/")
}
