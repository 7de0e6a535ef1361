package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/perigee-go/nats/core/jetstream"
	"github.com/perigee-go/nats/orbit/natstest"
)

// A hearing keeps what sessions tell of what they have healed.
type hearing struct {
	mu    sync.Mutex
	words []error
	heard chan struct{} // a slot
}

func newHearing() *hearing { return &hearing{heard: make(chan struct{}, 1)} }

// handler is an ErrorHandler.
func (h *hearing) handler(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.words = append(h.words, err)
	select {
	case h.heard <- struct{}{}:
	default:
	}
}

// wait returns the first word that is target.
func (h *hearing) wait(ctx context.Context, target error) (error, error) {
	for {
		h.mu.Lock()
		i := slices.IndexFunc(h.words, func(err error) bool { return errors.Is(err, target) })
		if i >= 0 {
			defer h.mu.Unlock()
			return h.words[i], nil
		}
		h.mu.Unlock()
		select {
		case <-h.heard:
		case <-ctx.Done():
			return nil, fmt.Errorf("nothing was told of: %w", target)
		}
	}
}

// print is a line for each word, with how often it was told.
func (h *hearing) print(out *screen) {
	h.mu.Lock()
	defer h.mu.Unlock()
	often := make(map[string]int)
	var order []string
	for _, err := range h.words {
		words := err.Error()
		if i := strings.LastIndex(words, `": `); i >= 0 {
			words = words[i+3:]
		}
		if often[words]++; often[words] == 1 {
			order = append(order, words)
		}
	}
	for _, words := range order {
		out.line("told", "%s (%d)", words, often[words])
	}
	if len(order) == 0 {
		out.line("told", "nothing beside the loss of the link")
	}
}

// ordersDone is what a handler has done.
type ordersDone struct {
	mu    sync.Mutex
	times map[int]int
	err   error
}

func (o *ordersDone) handle(m *jetstream.Msg) {
	o.mu.Lock()
	defer o.mu.Unlock()
	n, err := strconv.Atoi(string(m.Data))
	if err != nil {
		o.err = fmt.Errorf("an order %q", m.Data)
		return
	}
	o.times[n]++
	_ = m.Ack() // if it is lost with the link, the order comes again
}

// count returns how many different orders were done, and how many a second time.
func (o *ordersDone) count() (orders, again int, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, n := range o.times {
		again += n - 1
	}
	return len(o.times), again, o.err
}

// consumeThroughRestart stops the server under a publisher and a handler, and
// starts it again. In a cluster it is the one that leads the consumer.
func consumeThroughRestart(ctx context.Context, d *demo) error {
	s := d.store
	victim := d.server
	if d.cluster != nil {
		victim = d.cluster.ConsumerLeader(s.stream.Name(), s.consumer.Name())
	}
	if victim == nil {
		d.out.line("why", "a server of yours is not ours to stop; run without -url to see this")
		return errSkipped
	}
	heard, done := newHearing(), &ordersDone{times: make(map[int]int)}
	run, err := s.consumer.Consume(done.handle, jetstream.ErrorHandler(heard.handler))
	if err != nil {
		return err
	}
	defer run.Stop()
	before := s.js.Conn().Stats().Reconnects
	published, duplicates, down, err := d.publishThrough(ctx, victim)
	if err != nil {
		return err
	}
	s.orders += published
	info, err := s.settled(ctx)
	if err != nil {
		return err
	}
	if err := run.Drain(ctx); err != nil {
		return err
	}
	orders, again, err := done.count()
	if err != nil {
		return err
	}
	stream, err := s.stream.Info(ctx, jetstream.FilterSubject(d.order()))
	if err != nil {
		return err
	}
	stored := stream.State.Subjects[d.order()]
	reconnects := int(s.js.Conn().Stats().Reconnects - before)
	d.out.line("stopped", "%s, for %s: %s of the client", victim.Name(), duration(down), plural(reconnects, "reconnect"))
	if info.Cluster != nil {
		d.out.line("leads now", "%s", info.Cluster.Leader)
	}
	d.out.line("published", "%s orders with receipts; %d were sent twice, and stored once", count(published), duplicates)
	d.out.line("done", "%s; %d came twice, their acknowledgements were lost", count(orders), again)
	heard.print(d.out)
	if orders != published || stored != uint64(s.orders) {
		return fmt.Errorf("published %d orders, %d were done; the stream has %d, want %d", published, orders, stored, s.orders)
	}
	d.out.line("lost", "0 of %s", count(published))
	return nil
}

