package scenario

import (
	"syscall"
	"time"
)

func processUsage() usage {
	self, err := syscall.GetCurrentProcess()
	if err != nil {
		return usage{} // cannot happen to oneself
	}
	var created, exited, kernel, user syscall.Filetime
	if syscall.GetProcessTimes(self, &created, &exited, &kernel, &user) != nil {
		return usage{}
	}
	return usage{user: ticks(user), sys: ticks(kernel)}
}

// ticks reads a duration of 100 ns units; Filetime.Nanoseconds is for dates.
func ticks(t syscall.Filetime) time.Duration {
	return time.Duration(int64(t.HighDateTime)<<32|int64(t.LowDateTime)) * 100
}

// writeCalls is not to be had here.
func writeCalls() (int64, bool) { return 0, false }
