package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	nats "github.com/perigee-go/nats/core"
)

// A part is one line of the ledger.
type part struct {
	name string
	n    uint64
}

// A balance is a total and all places where its messages can be.
type balance struct {
	total part
	parts []part
}

// balances sorts the counters of a connection into the three sums.
func balances(s nats.Stats) []balance {
	return []balance{
		{part{"published", s.OutMsgs}, []part{
			{"confirmed", s.OutConfirmed},
			{"in flight", s.OutInFlight},
			{"buffered", s.OutBuffered},
			{"dropped", s.OutDropped},
			{"unknown", s.OutUnknown},
		}},
		{part{"received", s.InMsgs}, []part{
			{"delivered", s.InDelivered},
			{"replies", s.InReplies},
			{"dropped", s.InDropped},
			{"orphaned", s.InOrphaned},
			{"pending", s.InPending},
		}},
		{part{"requests", s.Requests}, []part{
			{"answered", s.Answered},
			{"no responders", s.NoResponders},
			{"timed out", s.TimedOut},
			{"cancelled", s.Cancelled},
			{"unknown", s.RequestsUnknown},
			{"open", s.RequestsOpen},
		}},
	}
}

// check returns an error for each sum that does not add up.
func check(s nats.Stats) error {
	var errs []error
	for _, b := range balances(s) {
		sum := uint64(0)
		for _, p := range b.parts {
			sum += p.n
		}
		if sum != b.total.n {
			errs = append(errs, fmt.Errorf("%s: %d, but the parts make %d", b.total.name, b.total.n, sum))
		}
	}
	return errors.Join(errs...)
}

// ledger prints what became of every message so far, and compares it with what
// the acts have counted themselves.
func ledger(ctx context.Context, d *demo) error {
	// At rest the sums are exact: nothing under way, no handler at work.
	if err := d.nc.Flush(ctx); err != nil {
		return err
	}
	if err := d.nc.Barrier(ctx); err != nil {
		return err
	}
	stats := d.nc.Stats()
	for _, b := range balances(stats) {
		d.out.sum(b.total, b.parts)
	}
	d.out.line("connections", "%d, of which %d were reconnects", stats.Connects, stats.Reconnects)
	if err := check(stats); err != nil {
		return err
	}
	if want := uint64(d.published + d.requested); stats.OutMsgs != want {
		return fmt.Errorf("published: %d, but the acts have counted %d", stats.OutMsgs, want)
	}
	if want := uint64(d.requested); stats.Requests != want {
		return fmt.Errorf("requests: %d, but the acts have counted %d", stats.Requests, want)
	}
	d.out.line("checked", "all three sums, and the acts have counted as many")
	return nil
}

// drainConnection ends the connection while messages wait for a handler, as a
// program does when it is told to stop.
func drainConnection(ctx context.Context, d *demo) error {
	const messages = 1_000
	var handled atomic.Int64
	_, err := d.nc.Subscribe(d.subject("last"), func(nats.Msg) { handled.Add(1) })
	if err != nil {
		return err
	}
	for range messages {
		if err := d.nc.Publish(d.subject("last"), nil); err != nil {
			return err
		}
	}
	if err := d.nc.Drain(ctx); err != nil {
		return err
	}
	stats := d.nc.Stats()
	d.out.line("drained", "%s published, %s handled, the connection is %s", count(messages), count(int(handled.Load())), d.nc.Status())
	d.out.line("left over", "%d", stats.OutBuffered+stats.OutInFlight+stats.InPending)
	switch {
	case handled.Load() != messages:
		return fmt.Errorf("%d of %d messages handled", handled.Load(), messages)
	case d.nc.Status() != nats.StatusClosed:
		return fmt.Errorf("the connection is %s", d.nc.Status())
	case stats.OutBuffered+stats.OutInFlight+stats.InPending != 0:
		return fmt.Errorf("something is left: %+v", stats)
	}
	return check(stats)
}
