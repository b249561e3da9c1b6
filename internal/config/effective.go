package config

import (
	_ "embed"
	"fmt"
	"strings"

	"milterd/internal/strictyaml"
)

// Sample is the example file: every key with its default and one sentence, and mode: observe.
//
//go:embed sample.yaml
var Sample string

// defaultOrigin is what stands where a value comes from no file.
const defaultOrigin = "default"

// Effective prints the configuration as it is in force: every key, with a comment that says which line set it.
// ${env:NAME} and ${file:PATH} are printed as written, so no secret is shown; paths too.
func (c *Config) Effective() ([]byte, error) {
	defaults, err := strictyaml.Parse(defaultOrigin, []byte(Sample))
	if err != nil {
		return nil, fmt.Errorf("the built-in example: %w", err)
	}
	host, err := strictyaml.Parse(defaultOrigin, c.hostDefaults())
	if err != nil {
		return nil, fmt.Errorf("the defaults of this host: %w", err)
	}
	return strictyaml.Merge(defaults, host, c.root).Write(func(p strictyaml.Pos) string {
		if p.File == defaultOrigin {
			return defaultOrigin
		}
		return p.String()
	})
}

// hostDefaults is what the example cannot say, because it depends on the host or is another value there.
func (c *Config) hostDefaults() []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "mode: %s\n", Default().Mode)
	if c.root.Key("listen").Kind() == strictyaml.Null {
		b.WriteString("listen:\n")
		for _, s := range c.Listen {
			fmt.Fprintf(&b, "  - %s\n", s.Address)
		}
	}
	if len(c.Rules) > 0 && c.root.Key("rules").Kind() == strictyaml.Null {
		fmt.Fprintf(&b, "rules: [%s]\n", defaultRules)
	}
	return []byte(b.String())
}
