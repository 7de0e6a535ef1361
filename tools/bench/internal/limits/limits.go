// Package limits measures what a bare program can do on the same sockets with
// rendered bytes and no client at all: the distance that is left.
//
//	rawwrite  pub: writes rendered 64 KiB buffers
//	rawread   cb: read(2) into a 256 KiB buffer and nothing else
//	rawscan   cb: read(2) and the least parsing that finds every payload
//	rawecho   req: one goroutine, rendered requests, counts the replies
//	rawe2e    e2e: rendered 64 KiB buffers in, rawscan out
package limits

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"github.com/perigee-go/nats/tools/bench/internal/driver"
	"github.com/perigee-go/nats/tools/bench/internal/peers"
	"github.com/perigee-go/nats/tools/bench/internal/scenario"
	"github.com/perigee-go/nats/tools/bench/internal/wire"
)

// All are the limits, each for scenarios of one kind.
func All() []scenario.Client {
	limit := func(name, kind string, measure func(scenario.Spec, scenario.Env, *scenario.Result) error) scenario.Client {
		return scenario.Client{
			Driver:   driver.Driver{Name: name},
			Supports: func(s scenario.Spec) bool { return s.Kind == kind && !s.TLS },
			Measure:  measure,
		}
	}
	return []scenario.Client{
		limit("rawwrite", "pub", write),
		limit("rawread", "cb", read),
		limit("rawscan", "cb", scan),
		limit("rawecho", "req", echo),
		limit("rawe2e", "e2e", endToEnd),
	}
}

// bareConn is a connection on which the handshake is done.
type bareConn struct {
	net.Conn
	in *bufio.Reader // for lines before and after what is measured
}

func dial(url string) (*bareConn, error) {
	c, err := net.DialTimeout("tcp", strings.TrimPrefix(url, "nats://"), 5*time.Second)
	if err != nil {
		return nil, err
	}
	bc := &bareConn{c, bufio.NewReaderSize(c, 4096)}
	if _, err := bc.in.ReadString('\n'); err != nil {
		return nil, err
	}
	if _, err := io.WriteString(c, wire.Connect); err != nil {
		return nil, err
	}
	return bc, bc.flush()
}

// flush returns when the peer has answered a PING.
func (c *bareConn) flush() error {
	if _, err := io.WriteString(c, wire.Ping); err != nil {
		return err
	}
	for {
		line, err := c.in.ReadString('\n')
		if err != nil || line == wire.Pong {
			return err
		}
	}
}

// measure runs work once to warm up and once measured.
func measure(s scenario.Spec, env scenario.Env, r *scenario.Result, warmup, count int, work func(int) error) error {
	if err := work(warmup); err != nil {
		return err
	}
	m := scenario.Begin(env.Hooks)
	err := work(count)
	m.End(r)
	r.Msgs, r.Bytes = count, count*s.Size
	return err
}

// batch is as many frames as 64 KiB hold.
func batch(frame []byte) (buf []byte, n int) {
	n = max(1, (64<<10)/len(frame))
	return bytes.Repeat(frame, n), n
}

// rounded is n as a multiple of unit, at least one.
func rounded(n, unit int) int { return max(n/unit, 1) * unit }

func write(s scenario.Spec, env scenario.Env, r *scenario.Result) error {
	c, err := dial(env.Peers.Sink)
	if err != nil {
		return err
	}
	defer c.Close()
	buf, k := batch(wire.AppendPublish(nil, scenario.Subject, "", wire.Payload(s.Size)))
	count := rounded(scenario.Count(s.Size, 6, env.Scale), k)
	return measure(s, env, r, rounded(count/10, k), count, func(n int) error {
		for ; n > 0; n -= k {
			if _, err := c.Write(buf); err != nil {
				return err
			}
		}
		return c.flush()
	})
}

// feed subscribes as the receive scenarios do and returns how many bytes one
// round over all subscriptions has.
func feed(s scenario.Spec, env scenario.Env) (c *bareConn, kind string, cycle int, err error) {
	kind = s.Frame
	if kind == scenario.FrameHdrRead {
		kind = wire.KindHdr
	}
	if c, err = dial(env.Peers.Firehose); err != nil {
		return nil, "", 0, err
	}
	var subs []byte
	for i := range s.Width {
		sid := fmt.Sprint(i + 1)
		cycle += len(wire.AppendDelivery(nil, kind, peers.FeedSubject(i), sid, wire.Payload(s.Size)))
		subs = fmt.Appendf(subs, "SUB %s %s\r\n", peers.FeedSubject(i), sid)
	}
	if _, err = c.Write(subs); err == nil {
		err = c.flush()
	}
	if err != nil {
		c.Close()
	}
	return c, kind, cycle, err
}

