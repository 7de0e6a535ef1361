package faults

import (
	"fmt"
	"os"
	"testing"
)

// resident is how many bytes of the process are in memory.
func resident(t *testing.T) int64 {
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Error(err)
		return 0
	}
	var size, pages int64
	if _, err := fmt.Sscan(string(b), &size, &pages); err != nil {
		t.Error(err)
	}
	return pages * int64(os.Getpagesize())
}

// descriptors is how many files and sockets are open.
func descriptors(t *testing.T) int {
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Error(err)
	}
	return len(open)
}