// publishThrough publishes orders, one after the other, while the victim is
// stopped and started again.
func (d *demo) publishThrough(ctx context.Context, victim *natstest.Server) (published, duplicates int, down time.Duration, err error) {
	const each = 200 // before it, and when it is back
	s := d.store
	publish := func(until func() bool) error {
		for !until() {
			id := "later-" + strconv.Itoa(published)
			ack, err := s.js.Publish(ctx, d.order(), []byte(strconv.Itoa(published)), jetstream.MsgID(id),
				jetstream.RetryAttempts(-1), jetstream.RetryWait(50*time.Millisecond))
			if err != nil {
				return err
			}
			published++
			if ack.Duplicate {
				duplicates++
			}
		}
		return nil
	}
	if err := publish(func() bool { return published == each }); err != nil {
		return published, duplicates, 0, err
	}
	back := make(chan error, 1)
	begin := time.Now()
	go func() {
		victim.Shutdown()
		err := victim.Restart()
		down = time.Since(begin)
		back <- err
	}()
	if err = publish(func() bool { return len(back) > 0 }); err == nil {
		target := published + each
		err = publish(func() bool { return published == target })
	}
	return published, duplicates, down, errors.Join(err, <-back)
}

// madeAnew deletes the consumer and makes another one of its name while a session
// has messages waiting: the session says so, and goes on.
func madeAnew(ctx context.Context, d *demo) error {
	const ahead = 4
	s := d.store
	heard := newHearing()
	var last jetstream.PubAck
	var err error
	for i := range ahead {
		if last, err = s.js.Publish(ctx, d.order(), []byte(strconv.Itoa(i))); err != nil {
			return err
		}
	}
	rec, err := s.consumer.Receiver(jetstream.MaxMessages(ahead), jetstream.ErrorHandler(heard.handler))
	if err != nil {
		return err
	}
	defer rec.Stop()
	// All that it may read ahead is here, and it asks for no more.
	first, err := rec.Next(ctx)
	if err != nil {
		return err
	}
	if _, err := s.until(ctx, func(i *jetstream.ConsumerInfo) bool { return i.NumPending == 0 && i.NumWaiting == 0 }); err != nil {
		return err
	}
	cfg := s.consumer.CachedInfo().Config
	cfg.DeliverPolicy, cfg.OptStartSeq = jetstream.DeliverByStartSequencePolicy, last.Sequence+1
	if err := s.stream.DeleteConsumer(ctx, s.consumer.Name()); err != nil {
		return err
	}
	d.out.line("deleted", "the consumer, under a session that has read %d messages ahead", ahead)
	if _, err := s.stream.CreateConsumer(ctx, cfg); err != nil {
		return err
	}
	if _, err := s.js.Publish(ctx, d.order(), []byte("of the new one")); err != nil {
		return err
	}
	came := 1
	for m := first; string(m.Data) != "of the new one"; came++ {
		if m, err = rec.Next(ctx); err != nil {
			return err
		}
	}
	word, err := heard.wait(ctx, jetstream.ErrConsumerRecreated)
	if err != nil {
		return err
	}
	d.out.line("told", "%s", strings.TrimPrefix(word.Error(), "jetstream: "))
	d.out.line("goes on", "%d messages that were here, and those of the new one", came-1)
	if came != ahead+1 || errors.Is(word, jetstream.ErrStreamRecreated) {
		return fmt.Errorf("%d messages came, told: %w", came, word)
	}
	return check(s.js.Conn().Stats())
}
