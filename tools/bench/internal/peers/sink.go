package peers

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"github.com/perigee-go/nats/tools/bench/internal/wire"
)

// pingCounter counts the PINGs in a stream that is read piece by piece. It is
// not a parser: payloads must not contain the line.
type pingCounter struct {
	tail []byte // the last bytes of the stream, fewer than a PING has
	join []byte
}

var ping = []byte(wire.Ping)

func (p *pingCounter) count(piece []byte) int {
	// A line across the boundary is found in a small copy, of which neither side
	// is long enough to hold a line that counts twice.
	edge := min(len(piece), len(ping)-1)
	p.join = append(append(p.join[:0], p.tail...), piece[:edge]...)
	n := bytes.Count(p.join, ping) + bytes.Count(piece, ping)
	all := piece
	if len(piece) < len(ping)-1 {
		all = p.join
	}
	p.tail = append(p.tail[:0], all[max(0, len(all)-(len(ping)-1)):]...)
	return n
}

// sink discards everything and answers every PING. A connection whose first word
// is BYTES is told how many bytes all of them have sent.
type sink struct{ total atomic.Int64 }

func newSink() *sink { return &sink{} }

const bytesQuestion = "BYTES\r\n"

func (s *sink) serve(c net.Conn) {
	if _, err := io.WriteString(c, wire.Info); err != nil {
		return
	}
	buf := make([]byte, 1<<20)
	var pings pingCounter
	for {
		n, err := c.Read(buf)
		if n == len(bytesQuestion) && string(buf[:n]) == bytesQuestion {
			_, _ = fmt.Fprintf(c, "%d\n", s.total.Load())
			return
		}
		s.total.Add(int64(n))
		if !answer(c, pings.count(buf[:n])) || err != nil {
			return
		}
	}
}

func answer(c net.Conn, pings int) bool {
	if pings == 0 {
		return true
	}
	_, err := io.WriteString(c, strings.Repeat(wire.Pong, pings))
	return err == nil
}

// How the stalling peer behaves: it takes stallAfter bytes, then nothing for
// StallTime, and then everything. The small receive buffer makes the stall
// reach the client soon.
const (
	StallTime   = time.Second
	stallAfter  = 1 << 20
	stallBuffer = 64 << 10
)

func stallOnce(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetReadBuffer(stallBuffer) // without it the stall is felt later
	}
	if _, err := io.WriteString(c, wire.Info); err != nil {
		return
	}
	buf := make([]byte, 256<<10)
	var pings pingCounter
	total, stalled := 0, false
	for {
		n, err := c.Read(buf)
		total += n
		if !answer(c, pings.count(buf[:n])) || err != nil {
			return
		}
		if total >= stallAfter && !stalled {
			stalled = true
			time.Sleep(StallTime)
		}
	}
}
