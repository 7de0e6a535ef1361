package jetstream

import (
	"errors"
	"math"
	"time"
)

type (
	// PullOption shapes a session that pulls ahead: Messages, Consume, Receiver.
	PullOption interface{ pullOption() }
	// FetchOption shapes a single pull: Fetch, Next.
	FetchOption interface{ fetchOption() }
	// PullFetchOption means the same in both.
	PullFetchOption interface {
		PullOption
		FetchOption
	}
)

// consumeOption is the implementation of these roles.
type consumeOption struct {
	name  string
	apply func(*pullConfig) (problem string)
}

type (
	pullOption      struct{ consumeOption }
	fetchOption     struct{ consumeOption }
	pullFetchOption struct{ consumeOption }
)

func (pullOption) pullOption()       {}
func (fetchOption) fetchOption()     {}
func (pullFetchOption) pullOption()  {}
func (pullFetchOption) fetchOption() {}

func (o consumeOption) option() consumeOption { return o }

// pullConfig is what the options of a session or a fetch make. What is 0 was not
// said.
type pullConfig struct {
	messages, bytes int
	threshold       int // -1: not said
	expiry          time.Duration
	heartbeat       time.Duration // below 0: off
	alert           time.Duration // that while there may be messages; 0: the same
	stopAfter       int
	concurrency     int
	onError         func(error)
	endOnSilence    bool

	maxWait time.Duration
	noWait  bool
}

const (
	usualMessages  = 500
	bytesOnly      = 1_000_000 // messages, when MaxBytes alone limits
	usualExpiry    = 30 * time.Second
	usualHeartbeat = 5 * time.Second
	alertHeartbeat = time.Second
	usualMaxWait   = 30 * time.Second
	// A fetch that waits for less gets no heartbeats.
	heartbeatFrom = 10 * time.Second
)

func newPullConfig[O any](opts []O) (c pullConfig, err error) {
	c.threshold = -1
	err = applyOptions(opts, func(o O) (name, problem string) {
		if known, ok := any(o).(interface{ option() consumeOption }); ok {
			return known.option().name, known.option().apply(&c)
		}
		return nilOption, ""
	})
	return c, err
}

// ahead completes the configuration of a session that pulls ahead.
func (c *pullConfig) ahead(handler bool) error {
	var errs []error
	if c.messages == 0 {
		c.messages = usualMessages
		if c.bytes > 0 {
			c.messages = bytesOnly
		}
	}
	if c.threshold < 0 {
		c.threshold = c.messages / 2
	} else if c.threshold >= c.messages {
		errs = append(errs, &OptionError{"Threshold", "must be below MaxMessages"})
	}
	if c.expiry == 0 {
		c.expiry = usualExpiry
	}
	c.bounded()
	if c.heartbeat == 0 {
		c.heartbeat = min(usualHeartbeat, c.expiry/2)
		if !c.endOnSilence {
			c.alert = alertHeartbeat
		}
	} else if c.heartbeat > c.expiry/2 {
		errs = append(errs, &OptionError{"Heartbeat", "must not be above half of Expiry"})
	}
	if c.concurrency > 0 && !handler {
		errs = append(errs, &OptionError{"Concurrency", "only for Consume: here is no handler"})
	}
	c.concurrency = max(c.concurrency, 1)
	return errors.Join(errs...)
}

// once completes the configuration of a fetch that is bounded in time.
func (c *pullConfig) once() error {
	if c.noWait && c.maxWait > 0 {
		return &OptionError{"NoWait", "not together with MaxWait"}
	}
	if c.maxWait == 0 {
		c.maxWait = usualMaxWait
	}
	c.concurrency = 1
	c.bounded()
	if c.heartbeat == 0 && c.maxWait >= heartbeatFrom {
		c.heartbeat = usualHeartbeat
	} else if c.heartbeat > c.maxWait/2 {
		return &OptionError{"Heartbeat", "must not be above half of the time that is waited"}
	}
	return nil
}

// longest is what durations are taken for that are even longer, so that they can
// be calculated with.
const longest = 50 * 365 * 24 * time.Hour

