package jetstream

import (
	"strconv"
	"strings"

	nats "github.com/perigee-go/nats/core"
	"github.com/perigee-go/nats/core/internal/pull"
)

// appendRequest renders a pull.
func appendRequest(b []byte, r pull.Request) []byte {
	b = append(b, `{"batch":`...)
	b = strconv.AppendInt(b, int64(r.Batch), 10)
	field := func(name string, n int64) {
		if n > 0 {
			b = append(b, name...)
			b = strconv.AppendInt(b, n, 10)
		}
	}
	field(`,"expires":`, int64(r.Expires))
	field(`,"max_bytes":`, int64(r.MaxBytes))
	field(`,"idle_heartbeat":`, int64(r.Heartbeat))
	if r.NoWait {
		b = append(b, `,"no_wait":true`...)
	}
	return append(b, '}')
}

// Headers that say how much of a pull is left.
const (
	pendingMessages = "Nats-Pending-Messages"
	pendingBytes    = "Nats-Pending-Bytes"
)

// readStatus makes a status of a message that came to the inbox with this
// prefix. It is one only if it answers a pull of ours, has a status line, and
// nothing that a stored message would have.
func readStatus(m *nats.Msg, prefix string) (s pull.Status, ok bool) {
	number, ok := strings.CutPrefix(m.Subject, prefix)
	if !ok || m.Reply != "" || len(m.Data) > 0 {
		return s, false
	}
	if s.Token, ok = parseNumber(number); !ok {
		return s, false
	}
	if s.Code, s.Text = m.InlineStatus(); s.Code == 0 {
		return s, false
	}
	msgs, ok1 := parseNumber(m.Header.Get(pendingMessages))
	bytes, ok2 := parseNumber(m.Header.Get(pendingBytes))
	if s.Pending = ok1 && ok2; s.Pending {
		s.Msgs, s.Bytes = saturate(msgs), saturate(bytes)
	}
	return s, true
}

// saturate keeps a number of the server within what can be calculated with.
func saturate(n uint64) int { return int(min(n, 1<<30)) }
