package jetstream_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	nats "github.com/perigee-go/nats/core"
	"github.com/perigee-go/nats/core/internal/figure"
	"github.com/perigee-go/nats/core/jetstream"
	"github.com/perigee-go/nats/core/test/internal/ledger"
	"github.com/perigee-go/nats/orbit/natstest"
)

// quick makes links come back soon, however short the last one lived.
func quick() nats.Option { return nats.ReconnectBackoff(time.Millisecond, 20*time.Millisecond) }

// book notes which messages were handled. One counts when its acknowledgement
// was handed over.
type book struct {
	mu   sync.Mutex
	seen map[string]int
	want int
	all  chan struct{}
	n    atomic.Int64

	last time.Time
	gap  time.Duration // the longest between two
	wait time.Duration // the longest of a stored message for its first delivery
}

func newBook(want int) *book {
	return &book{seen: make(map[string]int), want: want, all: make(chan struct{})}
}

func (b *book) note(m *jetstream.Msg) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.n.Add(1)
	now := time.Now()
	if !b.last.IsZero() {
		b.gap = max(b.gap, now.Sub(b.last))
	}
	b.last = now
	if meta, err := m.Metadata(); err == nil && meta.NumDelivered == 1 {
		b.wait = max(b.wait, now.Sub(meta.Timestamp))
	}
	data := string(m.Data)
	if b.seen[data]++; b.seen[data] == 1 && len(b.seen) == b.want {
		close(b.all)
	}
}

// doors are the ways to consume until everything was seen.
var doors = map[string]func(ctx context.Context, c *jetstream.Consumer, b *book) error{
	"Fetch": func(ctx context.Context, c *jetstream.Consumer, b *book) error {
		for {
			for m, err := range c.Fetch(ctx, 500, jetstream.MaxWait(500*time.Millisecond)) {
				switch {
				case ctx.Err() != nil:
					return nil
				case err != nil: // no link at the end of the wait, and the like
					continue
				}
				b.note(m)
				_ = m.Ack() // lost with the link, perhaps: it comes again
			}
			if ctx.Err() != nil {
				return nil
			}
		}
	},
	"Messages": func(ctx context.Context, c *jetstream.Consumer, b *book) error {
		for m, err := range c.Messages(ctx) {
			if err != nil {
				if ctx.Err() != nil {
					return nil
				}
				return err
			}
			b.note(m)
			_ = m.Ack()
		}
		return errors.New("ended")
	},
	"Consume": func(ctx context.Context, c *jetstream.Consumer, b *book) error {
		run, err := c.Consume(func(m *jetstream.Msg) {
			b.note(m)
			_ = m.Ack()
		})
		if err != nil {
			return err
		}
		select {
		case <-ctx.Done():
		case <-run.Done():
			return run.Err()
		}
		return run.Drain(context.WithoutCancel(ctx))
	},
}

// throughFaults consumes count messages by a door, with fault called again and
// again, and wants each acknowledged.
func throughFaults(t *testing.T, door string, js *jetstream.JetStream, c *jetstream.Consumer, count, faults int, fault func()) {
	t.Helper()
	b := newBook(count)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- doors[door](ctx, c, b) }()
	limit := time.After(time.Minute)
	for i := range faults {
		for b.n.Load() < int64(count*i/(faults+1)) {
			if ctx.Err() != nil || len(ended) > 0 {
				t.Fatalf("ended early: %v", <-ended)
			}
			select {
			case <-limit:
				t.Fatalf("stalled: %d of %d messages after %d faults", b.n.Load(), count, i)
			case <-time.After(time.Millisecond):
			}
		}
		fault()
	}
	select {
	case <-b.all:
	case err := <-ended:
		t.Fatalf("ended: %v", err)
	case <-limit:
		b.mu.Lock()
		defer b.mu.Unlock()
		t.Fatalf("stalled: %d different messages of %d", len(b.seen), count)
	}
	// Acknowledgements that were lost with a link come again.
	eventually(t, c, "each is acknowledged", func(i *jetstream.ConsumerInfo) bool {
		return i.NumAckPending == 0 && i.NumPending == 0 && i.AckFloor.Stream == uint64(count)
	})
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	again := int(b.n.Load()) - count
	t.Logf("%s: %d messages, %d faults, %d reconnects, %d came again", door, count, faults, js.Conn().Stats().Reconnects, again)
}

