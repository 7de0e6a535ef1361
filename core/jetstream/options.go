package jetstream

import (
	"errors"
	"strings"
	"time"

	nats "github.com/perigee-go/nats/core"
	"github.com/perigee-go/nats/core/internal/subject"
)

// Options are given to the calls that their roles name, recorded first and
// checked once; all complaints come back joined, each an *OptionError. A later
// option wins over an earlier one of the same name.
type (
	// Option configures a JetStream.
	Option interface{ jsOption() }
	// RequestOption shapes one Request.
	RequestOption interface{ requestOption() }
	// PublishOption shapes one publish.
	PublishOption interface{ publishOption() }
	// StreamInfoOption is given to Stream.Info.
	StreamInfoOption interface{ streamInfoOption() }
	// StreamsOption is given to Streams and StreamNames.
	StreamsOption interface{ streamsOption() }
	// PurgeOption is given to Stream.Purge.
	PurgeOption interface{ purgeOption() }
	// GetMsgOption is given to Stream.GetMsg and GetLastMsgForSubject.
	GetMsgOption interface{ getMsgOption() }

	// JSPublishOption is a default when given to New, and an override when given
	// to a publish.
	JSPublishOption interface {
		Option
		PublishOption
	}
	// SubjectOption narrows a call to a subject.
	SubjectOption interface {
		StreamInfoOption
		StreamsOption
		PurgeOption
		GetMsgOption
	}
)

// jsOption sets fields of the config and says what is wrong with its value.
type jsOption struct {
	name  string
	apply func(*config) (problem string)
}

func (jsOption) jsOption() {}

const defaultPrefix = "$JS.API."

// config is what New makes of its options.
type config struct {
	domain, prefix string // prefix ends in a dot
	timeout        time.Duration
	pedantic       bool
	publish        publishConfig
	window         int
	published      func(nats.Msg, PubAck, error)
}

func newConfig(opts []Option) (config, error) {
	c := config{timeout: 5 * time.Second, publish: publishDefaults, window: 4000}
	err := applyOptions(opts, func(o Option) (name, problem string) {
		switch o := o.(type) {
		case jsOption:
			return o.name, o.apply(&c)
		case jsPublishOption:
			return o.name, o.apply(&c.publish)
		}
		return nilOption, ""
	})
	if c.domain != "" && c.prefix != "" {
		err = errors.Join(err, &OptionError{"Domain", "not together with APIPrefix"})
	}
	switch {
	case c.domain != "":
		c.prefix = "$JS." + c.domain + ".API."
	case c.prefix == "":
		c.prefix = defaultPrefix
	}
	return c, err
}

// nilOption is the name of what is none of this package's options: nothing else
// can have their roles.
const nilOption = ""

// applyOptions applies options in their order, and joins what is wrong with
// them. apply says an option's name, and what is wrong with its value.
func applyOptions[O any](opts []O, apply func(O) (name, problem string)) error {
	var errs []error
	for _, o := range opts {
		switch name, problem := apply(o); {
		case name == nilOption:
			errs = append(errs, &OptionError{"nil", "an option is nil"})
		case problem != "":
			errs = append(errs, &OptionError{name, problem})
		}
	}
	return errors.Join(errs...)
}

// Domain is the JetStream domain to talk to, typically one behind a leaf node:
// the API prefix becomes "$JS.<name>.API.".
func Domain(name string) Option {
	return jsOption{"Domain", func(c *config) string {
		c.domain = name
		if strings.Contains(name, ".") {
			return "it is one token"
		}
		return subject.CheckPublish(name)
	}}
}

// APIPrefix is where the API is found, if an account imports it under another
// name than "$JS.API.".
func APIPrefix(prefix string) Option {
	return jsOption{"APIPrefix", func(c *config) string {
		prefix := strings.TrimSuffix(prefix, ".")
		c.prefix = prefix + "."
		return subject.CheckPublish(prefix)
	}}
}

// DefaultTimeout bounds API requests and publishes whose context has no
// deadline. Default 5 s.
func DefaultTimeout(d time.Duration) Option {
	return jsOption{"DefaultTimeout", func(c *config) string {
		c.timeout = d
		if d <= 0 {
			return "must be above 0"
		}
		return ""
	}}
}

// Pedantic lets the server refuse a configuration that it would have to change
// to make it work, instead of changing it silently: for all streams and
// consumers that are created and updated.
func Pedantic() Option {
	return jsOption{"Pedantic", func(c *config) string { c.pedantic = true; return "" }}
}

