//go:build !unix

package natstest

import (
	"errors"
	"syscall"
)

func childAttributes() *syscall.SysProcAttr { return nil }

func pause(int) error { return errors.ErrUnsupported }

func resume(int) error { return errors.ErrUnsupported }