func order(c *bareConn, s scenario.Spec, kind string, n int) error {
	o := peers.Order{Count: n, Size: s.Size, Kind: kind, Subs: s.Width}
	_, err := c.Write(wire.AppendPublish(nil, peers.StartSubject, "", []byte(o.String())))
	return err
}

func read(s scenario.Spec, env scenario.Env, r *scenario.Result) error {
	c, kind, cycle, err := feed(s, env)
	if err != nil {
		return err
	}
	defer c.Close()
	buf := make([]byte, 256<<10)
	count := rounded(scenario.Count(s.Size, 3, env.Scale), s.Width)
	return measure(s, env, r, rounded(count/10, s.Width), count, func(n int) error {
		if err := order(c, s, kind, n); err != nil {
			return err
		}
		for left := n / s.Width * cycle; left > 0; {
			k, err := c.Read(buf)
			if err != nil {
				return err
			}
			left -= k
		}
		return nil
	})
}

func scan(s scenario.Spec, env scenario.Env, r *scenario.Result) error {
	c, kind, _, err := feed(s, env)
	if err != nil {
		return err
	}
	defer c.Close()
	in := newScanner(s.Size)
	count := rounded(scenario.Count(s.Size, 3, env.Scale), s.Width)
	return measure(s, env, r, rounded(count/10, s.Width), count, func(n int) error {
		if err := order(c, s, kind, n); err != nil {
			return err
		}
		for left := n; left > 0; {
			k, err := in.next(c)
			if err != nil {
				return err
			}
			left -= k
		}
		return nil
	})
}

// inbox is what replies come to; rendered, so always the same.
const inbox = "_INBOX.abcdefghijklmnopqrstuv"

func echo(s scenario.Spec, env scenario.Env, r *scenario.Result) error {
	c, err := dial(env.Server)
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := fmt.Fprintf(c, "SUB %s.* 1\r\n", inbox); err != nil {
		return err
	}
	if err := c.flush(); err != nil {
		return err
	}
	frame := wire.AppendPublish(nil, peers.EchoSubject, inbox+".01234567", wire.Payload(s.Size))
	out := bytes.Repeat(frame, s.Width)
	in := newScanner(s.Size)
	count := scenario.RequestCount(s, env.Scale)
	latencies := make([]int64, 0, 2*count)
	err = measure(s, env, r, rounded(count/10, s.Width), count, func(n int) error {
		latencies = latencies[:0]
		left, unsent, ready := n, n, s.Width
		sent := time.Now()
		for left > 0 {
			k := min(ready, unsent)
			if _, err := c.Write(out[:k*len(frame)]); err != nil {
				return err
			}
			unsent -= k
			if ready, err = in.next(c); err != nil {
				return err
			}
			if ready > 0 {
				now := time.Now()
				latencies = append(latencies, int64(now.Sub(sent)))
				sent = now
			}
			left -= ready
		}
		return nil
	})
	if s.Width == 1 { // with more, a batch of replies is not a request's time
		r.Latencies(latencies)
	}
	return err
}

func endToEnd(s scenario.Spec, env scenario.Env, r *scenario.Result) error {
	pub, err := dial(env.Server)
	if err != nil {
		return err
	}
	defer pub.Close()
	sub, err := dial(env.Server)
	if err != nil {
		return err
	}
	defer sub.Close()
	if _, err := fmt.Fprintf(sub, "SUB %s 1\r\n", scenario.Subject); err != nil {
		return err
	}
	if err := sub.flush(); err != nil {
		return err
	}
	buf, k := batch(wire.AppendPublish(nil, scenario.Subject, "", wire.Payload(s.Size)))
	count := rounded(scenario.Count(s.Size, 2, env.Scale), k)
	window := int64(scenario.Window(s.Size))
	in := newScanner(s.Size)
	return measure(s, env, r, rounded(count/10, k), count, func(n int) error {
		var got atomic.Int64
		received := make(chan error, 1)
		go func() { received <- in.collect(sub, &got, int64(n)) }()
		for i := 0; i < n; i += k {
			if err := scenario.WaitWindow(&got, int64(i), window); err != nil {
				return err
			}
			if _, err := pub.Write(buf); err != nil {
				return err
			}
		}
		return <-received
	})
}
