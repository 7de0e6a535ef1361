package nats

import "github.com/perigee-go/nats/core/internal/subject"

// Queue makes the subscription a member of a queue group: each message goes to
// one member.
func Queue(group string) SubOption {
	return subOption{"Queue", func(c *subConfig) string {
		c.queue, c.queueSet = group, true
		return subject.CheckQueue(group)
	}}
}

// AutoUnsubscribe ends the subscription after max messages, counted over
// reconnects. The server enforces it too.
func AutoUnsubscribe(max int) SubOption {
	return subOption{"AutoUnsubscribe", func(c *subConfig) string {
		if max < 1 {
			return "must be at least 1"
		}
		c.max = uint64(max)
		return ""
	}}
}

// Concurrency is how many handler calls of the subscription may run at a time.
// With 1, the default, they run in order. More than 1 needs a handler.
func Concurrency(n int) SubOption {
	return subOption{"Concurrency", func(c *subConfig) string {
		if n < 1 {
			return "must be at least 1"
		}
		c.concurrency = n
		return ""
	}}
}

// OnReader runs the handler on the goroutine that reads the connection. The
// message is borrowed: it is valid during the call only, Clone what is to stay.
// A handler that blocks stops everything that arrives on the connection, the
// answers to its keep-alive included, and a request made in it cannot be
// answered. For the last factor of two, and no other reason.
func OnReader() SubOption {
	return subOption{"OnReader", func(c *subConfig) string { c.onReader = true; return "" }}
}

// PendingLimits bounds what may wait for the handler or for Next: messages, and
// bytes of header and payload. Below 0 there is no bound. Default 500,000 and
// 64 MiB. Overflow says what happens to a message that does not fit.
func PendingLimits(msgs, bytes int) ConnSubOption {
	problem := ""
	if msgs == 0 || bytes == 0 {
		problem = "0 is no limit; use a value below 0 for none"
	}
	return connSubOption{"PendingLimits",
		func(c *config) string { c.sub.limitMsgs, c.sub.limitBytes = msgs, bytes; return problem },
		func(c *subConfig) string { c.limitMsgs, c.limitBytes = msgs, bytes; return problem },
	}
}

// Overflow says what happens to a message that does not fit the pending limits.
// Default OverflowDropNewest.
func Overflow(p OverflowPolicy) ConnSubOption {
	problem := ""
	if p < OverflowDropNewest || p > OverflowEnd {
		problem = "no such policy"
	}
	return connSubOption{"Overflow",
		func(c *config) string { c.sub.overflow = p; return problem },
		func(c *subConfig) string { c.overflow = p; return problem },
	}
}

// OverflowPolicy says what happens to a message that does not fit the pending
// limits.
type OverflowPolicy int

const (
	// OverflowDropNewest drops the arriving message; SlowConsumer is told once
	// an episode.
	OverflowDropNewest OverflowPolicy = iota
	// OverflowDropOldest drops the oldest waiting messages instead.
	OverflowDropOldest
	// OverflowEnd ends the subscription with ErrSlowConsumer.
	OverflowEnd
)
