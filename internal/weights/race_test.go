//go:build race

package weights

// raced says that the race detector watches. What teaches thousands of messages one
// after the other has nothing for it to see, and takes ten times as long.
const raced = true
