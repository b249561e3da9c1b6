//go:build !race

// Package race tells whether the race detector watches. Under it the same work takes
// some ten times as long: tests that measure CPU time mean nothing, and what does a long piece
// of work in one goroutine has nothing for it to see. Memory that is used again and again
// can be given up there instead, so that who reads it too late is found.
package race

// Enabled says that the race detector is at work.
const Enabled = false
