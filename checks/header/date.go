package header

import (
	"net/mail"
	"strings"
	"time"
)

var weekdays = map[string]time.Weekday{
	"sun": time.Sunday, "mon": time.Monday, "tue": time.Tuesday, "wed": time.Wednesday, "thu": time.Thursday, "fri": time.Friday, "sat": time.Saturday,
}

// sloppy are forms that RFC 5322 does not know and every reader understands.
var sloppy = []string{
	"Mon, 2 Jan 2006 15:04:05", "2 Jan 2006 15:04:05", "Mon, 2 Jan 06 15:04:05", "Mon, 2 Jan 2006 15:04",
	"Mon Jan 2 15:04:05 2006", "Mon Jan 2 15:04:05 MST 2006", "2006-01-02 15:04:05", "2006-01-02T15:04:05Z07:00",
	"2 Jan 2006 15:04:05 MST", "2 Jan 06 3:04:05 PM", "Mon, 2 Jan 2006 15:04:05 MST-07:00",
	"Monday, January 2, 2006 3:04 PM", "Monday, 2 January 2006 15:04:05 -0700",
}

// maxDate bounds what is looked at; a date with a long comment has 60 bytes.
const maxDate = 128

// parseDate reads a date as RFC 5322, section 3.3, has it, and the forms that
// careless programs write. Where no zone is given it is UTC: nothing here needs
// to be known better than to half a day.
func parseDate(text string) (time.Time, bool) {
	if text = strings.TrimSpace(text); len(text) > maxDate {
		return time.Time{}, false
	}
	if t, err := mail.ParseDate(text); err == nil {
		return t, true
	}
	if i := strings.IndexByte(text, '('); i > 0 { // a comment with what no comment may have
		text = strings.TrimSpace(text[:i])
	}
	text = strings.Join(strings.Fields(text), " ")
	for _, layout := range sloppy {
		if t, err := time.Parse(layout, text); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}
