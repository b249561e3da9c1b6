//go:build !race

package complexity

const raced = false
