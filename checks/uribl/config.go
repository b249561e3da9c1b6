package uribl

import (
	"fmt"

	"milterd/checks"
	"milterd/internal/dnslist"
	"milterd/internal/strictyaml"
	"milterd/internal/table"
	"milterd/mime"
)

// config is the section checks.uribl; sample.yaml explains each key.
type config struct {
	checks.Common
	Lists    dnslist.Lists     `yaml:"lists"`
	Files    []strictyaml.Path `yaml:"files"`
	Except   table.Entries     `yaml:"except"`
	Suffixes []strictyaml.Path `yaml:"suffixes"`
	Hosts    int               `yaml:"hosts"`
}

func defaults() config {
	return config{Common: checks.Common{Enabled: true, OnError: checks.OnErrorIgnore}, Hosts: 20}
}

// maxHosts bounds the key hosts.
const maxHosts = 100

// subjects are what the check asks about.
var subjects = []dnslist.Subject{dnslist.Helo, dnslist.MailFrom, dnslist.Author, dnslist.DKIM, dnslist.Email, dnslist.Received, dnslist.URL}

// read decodes the section onto the lists that ship and those of its files. never are
// domains that those files want nobody to be asked about.
func read(section checks.Section) (cfg config, active []*dnslist.List, never []string, err error) {
	cfg = defaults()
	if err := section.Decode(&cfg); err != nil {
		return cfg, nil, nil, err
	}
	if len(cfg.Lists) == 0 && len(cfg.Files) == 0 && cfg.Hosts == defaults().Hosts {
		return cfg, nil, nil, nil // what ships is off
	}
	lists, never, err := dnslist.Load(cfg.Files...)
	if err != nil {
		return cfg, nil, nil, err
	}
	cfg = defaults()
	cfg.Lists = lists
	if err := section.Decode(&cfg); err != nil {
		return cfg, nil, nil, err
	}
	if cfg.Hosts < 1 || cfg.Hosts > maxHosts {
		return cfg, nil, nil, fmt.Errorf("checks.uribl.hosts: got %d, expected a number from 1 to %d", cfg.Hosts, maxHosts)
	}
	active, err = cfg.Lists.For("checks.uribl", subjects...)
	return cfg, active, never, err
}

// limits are what of one body is looked at.
type limits struct {
	scan int64
	mime mime.Limits
}
