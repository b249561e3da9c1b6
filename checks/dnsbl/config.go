package dnsbl

import (
	"fmt"
	"slices"

	"milterd/checks"
	"milterd/internal/dnslist"
	"milterd/internal/strictyaml"
	"milterd/internal/table"
)

// config is the section checks.dnsbl; sample.yaml explains each key.
type config struct {
	checks.Common
	Lists  dnslist.Lists     `yaml:"lists"`
	Files  []strictyaml.Path `yaml:"files"`
	Except table.Entries     `yaml:"except"`
	Reject []dnslist.Class   `yaml:"reject"`
}

func defaults() config {
	return config{Common: checks.Common{Enabled: true, OnError: checks.OnErrorIgnore}}
}

// read decodes the section onto the lists that ship and those of its files.
func read(section checks.Section) (cfg config, active []*dnslist.List, err error) {
	cfg = defaults()
	if err := section.Decode(&cfg); err != nil {
		return cfg, nil, err
	}
	if len(cfg.Lists) == 0 && len(cfg.Files) == 0 && len(cfg.Reject) == 0 {
		return cfg, nil, nil // what ships is off
	}
	lists, _, err := dnslist.Load(cfg.Files...)
	if err != nil {
		return cfg, nil, err
	}
	cfg = defaults()
	cfg.Lists = lists
	if err := section.Decode(&cfg); err != nil {
		return cfg, nil, err
	}
	if i := slices.IndexFunc(cfg.Reject, func(c dnslist.Class) bool { return !c.Blocks() }); i >= 0 {
		return cfg, nil, fmt.Errorf("checks.dnsbl.reject[%d]: got %q, expected a class that speaks against a client", i, cfg.Reject[i])
	}
	active, err = cfg.Lists.For("checks.dnsbl", dnslist.Client)
	return cfg, active, err
}
