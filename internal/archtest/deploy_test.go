package archtest

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"milterd/checks/all"
	"milterd/internal/config"
)

const (
	unitFile   = "deploy/systemd/milterd.service"
	socketFile = "deploy/systemd/milterd.socket"
	alertFile  = "deploy/prometheus/milterd.rules.yml"
)

// exposure is how open the service may be by systemd's count, in tenths: 15 is "OK".
const exposure = "15"

// tool finds a program that not every machine has. Where nothing may be left out the
// environment says so, as it does for the end-to-end tests.
func tool(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		if os.Getenv("MILTERD_BED") == "required" {
			t.Fatalf("NOT TESTED: %s is not installed", name)
		}
		t.Skipf("NOT TESTED: %s is not installed", name)
	}
	return path
}

func TestUnitSecurity(t *testing.T) {
	analyze := tool(t, "systemd-analyze")
	out, err := exec.CommandContext(t.Context(), analyze, "security", "--offline=true", "--no-pager", "--threshold="+exposure,
		filepath.Join(root, unitFile)).CombinedOutput()
	if strings.Contains(string(out), "unrecognized option") {
		t.Skipf("NOT TESTED: this systemd-analyze is too old: %s", out)
	}
	if err != nil {
		t.Errorf("systemd-analyze security: %v\n%s", err, out)
	}
}

// TestUnit wants a unit that systemd understands and that starts what we build.
func TestUnit(t *testing.T) {
	text := readDocument(t, unitFile)
	for _, line := range []string{
		"Type=notify", "ExecStart=/usr/local/bin/milterd serve", "User=milterd", "RuntimeDirectory=milterd", "StateDirectory=milterd",
		"ReadWritePaths=-/var/spool/postfix/milterd", "RestartPreventExitStatus=77 78", "Before=postfix.service",
	} {
		if !strings.Contains(text, "\n"+line+"\n") {
			t.Errorf("%s lacks %s", unitFile, line)
		}
	}
	analyze := tool(t, "systemd-analyze")
	dir := t.TempDir()
	unit, socket := filepath.Join(dir, "milterd.service"), filepath.Join(dir, "milterd.socket")
	text = strings.ReplaceAll(text, "/usr/local/bin/milterd", abs(t, binary(t)))
	for path, text := range map[string]string{unit: text, socket: readDocument(t, socketFile)} {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	out, _ := exec.CommandContext(t.Context(), analyze, "verify", "--man=no", unit, socket).CombinedOutput()
	for line := range strings.Lines(string(out)) { // it speaks of other units, too
		if strings.Contains(line, "milterd") {
			t.Errorf("systemd-analyze verify: %s", line)
		}
	}
}

// TestSocketUnit wants systemd to open the sockets that milterd opens by default, for
// those who may use them.
func TestSocketUnit(t *testing.T) {
	text := readDocument(t, socketFile)
	want := []string{"FileDescriptorName=milter", "SocketUser=milterd", "SocketGroup=postfix", "SocketMode=0660",
		"ListenStream=" + strings.TrimPrefix(config.Default().Listen[0].Address, "unix:"), "ListenStream=/var/spool/postfix/milterd/milterd.sock"}
	for _, line := range want {
		if !strings.Contains(text, "\n"+line+"\n") {
			t.Errorf("%s lacks %s", socketFile, line)
		}
	}
	if !strings.Contains(readDocument(t, unitFile), "\nRuntimeDirectoryPreserve=yes\n") {
		t.Error("the sockets below /run/milterd go when the service stops")
	}
}

// TestSameUser wants the files of systemd to agree with each other and with the
// defaults of the code.
func TestSameUser(t *testing.T) {
	socketDir := filepath.Dir("/var/spool/postfix/milterd/milterd.sock")
	if want := "\nd " + socketDir + " 2750 milterd postfix -\n"; !strings.Contains(readDocument(t, "deploy/systemd/milterd.tmpfiles"), want) {
		t.Errorf("tmpfiles.d lacks the line %q", strings.TrimSpace(want))
	}
	if !strings.Contains(readDocument(t, "deploy/systemd/milterd.sysusers"), "\nu milterd - ") {
		t.Error("sysusers.d makes no user milterd")
	}
	for _, path := range []string{
		strings.TrimPrefix(config.Default().Control.Address, "unix:"), strings.TrimPrefix(config.Default().Listen[0].Address, "unix:"),
	} {
		if filepath.Dir(path) != "/run/milterd" { // RuntimeDirectory=
			t.Errorf("%s is outside of the unit's RuntimeDirectory", path)
		}
	}
	if dir := filepath.Dir(string(config.Default().Journal.Path)); dir != "/var/lib/milterd" { // StateDirectory=
		t.Errorf("the journal in %s is outside of the unit's StateDirectory", dir)
	}
}

// TestBenchScripts wants scripts that turn off every check but those of their name.
func TestBenchScripts(t *testing.T) {
	auth := []string{"spf", "dkim", "arc", "dmarc"}
	withRules := slices.Concat(auth, []string{"iprev", "auth", "author", "header", "content"})
	on := map[string][]string{"milterd-off": nil, "milterd-spf": {"spf"}, "milterd-auth": auth, "milterd-sign-rsa": nil,
		"milterd-rules": withRules, "milterd-bayes": append(withRules, "bayes")}
	for script, wanted := range on {
		text := readDocument(t, "bench/extra.d/"+script)
		for _, name := range all.Names() {
			off := strings.Contains(text, name+": {enabled: false}")
			if off == slices.Contains(wanted, name) {
				t.Errorf("%s: check %s is off: %v, expected otherwise", script, name, off)
			}
		}
	}
}

// TestFullBenchScript wants a script that turns no check off, and on all that are off
// by default and need no other daemon.
func TestFullBenchScript(t *testing.T) {
	text := readDocument(t, "bench/extra.d/milterd-full")
	if strings.Contains(text, "enabled: false") {
		t.Error("it turns something off")
	}
	for _, spec := range all.Specs(nil) {
		on := strings.Contains(text, "  "+spec.Name+": {enabled: true}\n") || strings.Contains(text, "  "+spec.Name+":\n")
		if spec.Off && spec.Name != "clamav" && !on {
			t.Errorf("it leaves %s off", spec.Name)
		}
	}
	for _, check := range []string{"dnsbl", "uribl"} {
		if !regexp.MustCompile(`(?m)^  ` + check + `:\n    files: .*\n    lists:\n(?:      [a-z-]+: \{enabled: true\}\n){5,}`).MatchString(text) {
			t.Errorf("it enables no lists of %s", check)
		}
	}
}

// TestAlerts wants alerts about metrics that exist and, where promtool is there to
// ask, in a form that Prometheus takes.
func TestAlerts(t *testing.T) {
	text := readDocument(t, alertFile)
	known := map[string]bool{}
	for _, m := range metrics(t) {
		known[m.name] = true
		if m.kind == "histogram" {
			known[m.name+"_bucket"], known[m.name+"_sum"], known[m.name+"_count"] = true, true, true
		}
	}
	names := regexp.MustCompile(`\bmilterd_[a-z_]+`).FindAllString(text, -1)
	if len(names) < 10 {
		t.Fatalf("only %v in it", names)
	}
	for _, name := range names {
		if !known[name] {
			t.Errorf("%s: there is no metric %s", alertFile, name)
		}
	}
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		return
	}
	out, err := exec.CommandContext(t.Context(), promtool, "check", "rules", filepath.Join(root, alertFile)).CombinedOutput()
	if err != nil {
		t.Errorf("promtool: %v\n%s", err, out)
	}
}
