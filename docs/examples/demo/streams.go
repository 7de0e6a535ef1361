package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	nats "github.com/perigee-go/nats/core"
	"github.com/perigee-go/nats/core/jetstream"
)

// A store is what the acts of JetStream share: a connection of their own, because
// the ledger counts what the other acts publish, and a stream with a consumer.
type store struct {
	js       *jetstream.JetStream
	stream   *jetstream.Stream
	consumer *jetstream.Consumer
	orders   int // stored so far
}

// order is the subject that the consumer has the messages of; stock is another
// one of the stream.
func (d *demo) order() string { return d.subject("orders.new") }
func (d *demo) stock() string { return d.subject("stock.bicycles") }

// abandon deletes the stream and ends the connection, so that nothing is left on a
// server of yours. It is called at the end, also when an act has failed, and there
// is nobody left to tell of an error.
func (s *store) abandon() {
	if s == nil {
		return
	}
	if s.stream != nil {
		_ = s.js.DeleteStream(context.Background(), s.stream.Name()) // within its default timeout
	}
	s.js.Conn().Close()
}

// withStream runs an act that needs the stream.
func withStream(run func(context.Context, *demo) error) func(context.Context, *demo) error {
	return func(ctx context.Context, d *demo) error {
		if d.store == nil {
			d.out.line("why", "there is no stream: the server has no JetStream")
			return errSkipped
		}
		return run(ctx, d)
	}
}

// makeStream makes a stream and a consumer, if the server can.
func makeStream(ctx context.Context, d *demo) error {
	nc, err := nats.Connect(ctx, d.url, nats.Name("perigee demo streams"), nats.MigrateOnLameDuck(), nats.Logger(nil))
	if err != nil {
		return err
	}
	js, err := jetstream.New(nc)
	if err != nil {
		nc.Close()
		return err
	}
	info, err := js.AccountInfo(ctx)
	if errors.Is(err, jetstream.ErrJetStreamNotEnabled) {
		nc.Close()
		d.out.line("why", "this server has no JetStream; nats-server -js has it")
		return errSkipped
	}
	d.store = &store{js: js}
	if err != nil {
		return err
	}
	d.out.line("JetStream", "API level %d, %d streams so far", info.API.Level, info.Streams)

	replicas := 1
	if d.cluster != nil {
		if _, err := d.cluster.WaitMetaLeader(ctx); err != nil {
			return err
		}
		replicas = min(len(d.cluster.Servers()), 3) | 1 // an odd number
	}
	s := d.store
	if s.stream, err = js.CreateStream(ctx, jetstream.StreamConfig{
		Name:     strings.ToUpper(strings.ReplaceAll(d.prefix, ".", "-")),
		Subjects: []string{d.subject("orders.>"), d.subject("stock.>")},
		Replicas: replicas, Storage: jetstream.FileStorage, AllowDirect: true,
	}); err != nil {
		return err
	}
	if s.consumer, err = s.stream.CreateConsumer(ctx, jetstream.ConsumerConfig{
		Durable: "worker", FilterSubject: d.subject("orders.>"), AckWait: 2 * time.Second,
	}); err != nil {
		return err
	}
	cfg := s.stream.CachedInfo().Config
	d.out.line("stream", "%s stores orders.> and stock.>, in %s, %s", cfg.Name, plural(cfg.Replicas, "replica"), cfg.Storage)
	worker := s.consumer.CachedInfo().Config
	d.out.line("consumer", "%s of orders.>, acknowledge: %s, within %s", s.consumer.Name(), worker.AckPolicy, worker.AckWait)
	if cfg.Replicas != replicas {
		return fmt.Errorf("the stream has %d replicas, want %d", cfg.Replicas, replicas)
	}
	return nil
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.Itoa(n) + " " + noun + "s"
}

// receipts publishes with message ids. One that comes again is stored once.
func receipts(ctx context.Context, d *demo) error {
	const messages = 500
	s := d.store
	latencies := make([]time.Duration, messages)
	var first jetstream.PubAck
	for i := range latencies {
		begin := time.Now()
		ack, err := s.js.Publish(ctx, d.order(), []byte(strconv.Itoa(i)), jetstream.MsgID("order-"+strconv.Itoa(i)))
		if err != nil {
			return err
		}
		latencies[i] = time.Since(begin)
		if i == 0 {
			first = ack
		}
	}
	s.orders = messages
	slices.Sort(latencies)
	d.out.line("stored", "%s messages, each with a receipt after %s (p50), %s (p99)",
		count(messages), duration(latencies[messages/2]), duration(latencies[messages*99/100]))
	again, err := s.js.Publish(ctx, d.order(), []byte("0"), jetstream.MsgID("order-0"))
	if err != nil {
		return err
	}
	d.out.line("order-0 again", "duplicate: %t, number %d as before", again.Duplicate, again.Sequence)
	info, err := s.stream.Info(ctx)
	if err != nil {
		return err
	}
	d.out.line("in the stream", "%s messages, %s bytes", count(info.State.Msgs), count(info.State.Bytes))
	if !again.Duplicate || again.Sequence != first.Sequence || info.State.Msgs != messages {
		return fmt.Errorf("published %d messages and one again: %+v, the stream has %d", messages, again, info.State.Msgs)
	}
	return nil
}