// PublishAsyncMaxPending is how many asynchronous publishes may wait for their
// receipts: the window. PublishAsync waits for room in it. Default 4,000; at most
// 1,000,000.
func PublishAsyncMaxPending(n int) Option {
	return jsOption{"PublishAsyncMaxPending", func(c *config) string {
		c.window = n
		if n < 1 || n > maxWindow {
			return "must be from 1 to 1,000,000"
		}
		return ""
	}}
}

const maxWindow = 1_000_000

// PublishAsyncHandler has f told of every asynchronous publish that is settled, in
// the order of settling: what was published, and what Wait of its future returns.
// f is called on one goroutine, off every lock, and may do anything but wait for
// itself: WaitPublished and Conn.Drain wait for it. While it is slow, PublishAsync
// waits as soon as a whole window of settled ones waits for it; one that f itself
// calls does not.
func PublishAsyncHandler(f func(nats.Msg, PubAck, error)) Option {
	return jsOption{"PublishAsyncHandler", func(c *config) string {
		c.published = f
		if f == nil {
			return "is nil"
		}
		return ""
	}}
}

type requestOption struct {
	name  string
	apply func(*requestConfig) (problem string)
}

func (requestOption) requestOption() {}

type requestConfig struct{ level int }

// RequiredAPILevel refuses the request if the server's API level is below n:
// nothing is done then, and the error is an ErrRequiredAPILevel.
func RequiredAPILevel(n int) RequestOption {
	return requestOption{"RequiredAPILevel", func(c *requestConfig) string {
		c.level = n
		if n < 0 {
			return "must not be below 0"
		}
		return ""
	}}
}

// streamOption is the implementation of the roles that Stream's calls share.
type streamOption struct {
	name  string
	apply func(*streamQuery) (problem string)
}

type (
	streamInfoOption struct{ streamOption }
	purgeOption      struct{ streamOption }
	getMsgOption     struct{ streamOption }
	subjectOption    struct{ streamOption }
)

func (streamInfoOption) streamInfoOption() {}
func (purgeOption) purgeOption()           {}
func (getMsgOption) getMsgOption()         {}
func (subjectOption) streamInfoOption()    {}
func (subjectOption) streamsOption()       {}
func (subjectOption) purgeOption()         {}
func (subjectOption) getMsgOption()        {}

func (o streamOption) option() streamOption { return o }

// streamQuery collects what options of a call ask for.
type streamQuery struct {
	subject        string
	deletedDetails bool
	below, keep    uint64
	fromLeader     bool
	start          time.Time
}

func newStreamQuery[O any](opts []O) (q streamQuery, err error) {
	err = applyOptions(opts, func(o O) (name, problem string) {
		if known, ok := any(o).(interface{ option() streamOption }); ok {
			return known.option().name, known.option().apply(&q)
		}
		return nilOption, ""
	})
	return q, err
}

// FilterSubject narrows a call to a subject, which may have wildcards.
// Stream.Info lists the subjects that match, Streams and StreamNames the streams
// that listen to it, Purge leaves everything else, and GetMsg finds the first
// message that matches, from the sequence on.
func FilterSubject(s string) SubjectOption {
	return subjectOption{streamOption{"FilterSubject", func(q *streamQuery) string {
		q.subject = s
		return subject.CheckSubscribe(s)
	}}}
}

// FromLeader asks the leader of the stream, which has every message that was
// acknowledged; a replica may be behind.
func FromLeader() GetMsgOption {
	return getMsgOption{streamOption{"FromLeader", func(q *streamQuery) string { q.fromLeader = true; return "" }}}
}

// StartTime finds the first message that is not older, instead of a sequence,
// which is 0 then. Server 2.11.
func StartTime(t time.Time) GetMsgOption {
	return getMsgOption{streamOption{"StartTime", func(q *streamQuery) string {
		q.start = t
		if t.IsZero() {
			return "the time is zero"
		}
		return ""
	}}}
}

// DeletedDetails lists the sequences of deleted messages in StreamState.Deleted.
func DeletedDetails() StreamInfoOption {
	return streamInfoOption{streamOption{"DeletedDetails", func(q *streamQuery) string { q.deletedDetails = true; return "" }}}
}

// PurgeBelow keeps the message seq and those after it. Not with PurgeKeep.
func PurgeBelow(seq uint64) PurgeOption {
	return purgeOption{streamOption{"PurgeBelow", func(q *streamQuery) string {
		q.below = seq
		if seq == 0 {
			return "0 would purge everything; leave the option out to do that"
		}
		return ""
	}}}
}

// PurgeKeep keeps the newest n messages. Not with PurgeBelow.
func PurgeKeep(n uint64) PurgeOption {
	return purgeOption{streamOption{"PurgeKeep", func(q *streamQuery) string {
		q.keep = n
		if n == 0 {
			return "0 would purge everything; leave the option out to do that"
		}
		return ""
	}}}
}
