package peers

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/perigee-go/nats/tools/bench/internal/wire"
)

// pingCounter counts the PINGs in a stream that is read piece by piece. It must
// cost next to nothing, or it is the sink that is measured: so it looks for the
// one letter that stands nowhere else in what a client sends here, and then at
// the three before it. The end of the line is taken on trust.
type pingCounter struct {
	tail []byte // the last bytes of what was counted, at most three
}

const (
	pingLast  = 'G'
	pingStart = "PIN"
)

func (p *pingCounter) count(piece []byte) int {
	n := 0
	for at := 0; ; at++ {
		i := bytes.IndexByte(piece[at:], pingLast)
		if i < 0 {
			break
		}
		at += i
		if string(p.before(piece, at)) == pingStart {
			n++
		}
	}
	p.tail = append(p.tail[:0], p.before(piece, len(piece))...)
	return n
}

// before returns the bytes before a place in the piece, as many as a PING has
// before its last letter, from the tail where the piece has too few.
func (p *pingCounter) before(piece []byte, at int) []byte {
	if at >= len(pingStart) {
		return piece[at-len(pingStart) : at]
	}
	joined := append(slices.Clone(p.tail), piece[:at]...)
	return joined[max(0, len(joined)-len(pingStart)):]
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
