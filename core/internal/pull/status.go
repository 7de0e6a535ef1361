package pull

import (
	"strconv"
	"strings"
	"time"
)

// Status is a control message: the status line, and the headers that say how
// much of the pull was not delivered.
type Status struct {
	Token   uint64 // of the pull it answers
	Code    int
	Text    string
	Pending bool // the next two were told
	Msgs    int
	Bytes   int
}

// Reason says why a pull or a session ended, or what is wrong with it.
type Reason uint8

const (
	None Reason = iota

	// A pull's usual ends.
	Expired
	NoMessages
	Completed // a limit in bytes was left over, or was reached

	// Trouble that is healed by pulling again.
	Disconnected
	NoHeartbeat
	NoResponders
	LeadershipChange
	ServerShutdown
	MaxWaiting
	MessageTooLarge // for MaxBytes
	BatchTooLarge   // for a limit of the consumer: of messages, bytes, or time
	PinMismatch
	Unknown

	// Ends of the session.
	ConsumerDeleted
	ConsumerGone // nobody told of its end, but it is not there
	PushBased
	BadRequest
	APILevel
	Finished // StopAfter's last message was taken, or the only pull ended
)

var reasonNames = [...]string{
	"none", "expired", "no messages", "completed", "disconnected", "no heartbeat", "no responders", "leadership change",
	"server shutdown", "max waiting", "message too large", "batch too large", "pin mismatch", "unknown status",
	"consumer deleted", "consumer gone", "push based", "bad request", "api level", "finished",
}

func (r Reason) String() string { return reasonNames[r] }

// Fatal reports whether pulling again is pointless.
func (r Reason) Fatal() bool { return r >= ConsumerDeleted && r < Finished }

// overtakes reports whether the status may come before messages that were sent
// before it. A consumer with replicas holds messages back until its followers
// know of them, and with them what tells that time is over; but not this.
func (s Status) overtakes(r Reason) bool {
	return s.Pending && (r == Completed || r == MessageTooLarge)
}

// limits are what a consumer bounds requests by, with the words of its refusal.
const (
	limitBatch   = "Exceeded MaxRequestBatch of "
	limitExpires = "Exceeded MaxRequestExpires of "
	limitBytes   = "Exceeded MaxRequestMaxBytes of "
)

// reason is what a status means. ends is false for one that leaves its pull
// alive.
func (s Status) reason() (r Reason, ends bool) {
	is := func(text string) bool { return len(s.Text) >= len(text) && strings.EqualFold(s.Text[:len(text)], text) }
	switch s.Code {
	case 100:
		return None, false
	case 400:
		return BadRequest, true
	case 404:
		return NoMessages, true
	case 408: // of time, of interest, or because others stand in line
		if is("Requests Pending") {
			return NoMessages, true
		}
		return Expired, true
	case 409:
		switch {
		case is("Consumer Deleted"):
			return ConsumerDeleted, true
		case is("Consumer is push based"):
			return PushBased, true
		case is("Leadership Change"):
			return LeadershipChange, true
		case is("Server Shutdown"):
			return ServerShutdown, true
		case is("Batch Completed"):
			return Completed, true
		case is("Message Size Exceeds MaxBytes"):
			return MessageTooLarge, true
		case is("Exceeded MaxWaiting"):
			return MaxWaiting, true
		case is(limitBatch), is(limitExpires), is(limitBytes):
			return BatchTooLarge, true
		}
	case 412:
		return APILevel, true
	case 423:
		return PinMismatch, true
	case 503:
		return NoResponders, true
	}
	return Unknown, s.Pending
}

// adapt learns a limit of the consumer from its refusal. It reports whether the
// next request will be smaller.
func (m *Machine) adapt(text string) bool {
	number := func(limit string, known *int) bool {
		n, err := strconv.Atoi(strings.TrimSpace(text[len(limit):]))
		if err != nil || n < 1 || *known > 0 && n >= *known {
			return false
		}
		*known = n
		return true
	}
	switch {
	case strings.HasPrefix(text, limitBatch):
		return number(limitBatch, &m.maxBatch)
	case strings.HasPrefix(text, limitBytes):
		return number(limitBytes, &m.maxBytes)
	case strings.HasPrefix(text, limitExpires):
		d, err := time.ParseDuration(strings.TrimSpace(text[len(limitExpires):]))
		if err != nil || d <= 0 || m.maxExpires > 0 && d >= m.maxExpires {
			return false
		}
		m.maxExpires = d
		return true
	}
	return false
}
