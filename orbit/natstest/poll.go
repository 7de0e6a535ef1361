package natstest

import (
	"context"
	"time"
)

// poll calls done until it returns true or ctx ends, whose error it then
// returns. It is for what the server tells only those who ask.
func poll(ctx context.Context, done func() bool) error {
	if done() {
		return nil
	}
	ticker := time.NewTicker(2 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-ticker.C:
			if done() {
				return nil
			}
		}
	}
}
