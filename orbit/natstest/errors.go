package natstest

import "errors"

var (
	// ErrDown reports an operation that needs a running server.
	ErrDown = errors.New("server is down")
	// ErrStopped reports an operation on what Stop has ended for good.
	ErrStopped = errors.New("already stopped")
)
