package nats

import (
	"context"
	"math/rand/v2"
	"strconv"
	"testing"

	"github.com/perigee-go/nats/core/internal/figure"
	"github.com/perigee-go/nats/core/internal/reconnect"
	"github.com/perigee-go/nats/core/internal/sim"
	"github.com/perigee-go/nats/core/internal/wire"
)

// A million requests whose replies come late, twice, after their request was
// given up, or out of order: each gets its own or none, and all are counted.
//
// reliability E5
func TestRequestsDoNotMixUp(t *testing.T) {
	cfg, err := configure("nats://a:1", []Option{Logger(nil)})
	must(t, err)
	nc := newConn(cfg, reconnect.NewPool(cfg.servers))
	defer nc.stop()
	must(t, nc.muxRequests())
	sid := nc.reqs.mux.Load().sid

	rng := rand.New(rand.NewPCG(figure.Seed(5), 5))
	type asked struct {
		p    *pending
		id   int
		subj string // of the reply; the request's own memory is used again
	}
	var open []asked
	var old [1024]asked // replies to these are late
	n, given, answered, sent := figure.Size(1_000_000, 20_000_000), uint64(0), uint64(0), uint64(0)
	var b []byte
	var p wire.Parser
	var f wire.Frame
	reply := func(a asked) {
		sent++
		data := strconv.Itoa(a.id)
		b = append(append(b[:0], "MSG "...), a.subj...)
		b = strconv.AppendUint(append(b, ' '), sid, 10)
		b = strconv.AppendInt(append(b, ' '), int64(len(data)), 10)
		b = append(append(append(b, "\r\n"...), data...), "\r\n"...)
		if ok, err := p.Parse(b, &f); !ok || err != nil {
			t.Fatal(ok, err)
		}
		nc.rcv.Message(b, 0, &f)
		nc.rcv.Batch(b)
		clear(b)
	}
	if sim.Race {
		n /= 20
	}
	for id := range n {
		p := nc.reqs.begin("a", false)
		open = append(open, asked{p, id, string([]byte(p.reply))})
		for len(open) > rng.IntN(64) {
			i := rng.IntN(len(open))
			a := open[i]
			open[i] = open[len(open)-1]
			open = open[:len(open)-1]
			if rng.IntN(8) == 0 {
				if !nc.reqs.abandon(a.p, context.DeadlineExceeded) {
					t.Fatal("it had an outcome")
				}
				given++
			} else {
				reply(a)
				select {
				case o := <-a.p.done:
					if o.err != nil || string(o.msg.Data) != strconv.Itoa(a.id) {
						t.Fatalf("request %d: %q, %v", a.id, o.msg.Data, o.err)
					}
					answered++
				default:
					t.Fatalf("request %d has no reply", a.id)
				}
				if rng.IntN(4) == 0 {
					reply(a) // again
				}
			}
			nc.reqs.release(a.p)
			old[rng.IntN(len(old))] = a
		}
		if a := old[rng.IntN(len(old))]; a.p != nil && rng.IntN(2) == 0 {
			reply(a)
		}
	}
	for _, a := range open {
		select {
		case o := <-a.p.done:
			t.Fatalf("request %d got %q", a.id, o.msg.Data)
		default:
		}
	}
	st := nc.Stats()
	if st.Requests != uint64(n) || st.Answered != answered || st.TimedOut != given || st.RequestsOpen != uint64(len(open)) ||
		st.InReplies != answered || st.InOrphaned != sent-answered {
		t.Errorf("%d answered, %d given up, %d open, %d replies: %+v", answered, given, len(open), sent, st)
	}
	if slots := len(nc.reqs.slots); slots > 64 {
		t.Errorf("%d slots in the table", slots)
	}
}
