package author

import (
	"errors"

	"milterd/checks"
)

// config is the section checks.author; sample.yaml explains each key.
type config struct {
	checks.Common
	Mode mode `yaml:"mode"`
}

func defaults() config {
	return config{
		Common: checks.Common{Enabled: true, OnError: checks.OnErrorTempFail},
		Mode:   enforce,
	}
}

// mode is how far the check may go. The mode of the whole daemon stands above it.
type mode string

const (
	observe mode = "observe" // log what is wrong
	score   mode = "score"   // let it count
	enforce mode = "enforce" // refuse what has no author
)

// UnmarshalText accepts the three words that there are.
func (m *mode) UnmarshalText(text []byte) error {
	switch v := mode(text); v {
	case observe, score, enforce:
		*m = v
		return nil
	}
	return errors.New("expected observe, score or enforce")
}
