package replies

import (
	"time"

	"milterd/checks"
	"milterd/internal/strictyaml"
)

// config is the section checks.replies; sample.yaml explains each key.
type config struct {
	checks.Common
	Keep time.Duration `yaml:"keep"`
}

func defaults() config {
	return config{Common: checks.Common{Enabled: true, OnError: checks.OnErrorIgnore}, Keep: 60 * 24 * time.Hour}
}

// ValidateYAML implements [strictyaml.Validator].
func (c *config) ValidateYAML(n *strictyaml.Node) error {
	if c.Keep < time.Hour {
		return n.Key("keep").Expected("a time of at least 1h")
	}
	return nil
}
