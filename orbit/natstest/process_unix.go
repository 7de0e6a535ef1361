//go:build unix

package natstest

import (
	"context"
	"syscall"
	"time"
)

// childAttributes puts the child into a process group of its own. A Ctrl-C on
// the terminal then reaches it only through its parent, and should the parent
// die while the child is paused, the kernel wakes the orphaned group, and the
// child sees the end of its input.
func childAttributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

func pause(pid int) error {
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return poll(ctx, func() bool { return hasStopped(pid) })
}

func resume(pid int) error { return syscall.Kill(pid, syscall.SIGCONT) }
