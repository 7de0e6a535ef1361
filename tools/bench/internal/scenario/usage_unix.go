//go:build unix

package scenario

import (
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func processUsage() usage {
	var ru syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &ru) != nil {
		return usage{} // cannot happen to oneself
	}
	return usage{user: time.Duration(ru.Utime.Nano()), sys: time.Duration(ru.Stime.Nano()), switches: int64(ru.Nvcsw)}
}

// writeCalls counts the write system calls of the process, where the system
// tells: on Linux.
func writeCalls() (int64, bool) {
	text, err := os.ReadFile("/proc/self/io")
	if err != nil {
		return 0, false
	}
	_, rest, ok := strings.Cut(string(text), "syscw: ")
	if !ok {
		return 0, false
	}
	line, _, _ := strings.Cut(rest, "\n")
	n, err := strconv.ParseInt(line, 10, 64)
	return n, err == nil
}
