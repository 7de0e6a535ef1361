package jetstream

import (
	"errors"
	"strconv"
	"strings"
	"time"

	nats "github.com/perigee-go/nats/core"
	"github.com/perigee-go/nats/core/internal/subject"
	"github.com/perigee-go/nats/core/internal/window"
)

// publishConfig is how a publish is done; New has the defaults.
type publishConfig struct {
	retry      window.Policy
	autoID     bool
	ackTimeout time.Duration // of an asynchronous one
}

var publishDefaults = publishConfig{retry: window.Policy{Retries: 2, Wait: 250 * time.Millisecond}, ackTimeout: 5 * time.Second}

// publication is what the options of one publish ask for.
type publication struct {
	publishConfig
	timed     bool     // AckTimeout was given
	fields    []string // of the header: names and values
	schedules int      // options that say when
	withZone  bool
	cron      bool
}

// set puts a field of the header; "" takes it out.
func (p *publication) set(name, value string) {
	for i := 0; i < len(p.fields); i += 2 {
		if p.fields[i] == name {
			p.fields = append(p.fields[:i:i], p.fields[i+2:]...)
			break
		}
	}
	if value != "" {
		p.fields = append(p.fields, name, value)
	}
}

func (p *publication) get(name string) string {
	for i := 0; i < len(p.fields); i += 2 {
		if p.fields[i] == name {
			return p.fields[i+1]
		}
	}
	return ""
}

type publishOption struct {
	name  string
	apply func(*publication) (problem string)
}

func (publishOption) publishOption() {}

type jsPublishOption struct {
	name  string
	apply func(*publishConfig) (problem string)
}

func (jsPublishOption) jsOption()      {}
func (jsPublishOption) publishOption() {}

// newPublication checks options for a publish to subj. Without config, the
// options have to be fields of the header.
func newPublication(config *publishConfig, subj string, opts []PublishOption) (p publication, err error) {
	if config != nil {
		p.publishConfig = *config
	}
	err = applyOptions(opts, func(o PublishOption) (name, problem string) {
		switch o := o.(type) {
		case publishOption:
			return o.name, o.apply(&p)
		case jsPublishOption:
			if config == nil {
				return o.name, "it is no field of the header"
			}
			p.timed = p.timed || o.name == ackTimeoutName
			return o.name, o.apply(&p.publishConfig)
		}
		return nilOption, ""
	})
	p.checkSchedule(subj, func(name, problem string) {
		if problem != "" {
			err = errors.Join(err, &OptionError{name, problem})
		}
	})
	return p, err
}

// applyTo returns m with the fields. m is not changed.
func (p *publication) applyTo(m nats.Msg) (nats.Msg, error) {
	if len(p.fields) == 0 {
		return m, nil
	}
	if m.Header.Err() == nil && m.Header.Len() == 0 {
		header, err := nats.NewHeader(p.fields...)
		m.Header = header
		return m, err
	}
	for i := 0; i < len(p.fields); i += 2 {
		m.Header.Set(p.fields[i], p.fields[i+1])
	}
	return m, m.Header.Err()
}

// ApplyPublishOptions returns m with the header fields that the options stand
// for, to publish it by other means. Options that are not about the message,
// such as RetryAttempts, are an ErrInvalidOption.
func ApplyPublishOptions(m nats.Msg, opts ...PublishOption) (nats.Msg, error) {
	p, err := newPublication(nil, m.Subject, opts)
	if err != nil {
		return m, err
	}
	return p.applyTo(m)
}

// --- how ---

// RetryAttempts is how often a publish is tried again when no stream listens: a
// leader may just be elected. Below 0 it is tried until the context ends.
// Default 2.
func RetryAttempts(n int) JSPublishOption {
	return jsPublishOption{"RetryAttempts", func(c *publishConfig) string { c.retry.Retries = n; return "" }}
}

// RetryWait is how long to wait before each of them. Default 250 ms.
func RetryWait(d time.Duration) JSPublishOption {
	return jsPublishOption{"RetryWait", func(c *publishConfig) string {
		c.retry.Wait = d
		if d <= 0 {
			return "must be above 0"
		}
		return ""
	}}
}

const ackTimeoutName = "AckTimeout"

// AckTimeout is how long an asynchronous publish waits for its receipt, all
// attempts and waits for a link included. Then its future settles: with
// nats.ErrOutcomeUnknown if it may be stored. Default 5 s. It is not for Publish,
// which has a context.
func AckTimeout(d time.Duration) JSPublishOption {
	return jsPublishOption{ackTimeoutName, func(c *publishConfig) string {
		c.ackTimeout = d
		if d <= 0 {
			return "must be above 0"
		}
		return ""
	}}
}

