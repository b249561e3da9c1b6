package strictyaml

import "strings"

// DidYouMean is the end of an error message: ", did you mean dkim?", or nothing when no word is near.
func DidYouMean(wrong string, words []string) string {
	if near := Nearest(wrong, words); near != nil {
		return ", did you mean " + choice(near) + "?"
	}
	return ""
}

// Nearest gives the word that somebody who typed wrong most likely meant: none when none is near, more than one when
// they are equally near (ruls_time: rule_time, rules_time). Near is one slip (a letter missing, added, wrong, or two
// swapped) in a short word, two in one of six letters, three in one of nine. Case, hyphens and underscores are no slips,
// but decide between words that are otherwise equally near.
func Nearest(wrong string, words []string) []string {
	const longest = 64 // nobody mistypes a key of this length, and the distance is quadratic
	if len(wrong) > longest {
		return nil
	}
	var best []string
	least, plain := 0, fold(wrong)
	for _, w := range words {
		folded := fold(w)
		if far := len(folded) - len(plain); max(far, -far) > slips(w) {
			continue // as many slips at least
		}
		d := distance(plain, folded)
		if d > slips(w) {
			continue
		}
		switch d = d*longest + distance(wrong, w); {
		case best == nil || d < least:
			best, least = []string{w}, d
		case d == least:
			best = append(best, w)
		}
	}
	return best
}

// slips is how many slips still mean this word.
func slips(word string) int {
	if len(word) < 2 {
		return 0
	}
	return max(1, min(3, len(word)/3))
}

func fold(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '-' || r == '_' {
			return -1
		}
		return r
	}, strings.ToLower(s))
}

// distance is the optimal string alignment distance in bytes: insertions, deletions, substitutions and swaps of neighbours.
func distance(a, b string) int {
	before, last := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		row := make([]int, len(b)+1)
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			row[j+1] = min(last[j]+cost, last[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}
