//go:build race

package complexity

// raced says that the race detector watches, and CPU time means nothing.
const raced = true