// AutoMsgID gives each message without an id a unique one. The stream then knows
// a message that comes twice, so a publish whose receipt was lost with the link
// is sent again, and stored once. See Publish.
func AutoMsgID() JSPublishOption {
	return jsPublishOption{"AutoMsgID", func(c *publishConfig) string { c.autoID = true; return "" }}
}

// --- the message ---

func headerOption(name, field, value string, problem string) PublishOption {
	return publishOption{name, func(p *publication) string { p.set(field, value); return problem }}
}

// MsgID names the message: within the Duplicates window of the stream another
// one with the same id is not stored, and PubAck.Duplicate says so.
func MsgID(id string) PublishOption {
	problem := ""
	if id == "" {
		problem = "it is empty"
	}
	return headerOption("MsgID", MsgIDHeader, id, problem)
}

// TTLNever keeps a message whatever the stream's MaxAge.
const TTLNever time.Duration = -1

// MsgTTL is how long the stream keeps the message, in whole seconds; or TTLNever.
// The stream needs AllowMsgTTL. Server 2.11.
func MsgTTL(d time.Duration) PublishOption {
	value, problem := ttl(d)
	return headerOption("MsgTTL", MsgTTLHeader, value, problem)
}

func ttl(d time.Duration) (value, problem string) {
	switch {
	case d == TTLNever:
		return "never", ""
	case d < time.Second || d%time.Second != 0:
		return "", "must be whole seconds, or TTLNever"
	}
	return strconv.FormatInt(int64(d/time.Second), 10), ""
}

// ExpectStream fails the publish if another stream would store it:
// ErrStreamNotMatch.
func ExpectStream(name string) PublishOption {
	return headerOption("ExpectStream", ExpectedStreamHeader, name, nameProblem(name))
}

// ExpectLastSequence fails the publish with ErrWrongLastSequence unless seq is
// the last of the stream; 0: the stream is empty.
func ExpectLastSequence(seq uint64) PublishOption {
	return headerOption("ExpectLastSequence", ExpectedLastSeqHeader, strconv.FormatUint(seq, 10), "")
}

// ExpectLastSequencePerSubject fails the publish with ErrWrongLastSequence unless
// seq is the last of the message's subject; 0: there is none.
func ExpectLastSequencePerSubject(seq uint64) PublishOption {
	return publishOption{"ExpectLastSequencePerSubject", func(p *publication) string {
		p.set(ExpectedLastSubjSeqHeader, strconv.FormatUint(seq, 10))
		p.set(ExpectedLastSubjSeqSubjHeader, "")
		return ""
	}}
}

// ExpectLastSequenceForSubject is ExpectLastSequencePerSubject for another
// subject, which may have wildcards.
func ExpectLastSequenceForSubject(seq uint64, subj string) PublishOption {
	return publishOption{"ExpectLastSequenceForSubject", func(p *publication) string {
		p.set(ExpectedLastSubjSeqHeader, strconv.FormatUint(seq, 10))
		p.set(ExpectedLastSubjSeqSubjHeader, subj)
		return subject.CheckSubscribe(subj)
	}}
}

// ExpectLastMsgID fails the publish with ErrStreamWrongLastMsgID unless the last
// message of the stream has this id.
func ExpectLastMsgID(id string) PublishOption {
	problem := ""
	if id == "" {
		problem = "it is empty"
	}
	return headerOption("ExpectLastMsgID", ExpectedLastMsgIDHeader, id, problem)
}

// RollupScope says what a message replaces.
type RollupScope string

const (
	// RollupSubject replaces all earlier messages of the subject.
	RollupSubject RollupScope = "sub"
	// RollupAll replaces all earlier messages of the stream.
	RollupAll RollupScope = "all"
)

// Rollup lets the message replace those before it. The stream needs AllowRollup.
func Rollup(scope RollupScope) PublishOption {
	problem := ""
	if scope != RollupSubject && scope != RollupAll {
		problem = "no such scope"
	}
	return headerOption("Rollup", MsgRollupHeader, string(scope), problem)
}

// --- schedules ---

// Expressions for ScheduleCron.
const (
	ScheduleYearly  = "@yearly"
	ScheduleMonthly = "@monthly"
	ScheduleWeekly  = "@weekly"
	ScheduleDaily   = "@daily"
	ScheduleHourly  = "@hourly"
)

func schedule(name, value, problem string, cron bool) PublishOption {
	return publishOption{name, func(p *publication) string {
		p.set(ScheduleHeader, value)
		p.schedules++
		p.cron = cron
		return problem
	}}
}

