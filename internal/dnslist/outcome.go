package dnslist

import (
	"fmt"
	"strings"

	"milterd/checks"
)

// A Listing is an answer that counts.
type Listing struct {
	Question
	Answer
}

// Outcome is the Detail of a check's result: what its lists said.
type Outcome struct {
	Listings []Listing
	// Certain says that the check has asked for the message to be refused, so that
	// nothing another list says can matter.
	Certain bool
}

// Listings returns the answers that count, in the order of the questions.
func Listings(questions []Question, answers []Answer) []Listing {
	var all []Listing
	for i, a := range answers {
		if a.Counts() {
			all = append(all, Listing{questions[i], a})
		}
	}
	return all
}

// GroupOf is whose opinion the list is.
func (l *List) GroupOf() string {
	if l.Group != "" {
		return l.Group
	}
	return l.Name
}

// maxDetail bounds the text of a finding.
const maxDetail = 300

// Findings makes a finding of each name that name gives for a listing, in the order
// in which they came up. The value is how many independent lists agree; the text
// names them all.
func Findings(listings []Listing, name func(*Listing) string) []checks.Finding {
	var found []checks.Finding
	at, groups := map[string]int{}, map[[2]string]bool{}
	for i := range listings {
		l := &listings[i]
		n := name(l)
		if n == "" {
			continue
		}
		k, again := at[n]
		if !again {
			k = len(found)
			at[n] = k
			found = append(found, checks.Finding{Name: n})
		}
		f := &found[k]
		if g := [2]string{n, l.List.GroupOf()}; !groups[g] {
			groups[g] = true
			f.Value++
		}
		text := fmt.Sprintf("%s by %s (%s)", l.Item, l.List.Name, l.Code)
		if len(f.Detail)+len(text)+2 > maxDetail {
			if !strings.HasSuffix(f.Detail, ", …") && f.Detail != "" {
				f.Detail += ", …"
			}
			continue
		}
		if f.Detail != "" {
			f.Detail += ", "
		}
		f.Detail += text
	}
	return found
}

// Opinions counts the groups whose lists speak against something.
func Opinions(listings []Listing) int {
	groups := map[string]bool{}
	for i := range listings {
		if listings[i].Class.Blocks() {
			groups[listings[i].List.GroupOf()] = true
		}
	}
	return len(groups)
}
