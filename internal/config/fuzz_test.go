package config

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"milterd/internal/strictyaml"
)

// FuzzRead reads anything as milterd.yaml. What is refused is refused with a place in the file; what is accepted keeps
// the promises that the rest of the daemon relies on, and is the same configuration when its Effective form is read.
func FuzzRead(f *testing.F) {
	f.Add([]byte(Sample))
	for _, seed := range []string{
		"", "mode: tag", "http: off", "listen: [unix:a, {socket: inet:1@h}]", "thresholds: {greylist: off, junk: 1e9, reject: off}", "limits: {idle: 1ms}",
		"limits: {urls: 0}", "checks: {spf: {a: 1}, dkim: }", "networks: {relays: ['::/0', 0.0.0.0/0]}", "dns: {servers: ['::1']}", "rules: [a, b]",
		"control: unix:x\nlisten: [unix:y]", "log: ${env:LEVEL}", "log: {level: '${env:LEVEL}'}", "journal: {path: '${file:x}'}", "thresholds: {junk: .inf}", "authserv_id: ${env:HOME}",
		"limits: &l {urls: 1}\nchecks: {spf: *l}", "<<: {mode: tag}", "spool: ''", "listen: []",
	} {
		f.Add([]byte(seed))
	}
	o := testOptions()
	o.Exists = func(string) bool { return true }
	f.Fuzz(func(t *testing.T, src []byte) {
		c, err := Read("dir/f.yaml", src, o)
		if err != nil {
			errs, ok := errors.AsType[strictyaml.Errors](err)
			if !ok || len(errs) == 0 || c != nil {
				t.Fatalf("config %v with error of type %T", c, err)
			}
			for _, e := range errs {
				if e.Pos.File != "dir/f.yaml" || e.Pos.Line > strings.Count(string(src), "\n")+1 || e.Pos.Line == 0 && len(src) <= strictyaml.MaxBytes {
					t.Errorf("%v does not point into the file", e)
				}
			}
			return
		}
		if len(c.Listen) == 0 || c.Control.Address == "" {
			t.Errorf("no socket: %+v %+v", c.Listen, c.Control)
		}
		for _, s := range append(c.Listen, c.Control) {
			if _, rest, ok := cutScheme(s.Address); !ok || rest == "" || s.Mode > 0o777 {
				t.Errorf("socket %+v", s)
			}
		}
		limits := reflect.ValueOf(c.Limits)
		for i := range limits.NumField() {
			if limits.Field(i).Int() <= 0 {
				t.Errorf("limit %s is %v", limits.Type().Field(i).Name, limits.Field(i))
			}
		}
		lower := Threshold(0)
		for _, at := range []Threshold{c.Thresholds.Greylist, c.Thresholds.Junk, c.Thresholds.Reject} {
			if !at.IsOff() {
				if at <= 0 || at < lower || at != at {
					t.Errorf("thresholds %v", c.Thresholds)
				}
				lower = at
			}
		}
		effective, err := c.Effective()
		if err != nil {
			t.Fatalf("Effective: %v", err)
		}
		again, err := Read("dir/f.yaml", effective, o)
		if err != nil {
			t.Fatalf("%q is printed as what is no configuration: %v\n%s", src, err, effective)
		}
		if diff := cmp.Diff(c, again, same); diff != "" {
			t.Errorf("%q is printed as another configuration:\n%s", src, diff)
		}
	})
}
