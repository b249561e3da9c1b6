package rules

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestLint(t *testing.T) {
	set := mustLoad(t, `backtracking: true
rules:
- {name: GOOD, describe: d, body: {match: lottery}, score: 1, tests: {hit: [lottery], miss: [flowers]}}
- {name: NO_TESTS, describe: d, body: {match: parcel}, score: 1}
- {name: NO_MISS, describe: d, body: {match: invoice}, score: 1, tests: {hit: [invoice]}}
- {name: NO_HIT, describe: d, body: {match: account}, score: 1, tests: {miss: [flowers]}}
- {name: NO_WORDS, body: {match: password}, score: 1, tests: {hit: [password], miss: [flowers]}}
- {name: USELESS, body: {match: winner}, tests: {hit: [winner], miss: [flowers]}}
- {name: FACT, body: {match: prince}, tests: {hit: [prince], miss: [flowers]}}
- {name: COSTLY, describe: d, body: {match: '[0-9][a-z]+[0-9]'}, score: 1, tests: {hit: [1a2], miss: [flowers]}}
- {name: SHORT, describe: d, header: Subject, match: '[0-9][a-z]+[0-9]', score: 1, tests: {hit: [1a2], miss: [flowers]}}
- {name: SLOW, describe: d, body: {match: 'pay(?!pal)'}, score: 1, tests: {hit: [payday], miss: [paypal]}}
- {name: TWIN, describe: d, body: {match: lottery}, score: 2, tests: {hit: [lottery], miss: [flowers]}}
- {name: NO_TWIN, describe: d, body: {match: lottery, times: 2}, score: 2, tests: {hit: [lottery lottery], miss: [lottery]}}
- {name: CAPITALS, describe: d, body: {match: 'Viagra|cialis', normalised: true}, score: 1, tests: {hit: [CIALIS], miss: [viagra]}}
- {name: NO_CAPITALS, describe: d, body: {match: '(?i)Viagra', normalised: true}, score: 1, tests: {hit: [VIAGRA], miss: [flowers]}}
- {name: SLEEPS, body: {match: nigeria}, state: off}
- {name: USES, describe: d, when: "FACT && SLEEPS", score: 1, tests: {hit: [FACT SLEEPS], miss: [FACT]}}
groups:
  tight: {rules: [GOOD, TWIN], max: 2}
  loose: {rules: [NO_MISS, NO_HIT], max: 2}
`)
	now := time.Unix(0, 0)
	var got []string
	for _, r := range Lint(set, func() time.Time { now = now.Add(time.Millisecond); return now }) {
		got = append(got, r.String())
	}
	want := []string{
		"0.yaml:4:3: NO_TESTS: has no tests, expected a text that hits and one that misses",
		"0.yaml:5:3: NO_MISS: has no test that misses",
		"0.yaml:6:3: NO_HIT: has no test that hits",
		"0.yaml:7:3: NO_WORDS: has points and no describe: the log and its reader know it by this line",
		"0.yaml:8:3: USELESS: is worth 0 and no when names it",
		"0.yaml:10:3: COSTLY: is costly: no word must stand in what it matches, so it is tried on every body; 1ms for 5 KB here",
		"0.yaml:12:3: SLOW: needs backtracking: it is tried against the clock",
		"0.yaml:13:3: TWIN: asks the same as GOOD (0.yaml:3:3)",
		"0.yaml:15:3: CAPITALS: has capital letters in its match, and a normalised text has none",
		"0.yaml:17:3: SLEEPS: has no tests, expected a text that hits and one that misses",
		"0.yaml:18:3: USES: names SLEEPS, which is off",
		"0.yaml:21:10: group loose: its members bring 2 points at most, so the cap of 2 does nothing",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestWhy(t *testing.T) {
	set := mustLoad(t, `rules:
- {name: PILLS, describe: Pills are sold, body: {match: 'viagra|cialis', normalised: leet, times: 2, count: 4}, score: 1.5, tests: {hit: [viagra cialis], miss: [via]}}
- {name: BOTH, when: "PILLS >= 2 && SPF_FAIL", score: 2, state: shadow}
- {name: FRIEND, from_addr: {in: [a.test, b.test]}}
- {name: NO_DATE, header: Date, exists: false}
- {name: DIGITS, body: {match: '\d'}}
groups: {pills: {rules: [PILLS], max: 1}}
scores: {SPF_FAIL: 2.5}`)
	for name, want := range map[string][]string{
		"PILLS": {"PILLS\n", "what      Pills are sold\n", "from      0.yaml:2:3\n", "score     1.5\n", "state     active\n", "text      body\n", "match     viagra|cialis\n",
			"text is   normalised, digits", "times     2\n", "count     4\n", `tried     where there is "viagra" or "cialis"`, "group     pills, at most 1 points (0.yaml:7:17)\n",
			"named by  BOTH: PILLS >= 2 && SPF_FAIL (2, 0.yaml:3:3)\n", `hits      "viagra cialis"`, `misses    "via"`},
		"BOTH":     {"state     shadow\n", "when      PILLS >= 2 && SPF_FAIL\n", "names     PILLS (1.5)\n", "names     SPF_FAIL (2.5)\n"},
		"FRIEND":   {"in        a list in the rule, 2 entries\n"},
		"NO_DATE":  {"text      header Date\n", "exists    false\n"},
		"DIGITS":   {"tried     on every text\n"},
		"SPF_FAIL": {"what      told by the check\n", "from      a check\n", "score     2.5\n", "set in    0.yaml:8:20\n", "named by  BOTH"},
	} {
		var b strings.Builder
		if !set.Why(&b, name, map[string]string{"SPF_FAIL": "told by the check"}[name]) {
			t.Errorf("%s is not known", name)
		}
		for _, part := range want {
			if !strings.Contains(b.String(), part) {
				t.Errorf("%s: no %q in\n%s", name, part, b.String())
			}
		}
	}
	var b strings.Builder
	if set.Why(&b, "NOBODY", "") || b.Len() > 0 {
		t.Errorf("NOBODY is known: %s", b.String())
	}
}
