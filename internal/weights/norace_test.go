//go:build !race

package weights

const raced = false
