package jetstream

import (
	"strings"
	"time"
)

// MsgMetadata is what the ack subject says of a message.
type MsgMetadata struct {
	Stream, Consumer string
	Domain           string // "" if the server does not tell
	Sequence         SequencePair
	NumDelivered     uint64 // 1: for the first time
	NumPending       uint64 // messages of the consumer after this one
	Timestamp        time.Time
}

// SequencePair is the place of a message: in the stream, and among all
// deliveries of the consumer.
type SequencePair struct {
	Consumer, Stream uint64
}

// Metadata returns what the server told of the message beside its content. It is
// read once. ErrNotJSMessage if there is no ack subject.
func (m *Msg) Metadata() (MsgMetadata, error) {
	if m.nobodys() {
		return MsgMetadata{}, ErrNotJSMessage
	}
	if meta := m.state.meta.Load(); meta != nil {
		return *meta, nil
	}
	meta, ok := parseAckSubject(m.state.core.Reply)
	if !ok {
		return MsgMetadata{}, ErrNotJSMessage
	}
	m.state.meta.Store(&meta)
	return meta, nil
}

const ackPrefix = "$JS.ACK."

// isAckSubject reports whether a message with this reply subject came from a
// consumer.
func isAckSubject(reply string) bool {
	_, ok := parseAckSubject(reply)
	return ok
}

// parseAckSubject reads an ack subject of either form:
//
//	$JS.ACK.<stream>.<consumer>.<5 numbers>
//	$JS.ACK.<domain or _>.<account>.<stream>.<consumer>.<5 numbers>[.<more>]
//
// The numbers are deliveries, sequence in the stream, sequence of the consumer,
// time, and what is pending.
func parseAckSubject(reply string) (meta MsgMetadata, ok bool) {
	rest, ok := strings.CutPrefix(reply, ackPrefix)
	if !ok {
		return MsgMetadata{}, false
	}
	next := func() (token string) {
		token, rest, _ = strings.Cut(rest, ".")
		return token
	}
	switch dots := strings.Count(rest, "."); {
	case dots == 6:
	case dots >= 8:
		if meta.Domain = next(); meta.Domain == "_" {
			meta.Domain = ""
		}
		next() // the account
	default:
		return MsgMetadata{}, false
	}
	meta.Stream, meta.Consumer = next(), next()
	ok = meta.Stream != "" && meta.Consumer != ""
	number := func() uint64 {
		n, digits := parseNumber(next())
		ok = ok && digits
		return n
	}
	meta.NumDelivered = number()
	meta.Sequence.Stream = number()
	meta.Sequence.Consumer = number()
	meta.Timestamp = time.Unix(0, int64(number()))
	meta.NumPending = number()
	if !ok {
		return MsgMetadata{}, false
	}
	return meta, true
}

// parseNumber reads a decimal number that fits into 64 bits.
func parseNumber(s string) (n uint64, ok bool) {
	if s == "" || len(s) > 20 {
		return 0, false
	}
	for i := range len(s) {
		d := uint64(s[i] - '0')
		if d > 9 || n > (1<<64-1-d)/10 {
			return 0, false
		}
		n = n*10 + d
	}
	return n, true
}
