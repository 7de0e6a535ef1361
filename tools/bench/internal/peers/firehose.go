package peers

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/perigee-go/nats/tools/bench/internal/wire"
)

// Subjects that steer the firehose and the blaster, and the prefix of those they
// send to.
const (
	StartSubject  = "fh.start"  // payload: an Order
	CreditSubject = "fh.credit" // payload: how many messages more
	DropSubject   = "fh.drop"   // ends the connection; firehose only
	FeedPrefix    = "fh.subject."
)

// FeedSubject is the subject of subscription i.
func FeedSubject(i int) string { return fmt.Sprintf(FeedPrefix+"%04d", i) }

// Order is what to send: Count messages, round robin over the subscriptions, at
// most Window ahead of the credits received (0: no limit).
type Order struct {
	Count, Size, Window, Subs int
	Kind                      string
}

// String is the payload of an order.
func (o Order) String() string {
	return fmt.Sprintf("%d %d %d %d %s", o.Count, o.Size, o.Window, o.Subs, o.Kind)
}

func parseOrder(text string) (o Order, err error) {
	_, err = fmt.Sscan(text, &o.Count, &o.Size, &o.Window, &o.Subs, &o.Kind)
	if err == nil && (o.Count <= 0 || o.Subs <= 0) {
		err = fmt.Errorf("order %q is empty", text)
	}
	return o, err
}

// firehose is a fake server that notes subscriptions and sends to them what it
// is ordered to. A connection whose first word is SUBS is told about the
// subscriptions of the last other connection.
type firehose struct{ last atomic.Pointer[arrival] }

// arrival is how the subscriptions of one connection came in.
type arrival struct {
	start time.Time
	subs  atomic.Int64
	took  atomic.Int64 // ns from start to the first PING after the last SUB
}

func newFirehose() *firehose { return &firehose{} }

const subsQuestion = "SUBS"

type subscription struct{ subject, sid string }

// firehoseConn is the state of one connection.
type firehoseConn struct {
	net.Conn
	subs []subscription
	come *arrival
	flow *flow
}

func (f *firehose) serve(c net.Conn) {
	fc := &firehoseConn{Conn: c, come: &arrival{start: time.Now()}, flow: newFlow()}
	defer fc.flow.stop()
	if _, err := io.WriteString(c, wire.Info); err != nil {
		return
	}
	in := bufio.NewReaderSize(c, 64<<10)
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		switch words[0] {
		case "CONNECT":
			f.last.Store(fc.come)
		case subsQuestion:
			if last := f.last.Load(); last != nil {
				_, _ = fmt.Fprintf(c, "%d %d\n", last.subs.Load(), last.took.Load())
			}
			return
		case "PING":
			fc.come.took.Store(int64(time.Since(fc.come.start)))
			if !answer(c, 1) {
				return
			}
		case "SUB":
			fc.come.subs.Add(1)
			if strings.HasPrefix(words[1], FeedPrefix) {
				fc.subs = append(fc.subs, subscription{words[1], words[len(words)-1]})
			}
		case "PUB":
			body, err := readBody(in, words[len(words)-1])
			if err != nil || !fc.obey(words[1], body) {
				return
			}
		}
	}
}

func readBody(in *bufio.Reader, size string) (string, error) {
	n, err := strconv.Atoi(size)
	if err != nil {
		return "", err
	}
	body := make([]byte, n+2)
	_, err = io.ReadFull(in, body)
	return string(body[:n]), err
}

// obey returns false when the connection is to end.
func (fc *firehoseConn) obey(subject, body string) bool {
	switch subject {
	case DropSubject:
		return false
	case CreditSubject:
		n, err := strconv.Atoi(body)
		if err != nil {
			return false
		}
		fc.flow.credit(n)
	case StartSubject:
		o, err := parseOrder(body)
		if err != nil || len(fc.subs) == 0 {
			return false
		}
		payload := wire.Payload(o.Size)
		frames := render(len(fc.subs), func(dst []byte, i int) []byte {
			return wire.AppendDelivery(dst, o.Kind, fc.subs[i].subject, fc.subs[i].sid, payload)
		})
		run := fc.flow.begin(o.Window)
		go run.send(fc, frames, o.Count)
	}
	return true
}
