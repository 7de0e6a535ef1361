//go:build !linux

package faults

import (
	"runtime"
	"testing"
)

// resident is how many bytes the runtime has of the system: more than are in
// memory.
func resident(*testing.T) int64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.Sys - m.HeapReleased)
}

// descriptors cannot be counted here.
func descriptors(*testing.T) int { return 0 }
