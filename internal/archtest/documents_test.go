package archtest

import (
	"bytes"
	"cmp"
	"fmt"
	"go/ast"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"milterd/checks/all"
	"milterd/internal/config"
	"milterd/internal/engine"
	"milterd/internal/strictyaml"
	"milterd/rules"
)

// documents gives the Markdown files that people read, below the root.
func documents(t *testing.T) []string {
	t.Helper()
	var names []string
	for _, pattern := range []string{"*.md", "docs/*.md", "checks/*/*.md", "bench/*.md"} {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range found {
			name, err := filepath.Rel(root, f)
			if err != nil {
				t.Fatal(err)
			}
			names = append(names, name)
		}
	}
	if len(names) < 10 {
		t.Fatalf("only %v found", names)
	}
	return names
}

func readDocument(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

var (
	link      = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading   = regexp.MustCompile(`(?m)^#+ (.+)$`)
	codeBlock = regexp.MustCompile("(?ms)^```.*?^```$")
	notInSlug = regexp.MustCompile(`[^\p{L}\p{N}_ -]`)
)

// TestLinks wants every link to lead to a file, and to a heading in it.
func TestLinks(t *testing.T) {
	for _, name := range documents(t) {
		for _, l := range link.FindAllStringSubmatch(readDocument(t, name), -1) {
			if strings.Contains(l[1], "://") {
				continue
			}
			file, anchor, _ := strings.Cut(l[1], "#")
			target := filepath.Join(filepath.Dir(name), file)
			if file == "" {
				target = name
			}
			text, err := os.ReadFile(filepath.Join(root, target))
			if err != nil {
				t.Errorf("%s: link %s: %v", name, l[1], err)
				continue
			}
			if anchor != "" && !slices.Contains(slugs(string(text)), anchor) {
				t.Errorf("%s: link %s: no such heading in %s", name, l[1], target)
			}
		}
	}
}

// slugs gives the anchors that headings get.
func slugs(text string) []string {
	var all []string
	for _, h := range heading.FindAllStringSubmatch(codeBlock.ReplaceAllString(text, ""), -1) {
		slug := notInSlug.ReplaceAllString(strings.ToLower(h[1]), "")
		all = append(all, strings.ReplaceAll(slug, " ", "-"))
	}
	return all
}

// TestGenerated compares the generated parts with what the code says now.
func TestGenerated(t *testing.T) {
	for _, g := range []struct {
		document, part string
		make           func(*testing.T) string
	}{
		{"docs/configuration.md", "keys", keysTable},
		{"docs/configuration.md", "checks", checksTable},
		{"docs/rules.md", "keys", ruleKeysTable},
		{"docs/rules.md", "texts", ruleTextsTable},
		{"docs/rules.md", "shipped", rulesTable},
		{"docs/findings.md", "findings", findingsTable},
		{"docs/metrics.md", "metrics", metricsTable},
		{"docs/dependencies.md", "modules", modulesTable},
		{"docs/assurance.md", "faults", faultsTable},
		{"docs/assurance.md", "fuzzing", fuzzingTable},
	} {
		t.Run(g.document+" "+g.part, func(t *testing.T) {
			text := readDocument(t, g.document)
			begin := "<!-- generated: " + g.part + " -->\n"
			before, rest, ok := strings.Cut(text, begin)
			got, after, closed := strings.Cut(rest, "<!-- end -->")
			if !ok || !closed {
				t.Fatalf("no part %q in it", g.part)
			}
			want := "\n" + g.make(t) + "\n"
			if got == want {
				return
			}
			if !*update {
				t.Fatalf("stale, run make docs; the first difference:\n%s", firstDifference(got, want))
			}
			if err := os.WriteFile(filepath.Join(root, g.document), []byte(before+begin+want+"<!-- end -->"+after), 0o644); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func firstDifference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range max(len(g), len(w)) {
		a, b := "", ""
		if i < len(g) {
			a = g[i]
		}
		if i < len(w) {
			b = w[i]
		}
		if a != b {
			return fmt.Sprintf("it says  %s\nit should %s", a, b)
		}
	}
	return "none"
}

// table writes rows as Markdown.
func table(head []string, rows [][]string) string {
	var b strings.Builder
	line := func(cells []string) {
		b.WriteString("|")
		for _, c := range cells {
			b.WriteString(" " + strings.ReplaceAll(strings.TrimSpace(c), "|", `\|`) + " |")
		}
		b.WriteString("\n")
	}
	line(head)
	b.WriteString(strings.Repeat("|---", len(head)) + "|\n")
	for _, r := range rows {
		line(r)
	}
	return b.String()
}

func code(s string) string {
	if s == "" {
		return ""
	}
	return "`" + s + "`"
}

// sampleLine is "key: value # sentence"; the value may be quoted.
var sampleLine = regexp.MustCompile(`^( *)([a-z_]+):(?: ([^#]*?))?(?: *# (.*))?$`)

// sampleRows reads the keys of an example file: the sentences stand above a key or
// behind it. A block of sentences before an empty line is about the file.
func sampleRows(t *testing.T, prefix, sample string) [][]string {
	t.Helper()
	var rows [][]string
	var above []string
	section := ""
	for line := range strings.Lines(sample) {
		line = strings.TrimRight(line, "\n")
		m := sampleLine.FindStringSubmatch(line)
		switch {
		case strings.HasPrefix(strings.TrimSpace(line), "#"):
			above = append(above, strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(line), "#")))
		case line == "":
			above = nil
		case m == nil:
			t.Fatalf("a line of the example that is no key: %s", line)
		default:
			key, value, says := m[2], strings.TrimSpace(m[3]), strings.Join(append(above, m[4]), " ")
			above = nil
			if m[1] == "" {
				section = key
			} else {
				key = section + "." + key
			}
			rows = append(rows, []string{code(prefix + key), code(value), says})
		}
	}
	return rows
}

// keysTable lists the keys of milterd.yaml; no key may be missing from the example.
func keysTable(t *testing.T) string {
	rows := sampleRows(t, "", config.Sample)
	documented := map[string]bool{}
	for i := range rows {
		key := strings.Trim(rows[i][0], "`")
		documented[key] = true
		if key == "mode" { // the one key in which the example differs from the default
			rows[i][1] = code(string(config.Default().Mode))
		}
	}
	for _, key := range strictyaml.Keys(config.Config{}) {
		if !documented[key] {
			t.Errorf("key %s is not in the example", key)
		}
	}
	rows = slices.DeleteFunc(rows, func(r []string) bool { return r[0] == "`checks`" })
	return table([]string{"key", "default", "what it does, and when to change it"}, rows)
}

func checksTable(t *testing.T) string {
	var rows [][]string
	for _, spec := range all.Specs(nil) {
		section := spec.Name + "."
		if !spec.TopLevel {
			section = "checks." + section
		}
		rows = append(rows, sampleRows(t, section, spec.Sample)...)
	}
	return table([]string{"key", "default", "what it does"}, rows)
}

// rulesTable lists the files that ship: how many rules each has, and what its first
// words say it is about.
func rulesTable(t *testing.T) string {
	set, err := rules.Load(rules.Shipped(), engine.FindingNames())
	if err != nil {
		t.Fatal(err)
	}
	count := map[string]int{}
	for i := range set.Texts {
		count[set.Texts[i].Pos.File]++
	}
	for i := range set.Composites {
		count[set.Composites[i].Pos.File]++
	}
	var rows [][]string
	for _, s := range rules.Shipped() {
		about := ""
		for line := range strings.Lines(string(s.Text)) {
			if !strings.HasPrefix(line, "#") {
				break
			}
			about += " " + strings.TrimSpace(strings.TrimPrefix(line, "#"))
		}
		if about == "" {
			t.Errorf("%s does not begin with what it is about", s.Name)
		}
		rows = append(rows, []string{"[" + filepath.Base(s.Name) + "](../rules/" + s.Name + ")", strconv.Itoa(count[s.Name]), about})
	}
	return table([]string{"file", "rules", "what"}, rows)
}

// A metric is one that the code registers.
type metric struct {
	name, kind, help string
	labels           []string
}

var metricKinds = map[string]string{
	"Counter": "counter", "CounterVec": "counter", "CounterFunc": "counter",
	"Gauge": "gauge", "GaugeVec": "gauge", "GaugeFunc": "gauge", "Histogram": "histogram", "HistogramVec": "histogram",
}

// metrics finds prometheus.NewXxx(prometheus.XxxOpts{Name:, Help:}, []string{labels})
// in the code. A metric made in another way escapes it, and TestMetricsAreFound.
func metrics(t *testing.T) []metric {
	t.Helper()
	daemon := production(t)
	var found []metric
	for _, s := range sources(t) {
		if s.test || !daemon[s.dir] {
			continue
		}
		ast.Inspect(s.ast, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			made, ok := call.Fun.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			kind := metricKinds[strings.TrimPrefix(made.Sel.Name, "New")]
			if pkg, ok := made.X.(*ast.Ident); !ok || pkg.Name != "prometheus" || kind == "" {
				return true
			}
			m := metric{kind: kind}
			for _, arg := range call.Args {
				lit, ok := arg.(*ast.CompositeLit)
				if !ok {
					continue
				}
				for _, element := range lit.Elts {
					switch e := element.(type) {
					case *ast.BasicLit:
						m.labels = append(m.labels, unquote(e))
					case *ast.KeyValueExpr:
						switch e.Key.(*ast.Ident).Name {
						case "Name":
							m.name = unquote(e.Value)
						case "Help":
							m.help = unquote(e.Value)
						case "ConstLabels":
							for _, l := range e.Value.(*ast.CompositeLit).Elts {
								m.labels = append(m.labels, unquote(l.(*ast.KeyValueExpr).Key))
							}
						}
					}
				}
			}
			if m.name == "" || m.help == "" {
				t.Errorf("%s: a metric whose name or help is no plain text", s.pos(call))
			}
			found = append(found, m)
			return true
		})
	}
	slices.SortFunc(found, func(a, b metric) int { return cmp.Compare(a.name, b.name) })
	return found
}

func unquote(e ast.Expr) string {
	lit, ok := e.(*ast.BasicLit)
	if !ok || lit.Kind != token.STRING {
		return ""
	}
	s, _ := strconv.Unquote(lit.Value)
	return s
}

func metricsTable(t *testing.T) string {
	var rows [][]string
	for _, m := range metrics(t) {
		var labels []string
		for _, l := range m.labels {
			labels = append(labels, code(l))
		}
		rows = append(rows, []string{code(m.name), m.kind, strings.Join(labels, " "), m.help})
	}
	return table([]string{"metric", "type", "labels", "what"}, rows)
}

// TestMetricNames wants names as Prometheus and STYLE have them.
func TestMetricNames(t *testing.T) {
	plain := regexp.MustCompile(`^milterd_[a-z][a-z0-9_]*$`)
	for _, m := range metrics(t) {
		if !plain.MatchString(m.name) {
			t.Errorf("%s: expected milterd_ and lower case", m.name)
		}
		if total := strings.HasSuffix(m.name, "_total"); total != (m.kind == "counter") {
			t.Errorf("%s is a %s: counters, and nothing else, end in _total", m.name, m.kind)
		}
	}
}

// why says for every module what it is for and who would take its place.
var why = map[string][2]string{
	"github.com/schollz/progressbar/v3": {"the progress bar of long work on a terminal",
		"silence: it is shown to people and nothing else"},
	"golang.org/x/term": {"whether somebody watches: on a terminal a progress bar is drawn", "nobody: it is the Go project's own"},
	"github.com/alecthomas/kong": {"the command line: flags, help, environment",
		"the standard library's flag, and a hundred lines for help"},
	"github.com/emersion/go-message": {"charsets of mail (its package charset)",
		"golang.org/x/text with a table of the names that mail uses"},
	"github.com/wasilibs/go-re2": {"regular expressions in linear time: RE2 itself, translated to Go, no C. Which expression is tried where is ours (internal/match)",
		"the standard library's regexp, which falls in where RE2 refuses; thirty times slower on large rule sets"},
	"github.com/gabriel-vasile/mimetype": {"what a file is by its first bytes (checks/attachments)",
		"a table of our own of some thirty signatures"},
	"github.com/nwaples/rardecode/v2": {"the list of a rar, and what is in its files, with a small dictionary (internal/archive)",
		"a reader of the headers of our own; archives in a rar would stay closed"},
	"github.com/ulikunitz/xz": {"LZMA and LZMA2 of 7z, xz and zip, with dictionaries of our size (internal/archive); the readers of the formats are ours",
		"nobody: what is packed that way would be listed and not opened"},
	"github.com/dlclark/regexp2": {"expressions with look-around, of rule files that ask for it; behind a linear gate and against the clock (internal/match)",
		"nobody: such rules would be reported as not carried"},
	"github.com/santhosh-tekuri/jsonschema/v6": {"tests: the JSON Schema of rule files says what the reader of rule files does", "any other validator"},
	"github.com/emersion/go-milter": {"constants and types of the milter wire; its client is an independent peer in the tests. The session loop and the client are ours",
		"a file of constants in milter"},
	"github.com/miekg/dns": {"DNS messages: packing, unpacking, record types. Cache, budgets and the choice of servers are ours",
		"its version 2, or golang.org/x/net/dns/dnsmessage, behind the same resolver"},
	"github.com/prometheus/client_golang": {"metrics and their exposition",
		"a registry of our own; the text format is a page"},
	"github.com/emersion/go-msgauth": {"the other opinion on DKIM: behind milterd dkim check, in tests and fuzzing; on DMARC records in tests",
		"nobody is needed: the public suites stay"},
	"github.com/redis/go-redis/v9": {"the store of several hosts: the protocol of Redis and Valkey (internal/store/redis)",
		"a client of our own for the dozen commands that the store uses"},
	"go.etcd.io/bbolt": {"the store of one host: pages, transactions, crash safety (internal/store/bolt)",
		"a log file and a map; the same tests run on every store"},
	"golang.org/x/crypto": {"cryptography that the standard library does not export", "nobody: it is the Go project's own"},
	"golang.org/x/net":    {"HTML tokens (html), internationalised domain names (idna), the Public Suffix List (publicsuffix)", "nobody: it is the Go project's own"},
	"golang.org/x/sys":    {"unlinked spool files, clocks and namespaces that the standard library has no call for", "nobody: it is the Go project's own"},
	"golang.org/x/text":   {"charsets and Unicode normalisation", "nobody: it is the Go project's own"},
	"golang.org/x/sync":   {"errgroup, in the end-to-end tests", "sync.WaitGroup and a few lines"},
	"gopkg.in/yaml.v3": {"YAML syntax. Strictness, positions, merging and errors are ours (internal/strictyaml)",
		"another parser that gives nodes with positions, or a subset of our own"},
	"blitiri.com.ar/go/spf":    {"tests: the other opinion in the differential fuzzing of spf", "nobody is needed: the public suites stay"},
	"github.com/google/go-cmp": {"tests: readable differences", "reflect.DeepEqual and patience"},
}

// modulesTable lists the modules that our code imports itself, with the version of
// go.mod and the packages that use them.
func modulesTable(t *testing.T) string {
	gomod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	version := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^\t(\S+) (v\S+)`).FindAllSubmatch(gomod, -1) {
		version[string(m[1])] = string(m[2])
	}
	users := map[string][]string{}
	for _, s := range sources(t) {
		user := s.dir
		if s.test {
			user = "tests"
		}
		for _, i := range s.imports() {
			for module := range version {
				if (i == module || strings.HasPrefix(i, module+"/")) && !slices.Contains(users[module], user) {
					users[module] = append(users[module], user)
				}
			}
		}
	}
	var rows [][]string
	for module, by := range users {
		if w := why[module]; w[0] == "" {
			t.Errorf("module %s: nobody says what it is for (internal/archtest)", module)
		}
		inCode := slices.DeleteFunc(slices.Clone(by), func(u string) bool { return u == "tests" })
		slices.Sort(inCode)
		if len(inCode) == 0 {
			inCode = []string{"tests"}
		}
		rows = append(rows, []string{code(module), version[module], why[module][0], strings.Join(inCode, ", "), why[module][1]})
	}
	slices.SortFunc(rows, func(a, b []string) int { return cmp.Compare(a[0], b[0]) })
	return table([]string{"module", "version", "what for", "used by", "who would replace it"}, rows)
}

// TestSampleShips wants deploy/milterd.yaml to be the example that is built in.
func TestSampleShips(t *testing.T) {
	path := filepath.Join(root, "deploy/milterd.yaml")
	text, err := os.ReadFile(path)
	if err == nil && bytes.Equal(text, []byte(config.Sample)) {
		return
	}
	if !*update {
		t.Fatalf("deploy/milterd.yaml is not internal/config/sample.yaml (%v): run make docs", err)
	}
	if err := os.WriteFile(path, []byte(config.Sample), 0o644); err != nil {
		t.Fatal(err)
	}
}
