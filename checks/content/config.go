package content

import "milterd/checks"

// config is the section checks.content; sample.yaml explains each key. The
// rules themselves stand in rule files, their bounds under limits.
type config struct {
	checks.Common
}

func defaults() config {
	return config{Common: checks.Common{Enabled: true, OnError: checks.OnErrorTempFail}}
}
