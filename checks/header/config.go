package header

import "milterd/checks"

// config is the section checks.header; sample.yaml explains each key.
type config struct {
	checks.Common
}

func defaults() config {
	return config{Common: checks.Common{Enabled: true, OnError: checks.OnErrorIgnore}}
}
