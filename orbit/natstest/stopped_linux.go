package natstest

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
)

// hasStopped reports whether every thread of a process has stopped, or is gone.
// A SIGSTOP is on its way for a moment.
func hasStopped(pid int) bool {
	stats, err := filepath.Glob(filepath.Join("/proc", strconv.Itoa(pid), "task", "*", "stat"))
	if err != nil {
		return true // the pattern is fine
	}
	for _, file := range stats {
		stat, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		// pid (name) state …, and the name may hold anything
		end := bytes.LastIndexByte(stat, ')')
		if end < 0 || end+2 >= len(stat) {
			continue
		}
		switch stat[end+2] {
		case 'T', 't', 'Z', 'X':
		default:
			return false
		}
	}
	return true
}
