//go:build !race

package spamassassin

const raceDetector = false
