//go:build race

package tokens

// raced says that the race detector is on.
const raced = true
