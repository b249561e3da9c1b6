//go:build !race

package bayes

const raced = false
