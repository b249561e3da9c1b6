package header

import (
	"strings"
	"time"
)

var weekdays = map[string]time.Weekday{
	"sun": time.Sunday, "mon": time.Monday, "tue": time.Tuesday, "wed": time.Wednesday, "thu": time.Thursday, "fri": time.Friday, "sat": time.Saturday,
}

// forms are those of RFC 5322, with and without what it leaves to the writer, and
// below them those that it does not know and every reader understands.
var forms = []string{
	"Mon, 2 Jan 2006 15:04:05 -0700", "2 Jan 2006 15:04:05 -0700", "Mon, 2 Jan 2006 15:04 -0700", "2 Jan 2006 15:04 -0700",
	"Mon, 2 Jan 2006 15:04:05 MST", "Mon, 2 Jan 2006 15:04 MST", "Mon, 2 Jan 06 15:04:05 -0700", "Mon, 2 Jan 06 15:04:05 MST",
	"2 Jan 06 15:04:05 -0700", "2 Jan 06 15:04:05 MST",

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
	if i := strings.IndexByte(text, '('); i > 0 { // a comment names the zone, and stands at the end
		text = text[:i]
	}
	text = strings.Join(strings.Fields(text), " ")
	for _, layout := range forms {
		if t, err := time.Parse(layout, text); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}
