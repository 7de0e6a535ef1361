package jetstream_test

import (
	"context"
	"errors"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/perigee-go/nats/core/internal/figure"
	"github.com/perigee-go/nats/core/jetstream"
	"github.com/perigee-go/nats/orbit/natstest"
)

// An ending consumes with acknowledgements, and ends when enough says so of a
// message.
type ending func(t *testing.T, js *jetstream.JetStream, enough func(*jetstream.Msg) bool)

func ack(t testing.TB, m *jetstream.Msg) {
	t.Helper()
	if err := m.Ack(); err != nil {
		t.Error(err)
	}
}

// consumeUntil consumes until there was enough.
func consumeUntil(t *testing.T, js *jetstream.JetStream, enough func(*jetstream.Msg) bool) *jetstream.Consumption {
	t.Helper()
	reached := make(chan struct{})
	run, err := js.StreamHandle("S").ConsumerHandle("C").Consume(func(m *jetstream.Msg) {
		ack(t, m)
		if enough(m) {
			close(reached)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	<-reached
	return run
}

// receiveUntil takes what a Receiver has until it is over, and calls end when
// there was enough.
func receiveUntil(t *testing.T, js *jetstream.JetStream, enough func(*jetstream.Msg) bool, end func(*jetstream.Receiver)) {
	t.Helper()
	rec, err := js.StreamHandle("S").ConsumerHandle("C").Receiver()
	if err != nil {
		t.Fatal(err)
	}
	for {
		m, err := rec.Next(t.Context())
		if errors.Is(err, jetstream.ErrConsumptionEnded) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		ack(t, m)
		if enough(m) {
			end(rec)
		}
	}
}

// drains let nothing come that is not handled.
var drains = map[string]ending{
	"Consumption.Drain": func(t *testing.T, js *jetstream.JetStream, enough func(*jetstream.Msg) bool) {
		if err := consumeUntil(t, js, enough).Drain(t.Context()); err != nil {
			t.Error(err)
		}
	},
	"Receiver.Drain": func(t *testing.T, js *jetstream.JetStream, enough func(*jetstream.Msg) bool) {
		drained := make(chan error, 1)
		receiveUntil(t, js, enough, func(rec *jetstream.Receiver) {
			go func() { drained <- rec.Drain(t.Context()) }()
		})
		if err := <-drained; err != nil {
			t.Error(err)
		}
	},
	"Conn.Drain": func(t *testing.T, js *jetstream.JetStream, enough func(*jetstream.Msg) bool) {
		consumeUntil(t, js, enough)
		if err := js.Conn().Drain(t.Context()); err != nil {
			t.Error(err)
		}
	},
}

// stops hand back what is not handled.
var stops = map[string]ending{
	"Consumption.Stop": func(t *testing.T, js *jetstream.JetStream, enough func(*jetstream.Msg) bool) {
		run := consumeUntil(t, js, enough)
		run.Stop()
		<-run.Done()
	},
	"Receiver.Stop": func(t *testing.T, js *jetstream.JetStream, enough func(*jetstream.Msg) bool) {
		receiveUntil(t, js, enough, (*jetstream.Receiver).Stop)
	},
	"Messages, break": func(t *testing.T, js *jetstream.JetStream, enough func(*jetstream.Msg) bool) {
		for m, err := range js.StreamHandle("S").ConsumerHandle("C").Messages(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			if ack(t, m); enough(m) {
				break
			}
		}
	},
	"Fetch, break": func(t *testing.T, js *jetstream.JetStream, enough func(*jetstream.Msg) bool) {
		for over := false; !over; {
			for m, err := range js.StreamHandle("S").ConsumerHandle("C").Fetch(t.Context(), 50) {
				if err != nil {
					t.Fatal(err)
				}
				ack(t, m)
				if over = enough(m); over {
					break
				}
			}
		}
	},
}

// flow is a consumer of a stream that somebody publishes to, as fast as it is
// consumed.
type flow struct {
	js     *jetstream.JetStream
	c      *jetstream.Consumer
	urls   []string
	behind atomic.Uint64 // messages that wait at the server; the publisher waits, too
	stop   func()
}

const (
	farBehind = 500
	noFlow    = 1 << 62
)

// flowing begins a flow on so many servers. Nothing comes again by AckWait.
func flowing(t *testing.T, servers int) *flow {
	t.Helper()
	f := new(flow)
	if servers == 1 {
		f.urls = []string{natstest.Run(t, natstest.JetStream()).URL()}
	} else {
		for _, srv := range natstest.RunCluster(t, servers).Servers() {
			f.urls = append(f.urls, srv.URL())
		}
	}
	f.js = handle(t, f.urls[0])
	s, err := f.js.CreateStream(t.Context(), jetstream.StreamConfig{
		Name: "S", Subjects: []string{"s.>"}, Replicas: servers, Storage: jetstream.MemoryStorage,
	})
	if err != nil {
		t.Fatal(err)
	}
	f.c, err = s.CreateConsumer(t.Context(), jetstream.ConsumerConfig{Durable: "C", AckWait: time.Hour, MaxAckPending: -1})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		for i := 0; ctx.Err() == nil; i++ {
			switch {
			case f.behind.Load() > farBehind:
				<-time.After(time.Millisecond)
			case i%10 > 0:
				_ = f.js.Conn().Publish("s.a", []byte(strconv.Itoa(i)))
			default:
				_, _ = f.js.Publish(ctx, "s.a", []byte(strconv.Itoa(i)))
			}
		}
	}()
	f.stop = func() { cancel(); <-stopped }
	t.Cleanup(f.stop)
	return f
}

// end consumes by a connection of its own until it has caught up and n messages
// more, and ends.
func (f *flow) end(t *testing.T, end ending, n int) (took time.Duration) {
	t.Helper()
	js := handle(t, f.urls[n%len(f.urls)])
	var since atomic.Int32
	var began time.Time
	f.behind.Store(0)
	end(t, js, func(m *jetstream.Msg) bool {
		meta, err := m.Metadata()
		f.behind.Store(meta.NumPending)
		if err != nil || since.Load() == 0 && meta.NumPending > 0 || since.Add(1) != int32(n) {
			return false
		}
		began = time.Now()
		return true
	})
	took = time.Since(began)
	f.behind.Store(noFlow)
	_ = js.Conn().Drain(t.Context()) // ErrClosed, perhaps
	return took
}

// endings plays each of some endings again and again, on one server and in a
// cluster, and wants nothing stranded that only AckWait would bring. How long
// the pauses between messages are depends on the machine: one that is longer
// than what an ending waits for is forgiven, more often in a cluster. What is
// exact about it is tested on fake time.
func endings(t *testing.T, all map[string]ending, settle func(t *testing.T, f *flow, stranded int) int) {
	for name, servers := range map[string]int{"one server": 1, "cluster": 3} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := flowing(t, servers)
			rounds := figure.Size(12/servers, 600)
			stranded, bad := 0, 0
			for name, end := range all {
				longest := time.Duration(0)
				for i := range rounds {
					took := f.end(t, end, 1+i*7%150)
					longest = max(longest, took)
					n := settle(t, f, stranded)
					if n > 0 {
						bad++
						t.Logf("%s: %d messages are stranded, it took %v", name, n, took)
					}
					stranded += n
				}
				t.Logf("%s: %d times in the flow, took at most %v", name, rounds, longest.Round(time.Millisecond))
			}
			if bad > rounds*len(all)*(1+servers)/8 {
				t.Errorf("%d of %d endings stranded messages, %d in all", bad, rounds*len(all), stranded)
			}
		})
	}
}

// A session that is drained while messages flow leaves none at the server that
// only AckWait would bring again.
func TestDrainStrandsNothing(t *testing.T) {
	endings(t, drains, func(t *testing.T, f *flow, stranded int) int {
		for limit := time.Now().Add(3 * time.Second); ; {
			info, err := f.c.Info(t.Context())
			switch {
			case err != nil:
				t.Fatal(err)
			case info.NumAckPending <= stranded, time.Now().After(limit):
				return info.NumAckPending - stranded
			}
		}
	})
}

// What a session that is stopped has not given out comes again at once, for
// somebody else.
func TestStopStrandsNothing(t *testing.T) {
	endings(t, stops, func(t *testing.T, f *flow, stranded int) int {
		for limit := time.Now().Add(3 * time.Second); ; {
			for m, err := range f.c.Fetch(t.Context(), 1000, jetstream.MaxWait(10*time.Millisecond)) {
				if err != nil { // the server has no time
					t.Log(err)
					break
				}
				ack(t, m)
			}
			info, err := f.c.Info(t.Context())
			switch {
			case err != nil:
				t.Fatal(err)
			case info.NumPending == 0 && info.NumAckPending <= stranded, time.Now().After(limit):
				return info.NumAckPending - stranded
			}
		}
	})
}