// bounded keeps what has no end within what can be calculated with.
func (c *pullConfig) bounded() {
	c.messages, c.bytes = min(c.messages, math.MaxInt/64), min(c.bytes, math.MaxInt/16)
	c.threshold = min(c.threshold, max(c.messages-1, 0))
	c.expiry, c.maxWait = min(c.expiry, longest), min(c.maxWait, longest)
	c.heartbeat = min(c.heartbeat, longest/2)
}

func atLeast1(n int) string {
	if n < 1 {
		return "must be at least 1"
	}
	return ""
}

// MaxMessages bounds what is read ahead: messages that wait here, and those that
// were asked for. Default 500; with MaxBytes alone there is no such bound.
func MaxMessages(n int) PullOption {
	return pullOption{consumeOption{"MaxMessages", func(c *pullConfig) string { c.messages = n; return atLeast1(n) }}}
}

// MaxBytes bounds the same in bytes, beside the number of messages: subject, ack
// subject, header and data count. A message above it is never delivered.
func MaxBytes(n int) PullFetchOption {
	return pullFetchOption{consumeOption{"MaxBytes", func(c *pullConfig) string { c.bytes = n; return atLeast1(n) }}}
}

// Expiry is how long the server holds one pull. Default 30 s, at least 1 s. The
// session goes on until it is ended, whatever the expiry.
func Expiry(d time.Duration) PullOption {
	return pullOption{consumeOption{"Expiry", func(c *pullConfig) string {
		c.expiry = d
		if d < time.Second {
			return "must be at least 1 s"
		}
		return ""
	}}}
}

// Threshold says when more is asked for: when that many messages are left, or
// fewer. Default half of MaxMessages.
func Threshold(msgs int) PullOption {
	return pullOption{consumeOption{"Threshold", func(c *pullConfig) string {
		c.threshold = msgs
		if msgs < 0 {
			return "must not be below 0"
		}
		return ""
	}}}
}

// StopAfter ends the session after n messages. No more than n are asked for.
func StopAfter(n int) PullOption {
	return pullOption{consumeOption{"StopAfter", func(c *pullConfig) string { c.stopAfter = n; return atLeast1(n) }}}
}

// Concurrency is how many calls of Consume's handler may run at a time. With 1,
// the default, they run in order.
func Concurrency(n int) PullOption {
	return pullOption{consumeOption{"Concurrency", func(c *pullConfig) string { c.concurrency = n; return atLeast1(n) }}}
}

// ErrorHandler is told what the session has healed by itself. It may be called
// from several goroutines and should not take long. By default that is logged by
// the connection's Logger, at the level debug.
func ErrorHandler(f func(error)) PullOption {
	return pullOption{consumeOption{"ErrorHandler", func(c *pullConfig) string {
		c.onError = f
		if f == nil {
			return "the function is nil"
		}
		return ""
	}}}
}

// ErrorOnMissingHeartbeat ends the session with ErrNoHeartbeat when the server is
// silent for two heartbeats, instead of pulling again.
func ErrorOnMissingHeartbeat() PullOption {
	return pullOption{consumeOption{"ErrorOnMissingHeartbeat", func(c *pullConfig) string { c.endOnSilence = true; return "" }}}
}

// Heartbeat is how often the server shows that it has not forgotten a pull that
// it has nothing for; after two that are missing there is another pull. Default
// 5 s, or half of Expiry if that is less, and 1 s for a pull that is sent while
// messages wait at the server; for a fetch that waits for less than 10 s there is
// none. Below 0 it is off.
func Heartbeat(d time.Duration) PullFetchOption {
	return pullFetchOption{consumeOption{"Heartbeat", func(c *pullConfig) string {
		c.heartbeat = d
		if d >= 0 && d < 100*time.Millisecond {
			return "must be at least 100 ms, or below 0 for none"
		}
		return ""
	}}}
}

// MaxWait is how long the server waits for messages. Default 30 s for Fetch; Next
// waits until its context ends.
func MaxWait(d time.Duration) FetchOption {
	return fetchOption{consumeOption{"MaxWait", func(c *pullConfig) string {
		c.maxWait = d
		if d < time.Millisecond {
			return "must be at least 1 ms; NoWait does not wait"
		}
		return ""
	}}}
}

// NoWait takes what is there now. Not with MaxWait.
func NoWait() FetchOption {
	return fetchOption{consumeOption{"NoWait", func(c *pullConfig) string { c.noWait = true; return "" }}}
}