// onDisk makes a stream that survives a restart, with count messages in it.
func onDisk(t testing.TB, js *jetstream.JetStream, count int, cfg jetstream.ConsumerConfig) *jetstream.Consumer {
	t.Helper()
	s, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s.>"}})
	if err != nil {
		t.Fatal(err)
	}
	cfg.Durable = "C"
	c, err := s.CreateConsumer(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	fill(t, js, "s.a", count)
	return c
}

// Each door, with explicit acknowledgements, while the server is restarted five
// times: each message is acknowledged, and none is lost.
func TestPullThroughRestarts(t *testing.T) {
	count := figure.Size(20_000, 200_000)
	for door := range doors {
		t.Run(door, func(t *testing.T) {
			t.Parallel()
			srv := natstest.Run(t, natstest.JetStream())
			events, handler := ledger.NewEvents()
			js, err := jetstream.New(ledger.Connect(t, srv.URL(), handler, quick()))
			if err != nil {
				t.Fatal(err)
			}
			c := onDisk(t, js, count, jetstream.ConsumerConfig{AckWait: time.Second, MaxAckPending: 5000})
			restarts := 0
			throughFaults(t, door, js, c, count, 5, func() {
				srv.Shutdown()
				if err := srv.Restart(); err != nil {
					t.Error(err)
				}
				restarts++
				ledger.WaitN[nats.Reconnected](t, events, restarts)
			})
		})
	}
}

// The link is cut at any byte, in any state of a pull.
func TestPullThroughCuts(t *testing.T) { // reliability G1
	count, cuts := figure.Size(6000, 60_000), figure.Size(30, 600)
	for door := range doors {
		t.Run(door, func(t *testing.T) {
			t.Parallel()
			srv := natstest.Run(t, natstest.JetStream())
			proxy := natstest.RunProxy(t, srv.URL())
			js, err := jetstream.New(ledger.Connect(t, proxy.URL(), quick()))
			if err != nil {
				t.Fatal(err)
			}
			c := onDisk(t, js, count, jetstream.ConsumerConfig{AckWait: time.Second, MaxAckPending: 5000})
			rng := rand.New(rand.NewPCG(figure.Seed(1), uint64(len(door))))
			throughFaults(t, door, js, c, count, cuts, func() {
				// Both before a SUB has arrived, and in the middle of messages.
				direction := natstest.ClientToServer
				if rng.IntN(2) == 0 {
					direction = natstest.ServerToClient
				}
				proxy.CutIn(direction, int64(rng.IntN(1<<rng.IntN(14))))
			})
		})
	}
}

// dropped is what a connection took off the wire and gave to nobody.
func dropped(nc *nats.Conn) uint64 {
	st := nc.Stats()
	return st.InDropped + st.InOrphaned
}

// Pulled messages are not dropped here, with MaxDeliver 1 and reconnects in
// every state: what arrives is handed to the user.
func TestFigure06PulledMessagesDropped(t *testing.T) { // reliability G3
	t.Parallel()
	reconnects := figure.Size(50, 5000)
	srv := natstest.Run(t, natstest.JetStream())
	proxy := natstest.RunProxy(t, srv.URL())
	publisher := handle(t, srv.URL())
	events, handler := ledger.NewEvents()
	nc := ledger.Connect(t, proxy.URL(), handler, quick())
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	c := worker(t, publisher, jetstream.ConsumerConfig{MaxDeliver: 1, AckWait: time.Hour, MaxAckPending: -1})
	verdicts, err := publisher.Conn().SubscribeSync("$JS.ACK.S.C.>", nats.PendingLimits(-1, -1))
	if err != nil {
		t.Fatal(err)
	}
	var handled atomic.Int64
	slow := make(chan struct{}) // the handler lags behind, so that messages wait
	run, err := js.StreamHandle("S").ConsumerHandle("C").Consume(func(m *jetstream.Msg) {
		select {
		case <-slow:
		case <-t.Context().Done():
		}
		if handled.Add(1); m.Ack() != nil {
			t.Error("not acknowledged")
		}
	}, jetstream.MaxMessages(100))
	if err != nil {
		t.Fatal(err)
	}
	const perRound = 40
	published := 0
	for i := range reconnects {
		fill(t, publisher, "s.a", perRound)
		published += perRound
		for range perRound * (i % 3) / 2 { // it catches up, falls behind, or stands
			select {
			case slow <- struct{}{}:
			case <-time.After(20 * time.Millisecond): // messages were lost on the wire
			}
		}
		if i%2 == 0 {
			proxy.CutNow()
		} else if err := nc.Reconnect(t.Context()); err != nil {
			t.Fatal(err)
		}
		ledger.WaitN[nats.Reconnected](t, events, i+1)
	}
	close(slow)
	publish(t, publisher, "s.a", "last")
	eventually(t, c, "everything was delivered", func(i *jetstream.ConsumerInfo) bool { return i.NumPending == 0 })
	if err := run.Drain(t.Context()); err != nil {
		t.Error(err)
	}
	if err := nc.Flush(t.Context()); err != nil {
		t.Error(err)
	}
	if err := publisher.Conn().Flush(t.Context()); err != nil {
		t.Error(err)
	}
	naks := 0
	for verdicts.Stats().PendingMsgs > 0 {
		m, err := verdicts.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(string(m.Data), "-NAK") {
			naks++
		}
	}
	lost := published + 1 - int(handled.Load()) // on links that were cut
	figure.Print(t, 6, "0", "%d of %d pulled messages dropped here in %d reconnects, MaxDeliver 1 (%d were lost with a link)",
		dropped(nc)+uint64(naks), published+1, reconnects, lost)
	if n := dropped(nc); n > 0 || naks > 0 {
		t.Errorf("%d dropped, %d handed back", n, naks)
	}
	if handled.Load() == 0 {
		t.Error("nothing was handled")
	}
}

// How soon after a reconnect the next message comes.
func TestFigure07TimeToResume(t *testing.T) {
	t.Parallel()
	cuts, restarts := figure.Size(100, 2000), figure.Sizes(10, 200, 300)
	srv := natstest.Run(t, natstest.JetStream())
	proxy := natstest.RunProxy(t, srv.URL())
	var mu sync.Mutex
	var up time.Time
	nc := ledger.Connect(t, proxy.URL(), quick(), nats.EventHandler(func(nc *nats.Conn, e nats.Event) {
		if _, ok := e.(nats.Reconnected); ok {
			mu.Lock()
			up = time.Now()
			mu.Unlock()
			if err := nc.Publish("s.a", nil); err != nil {
				t.Error(err)
			}
		}
	}))
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	c := onDisk(t, js, 0, jetstream.ConsumerConfig{AckPolicy: jetstream.AckNonePolicy})
	came := make(chan time.Time, 1)
	run, err := c.Consume(func(*jetstream.Msg) { came <- time.Now() })
	if err != nil {
		t.Fatal(err)
	}
	var times []time.Duration
	for i := range cuts + restarts {
		if i < cuts {
			proxy.CutNow()
		} else {
			srv.Shutdown()
			if err := srv.Restart(); err != nil {
				t.Fatal(err)
			}
			if err := proxy.SetUpstream(srv.URL()); err != nil {
				t.Fatal(err)
			}
		}
		select {
		case at := <-came:
			mu.Lock()
			times = append(times, at.Sub(up))
			mu.Unlock()
		case <-time.After(20 * time.Second):
			t.Fatalf("fault %d: no message within 20 s", i)
		}
	}
	run.Stop()
	<-run.Done()
	slices.Sort(times)
	p99, worst := times[len(times)*99/100], times[len(times)-1]
	figure.Print(t, 7, "p99 at most 500 ms, worst at most 2 s", "%d cuts and %d restarts: the next message %v after Reconnected in the median, p99 %v, worst %v",
		cuts, restarts, times[len(times)/2].Round(10*time.Microsecond), p99.Round(10*time.Microsecond), worst.Round(10*time.Microsecond))
	if p99 > 5*time.Second || worst > 20*time.Second {
		t.Errorf("p99 %v, worst %v", p99, worst)
	}
}

// A consumer with three replicas and MaxDeliver 1: its leader steps down, the
// connection moves, and consumption goes on. Nothing is dropped here.
func TestFigure06StepDowns(t *testing.T) { // reliability G2, G3
	t.Parallel()
	rounds := figure.Sizes(24, 68, 1000) // every fourth is a reconnect
	cluster := natstest.RunCluster(t, 3)
	nc := ledger.Connect(t, cluster.URL(), quick())
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	c := replicated(t, js, jetstream.ConsumerConfig{MaxDeliver: 1, MaxAckPending: -1})
	came := make(chan string, 10_000)
	var told []string
	var mu sync.Mutex
	run, err := c.Consume(func(m *jetstream.Msg) {
		came <- string(m.Data)
		_ = m.Ack()
	}, jetstream.ErrorHandler(func(err error) {
		mu.Lock()
		defer mu.Unlock()
		told = append(told, time.Now().Format("05.000 ")+err.Error())
	}))
	if err != nil {
		t.Fatal(err)
	}
	var times []time.Duration
	published := 0
	for i := range rounds {
		if i%4 == 3 {
			if err := nc.Reconnect(t.Context()); err != nil {
				t.Fatal(err)
			}
		} else if err := js.Request(in(t, 10*time.Second), "CONSUMER.LEADER.STEPDOWN.S.C", nil, nil); err != nil {
			t.Log(err) // it has none at the moment
		}
		// One that is sent into a link that is being left is lost, so there are more.
		began, round := time.Now(), strconv.Itoa(i)
		send := func() {
			published++
			if _, err := js.Publish(in(t, 20*time.Second), "s.a", []byte(round), jetstream.RetryAttempts(80)); err != nil {
				t.Fatal(err)
			}
		}
		send()
		more := time.NewTicker(100 * time.Millisecond)
		limit := time.After(20 * time.Second)
		for got := ""; got != round; {
			select {
			case got = <-came:
			case <-more.C:
				send()
			case <-limit:
				mu.Lock()
				defer mu.Unlock()
				t.Fatalf("round %d, since %v: nothing came; told %q", i, began.Format("05.000"), told)
			}
		}
		more.Stop()
		times = append(times, time.Since(began))
	}
	eventually(t, c, "everything was delivered", func(i *jetstream.ConsumerInfo) bool { return i.NumPending == 0 })
	if err := run.Drain(t.Context()); err != nil {
		t.Error(err)
	}
	slices.Sort(times)
	figure.Print(t, 6, "0", "%d of %d pulled messages dropped here in %d step-downs and %d reconnects, MaxDeliver 1; the next one came after at most %v",
		dropped(nc), published, rounds-rounds/4, rounds/4, times[len(times)-1].Round(time.Millisecond))
	if n := dropped(nc); n > 0 {
		t.Errorf("%d dropped", n)
	}
}

// replicated makes a stream of three replicas, and a consumer.
func replicated(t testing.TB, js *jetstream.JetStream, cfg jetstream.ConsumerConfig) *jetstream.Consumer {
	t.Helper()
	s, err := js.CreateStream(t.Context(), jetstream.StreamConfig{
		Name: "S", Subjects: []string{"s.>"}, Replicas: 3, Storage: jetstream.MemoryStorage,
	})
	if err != nil {
		t.Fatal(err)
	}
	cfg.Durable = "C"
	c, err := s.CreateConsumer(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Without a quorum there is nobody to answer: that is not "no messages".
func TestNoQuorum(t *testing.T) { // reliability G16
	t.Parallel()
	cluster := natstest.RunCluster(t, 3)
	nc := ledger.Connect(t, cluster.URL(), quick())
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	c := replicated(t, js, jetstream.ConsumerConfig{})
	if _, err := c.Info(t.Context()); err != nil { // a leader answers
		t.Fatal(err)
	}
	leader := cluster.ConsumerLeader("S", "C")
	kept := slices.IndexFunc(cluster.Servers(), func(s *natstest.Server) bool { return s != leader })
	for i, node := range cluster.Servers() {
		if i != kept {
			node.Kill()
		}
	}
	// If the last of them got the leadership, it believes in it for ten seconds,
	// and so do we.
	ctx := in(t, time.Minute)
	var last error
	for last == nil && ctx.Err() == nil {
		for _, err := range c.Fetch(ctx, 1, jetstream.MaxWait(2*time.Second)) {
			last = err
		}
	}
	if !errors.Is(last, jetstream.ErrNoLeader) && !errors.Is(last, jetstream.ErrNoHeartbeat) &&
		!errors.Is(last, jetstream.ErrConsumerLeadershipChanged) && !errors.Is(last, nats.ErrDisconnected) {
		t.Errorf("fetch without a leader: %v", last)
	}
}
