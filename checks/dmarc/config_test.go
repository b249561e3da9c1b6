package dmarc

import (
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"milterd/checks"
	"milterd/checks/checktest"
	"milterd/message"
)

func TestConfig(t *testing.T) {
	got := config{Mode: "unset", OrgDomain: "unset", TempfailMax: 1}
	err := checktest.Section(sample).Decode(&got)
	if err != nil || !reflect.DeepEqual(got, defaults()) {
		t.Errorf("sample.yaml is %+v, %v; the defaults are %+v", got, err, defaults())
	}
	for yaml, want := range map[string]string{
		"mode: enforced":                     "expected observe, score, enforce or strict",
		"org_domain: list":                   "expected treewalk, psl or both",
		"tempfail_max: 1d":                   "expected a time from 0s to 72h",
		"tempfail_max: 73h":                  "expected a time from 0s to 72h",
		"tempfail_max: -1s":                  "expected a time from 0s to 72h",
		"forwarders: {domains: [a_b.test]}":  "forwarders.domains[0]",
		"forwarders: {networks: [1.2.3]}":    "forwarders.networks[0]",
		"forwarders: {hosts: [mx.test]}":     "forwarders.hosts",
		"tempfail_max: 1h\ntempfail_maxx: 1": "tempfail_maxx",
	} {
		if _, err := checktest.TryNew(t, Spec(), yaml, checks.Env{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", yaml, err, want)
		}
	}
	if _, err := checktest.TryNew(t, Spec(), "tempfail_max: 72h", checks.Env{}); err != nil {
		t.Error(err)
	}
	if time.Duration(defaults().TempfailMax) != time.Hour {
		t.Error("the contract says an hour")
	}
}

func TestSpec(t *testing.T) {
	spec := Spec()
	if spec.Phase != checks.Header || spec.Outbound || !slices.Equal(spec.After, []string{"spf", "dkim", "author", "arc"}) {
		t.Errorf("%+v", spec)
	}
	for _, f := range spec.Findings {
		if f.Subjective || f.Describe == "" || !strings.HasPrefix(f.Name, "DMARC_") {
			t.Errorf("%+v", f)
		}
	}
}

// TestREADME: its tables name every finding, metric and key, and its configuration
// is valid and means what it says.
func TestREADME(t *testing.T) {
	data, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	readme := string(data)
	var listed, specified []string
	for _, row := range regexp.MustCompile(`(?m)^\| (DMARC_\w+) \| [\d.]+ \|`).FindAllStringSubmatch(readme, -1) {
		listed = append(listed, row[1])
	}
	for _, f := range Spec().Findings {
		specified = append(specified, f.Name)
	}
	if !slices.Equal(listed, specified) {
		t.Errorf("README lists\n%v\nthe check reports\n%v", listed, specified)
	}
	source, err := os.ReadFile("metrics.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range regexp.MustCompile(`milterd_dmarc_\w+`).FindAllString(string(source), -1) {
		if !strings.Contains(readme, "`"+name+"`") {
			t.Errorf("README does not name %s", name)
		}
	}
	for _, o := range []OverrideType{LocalPolicy, MailingList, PolicyTestMode, TrustedForwarder} {
		if !strings.Contains(readme, string(o)) {
			t.Errorf("README does not name %s", o)
		}
	}
	blocks := regexp.MustCompile("(?s)```yaml\nchecks:\n  dmarc:\n(.*?)```").FindAllStringSubmatch(readme, -1)
	if len(blocks) != 4 {
		t.Errorf("%d blocks of YAML", len(blocks))
	}
	for i, block := range blocks {
		cfg := defaults()
		if err := checktest.Section(block[1]).Decode(&cfg); err != nil {
			t.Errorf("%s: %v", block[1], err)
		}
		if i == 0 && (cfg.Mode != enforce || cfg.TempfailMax != defaults().TempfailMax || len(cfg.Forwarders.Domains) != 0) {
			t.Errorf("the configuration shown is not that of the defaults: %+v", cfg)
		}
		if i == 2 && (len(cfg.Forwarders.Networks) != 2 || len(cfg.Forwarders.Domains) != 1) {
			t.Errorf("%+v", cfg)
		}
	}
	// Replies are quoted as they are sent.
	victim, _ := message.ParseDomain("x.test")
	for _, reply := range []string{message.ReplyPolicyLookup.String(), strings.Replace(message.ReplyDMARC(victim).String(), "x.test", "<domain>", 1)} {
		if !strings.Contains(readme, "`"+reply+"`") {
			t.Errorf("README does not quote %q", reply)
		}
	}
}