// ScheduleAt makes the message a schedule: at t the server stores a message with
// its data on the subject of ScheduleTarget, which is required. A time that has
// passed is now. The stream needs AllowMsgSchedules. Server 2.12.
func ScheduleAt(t time.Time) PublishOption {
	problem := ""
	if t.IsZero() {
		problem = "the time is zero"
	}
	return schedule("ScheduleAt", "@at "+t.UTC().Format(time.RFC3339Nano), problem, false)
}

// ScheduleEvery is ScheduleAt again and again; at least 1 s apart.
func ScheduleEvery(d time.Duration) PublishOption {
	problem := ""
	if d < time.Second {
		problem = "must be at least 1s"
	}
	return schedule("ScheduleEvery", "@every "+d.String(), problem, false)
}

// ScheduleCron is ScheduleAt whenever the expression says: six fields, seconds
// first, or one of ScheduleHourly and its siblings. Server 2.14.
func ScheduleCron(expr string) PublishOption {
	problem := ""
	switch expr {
	case ScheduleYearly, ScheduleMonthly, ScheduleWeekly, ScheduleDaily, ScheduleHourly, "@annually", "@midnight":
	default:
		if len(strings.Fields(expr)) != 6 {
			problem = "must have six fields: second, minute, hour, day, month, weekday"
		}
	}
	return schedule("ScheduleCron", expr, problem, true)
}

// ScheduleTarget is the subject of the messages that a schedule produces; the
// stream has to listen to it.
func ScheduleTarget(subj string) PublishOption {
	return headerOption("ScheduleTarget", ScheduleTargetHeader, subj, subject.CheckPublish(subj))
}

// ScheduleSource lets a schedule produce the last message of another subject of
// the stream, instead of its own data. Server 2.14.
func ScheduleSource(subj string) PublishOption {
	return headerOption("ScheduleSource", ScheduleSourceHeader, subj, subject.CheckPublish(subj))
}

// ScheduleTTL is MsgTTL for the messages that a schedule produces.
func ScheduleTTL(d time.Duration) PublishOption {
	value, problem := ttl(d)
	return headerOption("ScheduleTTL", ScheduleTTLHeader, value, problem)
}

// ScheduleTimeZone is where the hours of ScheduleCron are counted, such as
// "Europe/Berlin". Default UTC.
func ScheduleTimeZone(zone string) PublishOption {
	return publishOption{"ScheduleTimeZone", func(p *publication) string {
		p.set(ScheduleTimeZoneHeader, zone)
		p.withZone = true
		if zone == "" {
			return "it is empty"
		}
		return ""
	}}
}

// ScheduleRollup is Rollup(RollupSubject) for the messages that a schedule
// produces.
func ScheduleRollup() PublishOption {
	return headerOption("ScheduleRollup", ScheduleRollupHeader, string(RollupSubject), "")
}

// CancelSchedule removes the schedule that was published to subj, together with
// storing this message elsewhere: both happen, or neither. Server 2.14.
func CancelSchedule(subj string) PublishOption {
	return publishOption{"CancelSchedule", func(p *publication) string {
		p.set(SchedulerHeader, subj)
		p.set(ScheduleNextHeader, "purge")
		return subject.CheckPublish(subj)
	}}
}

// checkSchedule checks what the options of a schedule have to do with each
// other, and with the subject.
func (p *publication) checkSchedule(subj string, complain func(name, problem string)) {
	target, source := p.get(ScheduleTargetHeader), p.get(ScheduleSourceHeader)
	switch {
	case p.schedules > 1:
		complain("ScheduleAt", "only one of ScheduleAt, ScheduleEvery and ScheduleCron")
	case p.schedules == 1 && target == "":
		complain("ScheduleTarget", "a schedule needs one")
	case p.schedules == 0 && (target != "" || source != "" || p.withZone || p.get(ScheduleTTLHeader) != "" || p.get(ScheduleRollupHeader) != ""):
		complain("ScheduleTarget", "one of ScheduleAt, ScheduleEvery and ScheduleCron has to say when")
	}
	if target != "" && target == subj {
		complain("ScheduleTarget", "is the subject of the schedule itself")
	}
	if source != "" && (source == subj || source == target) {
		complain("ScheduleSource", "is the target, or the subject of the schedule itself")
	}
	if p.withZone && p.schedules == 1 && !p.cron {
		complain("ScheduleTimeZone", "goes with ScheduleCron only")
	}
	if cancelled := p.get(SchedulerHeader); cancelled != "" && cancelled == subj {
		complain("CancelSchedule", "is the subject of this message")
	}
}
