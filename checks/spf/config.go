package spf

import "milterd/checks"

// config is the section checks.spf; sample.yaml explains each key.
type config struct {
	checks.Common
}

func defaults() config {
	return config{Common: checks.Common{Enabled: true, OnError: checks.OnErrorTempFail}}
}
