package jetstream_test

import (
	"context"
	"strconv"
	"sync"
	"testing"
	"time"

	nats "github.com/perigee-go/nats/core"
	"github.com/perigee-go/nats/core/internal/figure"
	"github.com/perigee-go/nats/core/jetstream"
	"github.com/perigee-go/nats/core/test/internal/ledger"
	"github.com/perigee-go/nats/orbit/natstest"
)

// TestRollingRestart restarts a cluster, one lame duck after the other, with a
// stream and consumers of three replicas: by every door, with MigrateOnLameDuck
// and without, each message is acknowledged, and consumption goes on.
func TestRollingRestart(t *testing.T) {
	t.Parallel()
	times := figure.Size(1, 20)
	cluster := natstest.RunCluster(t, 3, natstest.LameDuck(1500*time.Millisecond, time.Second))
	publisher := handle(t, cluster.URL(), jetstream.DefaultTimeout(30*time.Second))
	s, err := publisher.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s.>"}, Replicas: 3})
	if err != nil {
		t.Fatal(err)
	}

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	type run struct {
		name string
		js   *jetstream.JetStream
		c    *jetstream.Consumer
		b    *book
		err  error
	}
	var runs []*run
	var consuming sync.WaitGroup
	for door, consume := range doors {
		for _, how := range []string{"migrating", "reconnecting"} {
			opts := []nats.Option{quick()}
			if how == "migrating" {
				opts = append(opts, nats.MigrateOnLameDuck())
			}
			srv := cluster.Server(len(runs) % 3)
			js, err := jetstream.New(ledger.Connect(t, srv.URL(), opts...))
			if err != nil {
				t.Fatal(err)
			}
			r := &run{name: door + ", " + how, js: js, b: newBook(-1)}
			if r.c, err = s.CreateConsumer(t.Context(), jetstream.ConsumerConfig{
				Durable: door + "-" + how, AckWait: 3 * time.Second, MaxAckPending: 10_000,
			}); err != nil {
				t.Fatal(err)
			}
			runs = append(runs, r)
			handle := js.StreamHandle("S").ConsumerHandle(r.c.Name())
			consuming.Go(func() { r.err = consume(ctx, handle, r.b) })
		}
	}

	// One message after the other, so that a gap is seen.
	restarted := make(chan error, 1)
	go func() {
		var err error
		for i := 0; i < times && err == nil; i++ {
			err = cluster.RollingRestart(t.Context())
		}
		restarted <- err
	}()
	published, pause := 0, time.Duration(0)
	for over := false; !over; {
		began := time.Now()
		if _, err := publisher.Publish(t.Context(), "s.a", []byte(strconv.Itoa(published)), jetstream.AutoMsgID(),
			jetstream.RetryAttempts(-1), jetstream.RetryWait(10*time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		pause = max(pause, time.Since(began))
		published++
		select {
		case err := <-restarted:
			if err != nil {
				t.Fatal(err)
			}
			over = true
		case <-time.After(time.Millisecond):
		}
	}
	for _, r := range runs {
		ctx := in(t, 30*time.Second)
		var info *jetstream.ConsumerInfo
		for info == nil || !acked(published)(info) {
			one, cancel := context.WithTimeout(ctx, time.Second) // nobody answers for a consumer without a leader
			now, err := r.c.Info(one)
			cancel()
			if err == nil {
				info = now
			}
			if ctx.Err() != nil {
				t.Fatalf("%s: not each of %d messages is acknowledged, %d were seen: %v, %+v", r.name, published, r.b.n.Load(), err, info)
			}
		}
	}
	cancel()
	consuming.Wait()
	t.Logf("%d rolling restarts, %d messages, one publish took %v", times, published, pause.Round(time.Millisecond))
	for _, r := range runs {
		if len(r.b.seen) != published || r.err != nil {
			t.Errorf("%s: %d of %d messages, %v", r.name, len(r.b.seen), published, r.err)
		}
		t.Logf("%s: %d came again, the longest gap was %v, the longest wait of a stored message %v, %d reconnects", r.name,
			int(r.b.n.Load())-published, r.b.gap.Round(time.Millisecond), r.b.wait.Round(time.Millisecond), r.js.Conn().Stats().Reconnects)
	}
}
