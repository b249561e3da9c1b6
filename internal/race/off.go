//go:build !race

// Package race tells tests whether the race detector watches. Under it the same work takes
// some ten times as long: what measures CPU time means nothing, and what does a long piece
// of work in one goroutine has nothing for it to see.
package race

// Enabled says that the race detector is at work.
const Enabled = false