// optimistic lets two writers change the same subject. The slower one is refused,
// reads, and tries again.
func optimistic(ctx context.Context, d *demo) error {
	js, subject := d.store.js, d.stock()
	begin, err := js.Publish(ctx, subject, []byte("10"), jetstream.ExpectLastSequencePerSubject(0))
	if err != nil {
		return err
	}
	sell := func(stock, seen uint64) (uint64, error) {
		ack, err := js.Publish(ctx, subject, strconv.AppendUint(nil, stock-1, 10), jetstream.ExpectLastSequencePerSubject(seen))
		if err != nil {
			return 0, err
		}
		return ack.Sequence, nil
	}
	ann, err := sell(10, begin.Sequence)
	if err != nil {
		return err
	}
	d.out.line("Ann", "saw 10 bicycles as number %d, sold one: number %d", begin.Sequence, ann)
	_, err = sell(10, begin.Sequence)
	if !errors.Is(err, jetstream.ErrWrongLastSequence) {
		return fmt.Errorf("an update of what was old ended with: %w", err)
	}
	d.out.line("Bob", "saw the same, and is refused: ErrWrongLastSequence")
	now, err := d.store.stream.GetLastMsgForSubject(ctx, subject, jetstream.FromLeader())
	if err != nil {
		return err
	}
	stock, err := strconv.ParseUint(string(now.Data), 10, 64)
	if err != nil {
		return err
	}
	bob, err := sell(stock, now.Sequence)
	if err != nil {
		return err
	}
	d.out.line("Bob", "reads %d as number %d, sells one: number %d", stock, now.Sequence, bob)
	if now.Sequence != ann || stock != 9 {
		return fmt.Errorf("read %q as number %d after number %d", now.Data, now.Sequence, ann)
	}
	return nil
}

// consume takes the orders in three ways, one after the other, and acknowledges
// each.
func consume(ctx context.Context, d *demo) error {
	const fetched, looped = 100, 150
	s := d.store
	took := make([]int, s.orders) // how often each order was taken
	done := func(m *jetstream.Msg) error {
		n, err := strconv.Atoi(string(m.Data))
		if err != nil || n < 0 || n >= len(took) {
			return fmt.Errorf("an order %q", m.Data)
		}
		took[n]++
		return m.Ack()
	}

	for m, err := range s.consumer.Fetch(ctx, fetched, jetstream.MaxWait(5*time.Second)) {
		if err != nil {
			return err
		}
		if err := done(m); err != nil {
			return err
		}
	}
	d.out.bar("Fetch", fetched, s.orders)

	left := looped
	for m, err := range s.consumer.Messages(ctx) {
		if err != nil {
			return err
		}
		if err := done(m); err != nil {
			return err
		}
		if left--; left == 0 {
			break // what was read ahead is handed back
		}
	}
	d.out.bar("Messages", looped, s.orders)

	var failed error // the handler's, until Done
	run, err := s.consumer.Consume(func(m *jetstream.Msg) { failed = errors.Join(failed, done(m)) },
		jetstream.StopAfter(s.orders-fetched-looped))
	if err != nil {
		return err
	}
	select {
	case <-run.Done():
	case <-ctx.Done():
		run.Stop()
		return ctx.Err()
	}
	if err := errors.Join(failed, run.Err()); err != nil {
		return err
	}
	d.out.bar("Consume", s.orders-fetched-looped, s.orders)
	if i := slices.IndexFunc(took, func(n int) bool { return n != 1 }); i >= 0 {
		return fmt.Errorf("order %d was taken %d times", i, took[i])
	}
	info, err := s.settled(ctx)
	if err != nil {
		return err
	}
	d.out.line("in the end", "%d wait, %d are not acknowledged; each order was taken once", info.NumPending, info.NumAckPending)
	return nil
}

// settled waits until every order is acknowledged, up to the last of the stream:
// a server that was just restarted may count 0 to come while there are some.
// An acknowledgement that was lost with a link takes until the order came again.
func (s *store) settled(ctx context.Context) (*jetstream.ConsumerInfo, error) {
	last, err := s.stream.GetLastMsgForSubject(ctx, s.consumer.CachedInfo().Config.FilterSubject, jetstream.FromLeader())
	if err != nil {
		return nil, err
	}
	return s.until(ctx, func(i *jetstream.ConsumerInfo) bool {
		return i.NumPending == 0 && i.NumAckPending == 0 && i.AckFloor.Stream >= last.Sequence
	})
}

// until asks for the consumer until it is as f wants it.
func (s *store) until(ctx context.Context, f func(*jetstream.ConsumerInfo) bool) (*jetstream.ConsumerInfo, error) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		info, err := s.consumer.Info(ctx)
		if err == nil && f(info) {
			return info, nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, fmt.Errorf("the consumer is %+v: %w", info, errors.Join(err, ctx.Err()))
		}
	}
}
