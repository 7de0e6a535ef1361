//go:build !race

package sim

// Race reports whether the race detector is on: it finds nothing in a simulation,
// which is one goroutine, and makes it ten times as slow.
const Race = false
