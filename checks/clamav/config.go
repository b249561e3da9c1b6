package clamav

import (
	"errors"
	"net"
	"strings"
	"time"

	"milterd/checks"
	"milterd/internal/strictyaml"
)

// config is the section checks.clamav; sample.yaml explains each key.
type config struct {
	checks.Common
	Required    bool             `yaml:"required"`
	Sockets     []socket         `yaml:"sockets"`
	Timeout     time.Duration    `yaml:"timeout"`
	StreamMax   strictyaml.Bytes `yaml:"stream_max"`
	Connections int              `yaml:"connections"`
	Cache       time.Duration    `yaml:"cache"`
}

func defaults() config {
	return config{
		Common:      checks.Common{OnError: checks.OnErrorTempFail},
		Required:    true,
		Sockets:     []socket{{"unix:/run/clamav/clamd.ctl", "unix", "/run/clamav/clamd.ctl"}},
		Timeout:     20 * time.Second,
		StreamMax:   25 << 20,
		Connections: 6,
		Cache:       10 * time.Minute,
	}
}

// ValidateYAML implements [strictyaml.Validator].
func (c *config) ValidateYAML(n *strictyaml.Node) error {
	var errs strictyaml.Errors
	if len(c.Sockets) == 0 {
		errs.Add(n.Key("sockets").Errorf("is empty, expected at least one socket"))
	}
	if c.Timeout <= 0 {
		errs.Add(n.Key("timeout").Errorf("got %s, expected more than 0", c.Timeout))
	}
	if c.StreamMax < 64<<10 || c.StreamMax > 4000<<20 {
		errs.Add(n.Key("stream_max").Errorf("got %s, expected 64KiB to 4000MiB", c.StreamMax))
	}
	if c.Connections <= 0 {
		errs.Add(n.Key("connections").Errorf("got %d, expected more than 0", c.Connections))
	}
	return errs.Err()
}

// socket says where a clamd listens.
type socket struct {
	name             string
	network, address string
}

// UnmarshalText reads unix:/path, inet:host:port or tcp://host:port.
func (s *socket) UnmarshalText(text []byte) error {
	name := string(text)
	for _, prefix := range []string{"unix:", "local:"} {
		if path, ok := strings.CutPrefix(name, prefix); ok && strings.HasPrefix(path, "/") {
			*s = socket{name, "unix", path}
			return nil
		}
	}
	for _, prefix := range []string{"inet:", "tcp://"} {
		address, ok := strings.CutPrefix(name, prefix)
		if host, port, err := net.SplitHostPort(address); ok && err == nil && host != "" && port != "" {
			*s = socket{name, "tcp", address}
			return nil
		}
	}
	return errors.New("expected unix:/path, inet:host:port or tcp://host:port")
}
