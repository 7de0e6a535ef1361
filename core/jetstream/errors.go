package jetstream

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	nats "github.com/perigee-go/nats/core"
)

// States of the client's side, for errors.Is. What the server refuses is an
// *APIError with one of the ErrorCode constants.
var (
	// ErrNoStreamResponse: no stream listens on the subject of a publish. It
	// stands beside nats.ErrNoResponders.
	ErrNoStreamResponse = errors.New("jetstream: no response from a stream")
	// ErrInvalidPubAck: the answer to a publish is no receipt of a stream;
	// somebody else listens on the subject, too.
	ErrInvalidPubAck = errors.New("jetstream: invalid publish acknowledgement")
	// ErrInvalidResponse: the answer to an API request makes no sense.
	ErrInvalidResponse = errors.New("jetstream: invalid response")
	// ErrWrongLastSequence: the stream, or the subject, has another last
	// sequence than a publish expected. Servers have two codes for it.
	ErrWrongLastSequence = errors.New("jetstream: wrong last sequence")
	// ErrStreamRegressed: a stream acknowledged a sequence that it had given out
	// before: it has lost messages, or was made anew.
	ErrStreamRegressed = errors.New("jetstream: the stream's sequence went backwards")
	// ErrNotPullConsumer: the consumer has a DeliverSubject.
	ErrNotPullConsumer = errors.New("jetstream: not a pull consumer")
	// ErrNotPushConsumer: the consumer has no DeliverSubject.
	ErrNotPushConsumer = errors.New("jetstream: not a push consumer")
	// ErrNoMessages: there is none, and the waiting is over.
	ErrNoMessages = errors.New("jetstream: no messages")
	// ErrInvalidName: no stream or consumer can have this name.
	ErrInvalidName error = invalid("jetstream: invalid name")
	// ErrInvalidConfig: see ConfigError.
	ErrInvalidConfig error = invalid("jetstream: invalid configuration")
	// ErrInvalidOption: see OptionError.
	ErrInvalidOption error = invalid("jetstream: invalid option")
	// ErrIncompleteList: see IncompleteListError.
	ErrIncompleteList = errors.New("jetstream: incomplete list")
)

// invalid is what was refused before anything was sent. It is a
// nats.ErrInvalidOption, too, so nats.SafeToRetry knows it.
type invalid string

func (e invalid) Error() string        { return string(e) }
func (e invalid) Is(target error) bool { return target == nats.ErrInvalidOption }

// ErrorCode is what the server calls err_code. It is an error: a constant for
// errors.Is and for the cases of a switch.
type ErrorCode uint16

// Error is what the server says of the code in general.
func (c ErrorCode) Error() string {
	if text, ok := errorTexts[c]; ok {
		return "jetstream: " + text
	}
	return "jetstream: error " + strconv.Itoa(int(c))
}

// Is makes both codes of a wrong last sequence an ErrWrongLastSequence, and an
// account without JetStream an ErrJetStreamNotEnabled.
func (c ErrorCode) Is(target error) bool {
	switch target {
	case ErrWrongLastSequence:
		return c == ErrStreamWrongLastSequence || c == ErrStreamWrongLastSequenceConstant
	case ErrJetStreamNotEnabled:
		return c == ErrJetStreamNotEnabledForAccount
	}
	return false
}

// APIError is a refusal by the server. errors.Is compares its ErrorCode:
//
//	if errors.Is(err, jetstream.ErrStreamNotFound) {
type APIError struct {
	Code        int       `json:"code"` // as in HTTP
	ErrorCode   ErrorCode `json:"err_code,omitempty"`
	Description string    `json:"description,omitempty"`
}

// hints say what to do where the server's words do not.
var hints = map[ErrorCode]string{
	ErrJetStreamNotEnabled:           "start the server with JetStream",
	ErrJetStreamNotEnabledForAccount: "the server's configuration has to enable it for this account",
	ErrStreamNameAlreadyInUse:        "UpdateStream changes it",
	ErrStreamWrongLastSequence:       "somebody else was faster: read again",
	ErrNotEmptyRequest:               "is the server older than this call?",
	ErrInvalidJSON:                   "the server may not know a field",
	ErrMaximumConsumersLimit:         "MaxConsumers of the stream, the account's limit, or the server's default of 1,000 a stream",
	ErrMessageTTLDisabled:            "AllowMsgTTL of the stream permits it",
	ErrMessageSchedulesDisabled:      "AllowMsgSchedules of the stream permits it",
	ErrMessageIncrDisabled:           "AllowMsgCounter of the stream permits it",
	ErrStreamSubjectOverlap:          "StreamNameBySubject finds the other stream",
	ErrStreamReplicasNotSupported:    "Replicas needs a cluster",
	ErrStreamTooManyRequests:         "the message was not stored; the server is overloaded",
}

