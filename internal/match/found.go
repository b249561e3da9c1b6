package match

import (
	"slices"
	"strings"
)

// maxPlaces is how many places in one text are kept.
const maxPlaces = 1 << 16

// found is where needles ended in a text, as a chain for each list of them.
type found struct {
	lists    []uint64 // a bit for each list of which there is a needle
	chains   []chain  // by list, of those with places
	places   []place
	anywhere []bool // by list: there are more places than were kept
	measures        // of the text, -1 while nobody has asked
}

// chain is the places of a list, by their numbers.
type chain struct{ first, last int32 }

type place struct {
	end    int32
	needle int32
	next   int32 // in the chain; negative is none
}

// reset prepares f for a text and so many lists.
func (f *found) reset(lists int) {
	f.lists = append(f.lists[:0], make([]uint64, (lists+63)/64)...)
	f.chains = slices.Grow(f.chains[:0], lists)[:lists] // the bits above tell which are of this text
	f.anywhere = append(f.anywhere[:0], make([]bool, lists)...)
	f.places, f.measures = f.places[:0], measures{-1, -1}
}

// measure returns the measures of the text, with its runs if they are asked for.
func (f *found) measure(text string, runs bool) measures {
	if f.wide < 0 {
		f.wide = wide(text)
	}
	if runs && f.run < 0 {
		f.run = longestRun(text)
	}
	return f.measures
}

// has reports whether a needle of a list is there.
func (f *found) has(list int) bool { return f.lists[list/64]>>(list%64)&1 != 0 }

// everywhere notes that a needle of a list may be at any place.
func (f *found) everywhere(list int32) {
	f.lists[list/64] |= 1 << (list % 64)
	f.anywhere[list] = true
}

func (f *found) add(needle, list int32, end int) {
	if len(f.places) >= maxPlaces || f.anywhere[list] {
		f.everywhere(list)
		return
	}
	n := int32(len(f.places))
	f.places = append(f.places, place{int32(end), needle, -1})
	c := &f.chains[list]
	if f.has(int(list)) {
		f.places[c.last].next = n
	} else {
		f.lists[list/64] |= 1 << (list % 64)
		c.first = n
	}
	c.last = n
}

// unfolded says whether a text has characters that folding would change beyond
// those in ASCII, which the search for needles takes care of.
func unfolded(text string) bool {
	return strings.Contains(text, longS) || strings.Contains(text, kelvin)
}