// Error is the server's description, the code, and a hint where one helps.
func (e *APIError) Error() string {
	text := e.Description
	if text == "" {
		text = strings.TrimPrefix(e.ErrorCode.Error(), "jetstream: ")
	}
	code := int(e.ErrorCode)
	if code == 0 {
		code = e.Code
	}
	text = fmt.Sprintf("jetstream: %s (%d)", text, code)
	if hint := hints[e.ErrorCode]; hint != "" {
		text += ": " + hint
	}
	return text
}

// Is compares the ErrorCode with that of another APIError. ErrorCode itself is
// reached by Unwrap.
func (e *APIError) Is(target error) bool {
	other, ok := target.(*APIError)
	return ok && other.ErrorCode == e.ErrorCode && (e.ErrorCode != 0 || other.Code == e.Code)
}

// Unwrap returns the ErrorCode; nil if there is none.
func (e *APIError) Unwrap() error {
	if e.ErrorCode == 0 {
		return nil
	}
	return e.ErrorCode
}

// ConfigError names a field of a configuration, and what is wrong with it,
// before anything is sent. Several are joined.
type ConfigError struct{ Field, Problem string }

func (e *ConfigError) Error() string {
	return "jetstream: configuration field " + e.Field + ": " + e.Problem
}

// Is makes it an ErrInvalidConfig and a nats.ErrInvalidOption, and an
// ErrInvalidName if that is the matter.
func (e *ConfigError) Is(target error) bool {
	return target == ErrInvalidConfig || target == nats.ErrInvalidOption || target == ErrInvalidName && (e.Field == "Name" || e.Field == "Durable")
}

// OptionError names an option whose value makes no sense. Several are joined.
type OptionError struct{ Option, Problem string }

func (e *OptionError) Error() string { return "jetstream: option " + e.Option + ": " + e.Problem }

// Is makes it an ErrInvalidOption, that of package nats, too.
func (e *OptionError) Is(target error) bool {
	return target == ErrInvalidOption || target == nats.ErrInvalidOption
}

// APILevelError: the server is too old for what was asked of it, and nothing
// was done. errors.Is makes it an ErrRequiredAPILevel.
type APILevelError struct {
	Feature  string
	Required int // API level
	Server   int // API level; 0: before 2.11, or not known
}

// levels are the server versions that brought an API level.
var levels = map[int]string{1: "2.11", 2: "2.12", 3: "2.12.5", 4: "2.14", 5: "2.15"}

func (e *APILevelError) Error() string {
	return fmt.Sprintf("jetstream: %s needs %s; the server has API level %d", e.Feature, levelName(e.Required), e.Server)
}

func levelName(level int) string {
	if version, ok := levels[level]; ok {
		return fmt.Sprintf("server %s (API level %d)", version, level)
	}
	return fmt.Sprintf("a server of API level %d", level)
}

// Is makes it an ErrRequiredAPILevel.
func (e *APILevelError) Is(target error) bool { return target == ErrRequiredAPILevel }

// IncompleteListError ends a list that lacks something: names that exist, but
// whose servers did not answer in time, and those that the server cannot run,
// with the reason. What the server did tell came before it.
type IncompleteListError struct {
	Missing []string
	Offline map[string]string
}

func (e *IncompleteListError) Error() string {
	text := "jetstream: incomplete list"
	if len(e.Missing) > 0 {
		text += ": no answer from " + strings.Join(e.Missing, ", ")
	}
	for _, name := range slices.Sorted(maps.Keys(e.Offline)) {
		text += ": " + name + " is offline (" + e.Offline[name] + ")"
	}
	return text
}

// Is makes it an ErrIncompleteList.
func (e *IncompleteListError) Is(target error) bool { return target == ErrIncompleteList }

// operationError puts the operation in front of err, which stays reachable.
type operationError struct {
	op  string
	err error
}

func (e *operationError) Error() string {
	text := strings.TrimPrefix(e.err.Error(), "jetstream: ")
	return "jetstream: " + e.op + ": " + strings.TrimPrefix(text, "nats: ")
}

func (e *operationError) Unwrap() error { return e.err }

// opError names the operation and what it was about, if anything: "create
// stream", "ORDERS".
func opError(err error, op, about string) error {
	if err == nil {
		return nil
	}
	if about != "" {
		op += " " + quote(about)
	}
	return &operationError{op, err}
}

// quote keeps a name or a subject that is far too long out of logs.
func quote(s string) string {
	if len(s) <= maxName {
		return strconv.Quote(s)
	}
	return strconv.Quote(s[:maxName] + "...")
}

// both is two errors in one line: what happened, and why.
type both struct{ what, why error }

func (e both) Error() string {
	why := strings.TrimPrefix(e.why.Error(), "jetstream: ")
	return e.what.Error() + ": " + strings.TrimPrefix(why, "nats: ")
}

func (e both) Unwrap() []error { return []error{e.what, e.why} }

// defaultTimeout is the cause of a context that ended because of DefaultTimeout.
// It is a context.DeadlineExceeded.
type defaultTimeout time.Duration

func (d defaultTimeout) Error() string        { return "default timeout " + time.Duration(d).String() }
func (d defaultTimeout) Is(target error) bool { return target == context.DeadlineExceeded }
func (d defaultTimeout) Timeout() bool        { return true }
