package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	nats "github.com/perigee-go/nats/core"
)

// connect makes the connection that all acts use.
func connect(ctx context.Context, d *demo) error {
	nc, err := nats.Connect(ctx, d.url, nats.Name("perigee demo"), nats.MigrateOnLameDuck(), nats.EventHandler(d.events.record))
	if err != nil {
		return err
	}
	d.nc = nc
	info := nc.ServerInfo()
	rtt, err := nc.RTT(ctx)
	if err != nil {
		return err
	}
	d.out.line("server", "%s, nats-server %s", info.Name, info.Version)
	d.out.line("address", "%s", nc.ConnectedURL())
	d.out.line("offers", "JetStream %t, headers %t, payloads up to %s bytes", info.JetStream, info.Headers, count(int(info.MaxPayload)))
	d.out.line("round trip", "%s", duration(rtt))
	if status := nc.Status(); status != nats.StatusConnected {
		return fmt.Errorf("the connection is %s", status)
	}
	return nil
}

// publishSubscribe sends messages to a handler and looks at the order in which
// they come.
func publishSubscribe(ctx context.Context, d *demo) error {
	const messages = 100_000
	var got, misplaced int // the handler's, until Drain has returned
	sub, err := d.nc.Subscribe(d.subject("news"), func(m nats.Msg) {
		if string(m.Data) != strconv.Itoa(got) {
			misplaced++
		}
		got++
	})
	if err != nil {
		return err
	}
	subject := d.subject("news")
	begin := time.Now()
	for i := range messages {
		if err := d.nc.Publish(subject, []byte(strconv.Itoa(i))); err != nil {
			return err
		}
	}
	d.published += messages
	handed := time.Since(begin)
	if err := sub.Drain(ctx); err != nil {
		return err
	}
	arrived := time.Since(begin)
	d.out.line("published", "%s messages in %s", count(messages), duration(handed))
	d.out.line("arrived", "%s in order in %s: %s a second, there and back", count(got), duration(arrived), count(int(messages/arrived.Seconds())))
	if got != messages || misplaced > 0 {
		return fmt.Errorf("%d of %d messages arrived, %d in the wrong place", got, messages, misplaced)
	}
	return nil
}

// wildcards subscribes with * for one token and > for the rest.
func wildcards(ctx context.Context, d *demo) error {
	subjects := []string{"orders.eu.new", "orders.us.new", "orders.eu.paid", "orders.eu.berlin.new"}
	for _, want := range []struct {
		pattern string
		matches []string
	}{
		{"orders.*.new", []string{"orders.eu.new", "orders.us.new"}},
		{"orders.eu.*", []string{"orders.eu.new", "orders.eu.paid"}},
		{"orders.eu.>", []string{"orders.eu.new", "orders.eu.paid", "orders.eu.berlin.new"}},
	} {
		sub, err := d.nc.SubscribeSync(d.subject(want.pattern))
		if err != nil {
			return err
		}
		for _, subject := range subjects {
			if err := d.nc.Publish(d.subject(subject), nil); err != nil {
				return err
			}
			d.published++
		}
		var matches []string
		for range want.matches {
			m, err := sub.Next(ctx)
			if err != nil {
				return err
			}
			matches = append(matches, strings.TrimPrefix(m.Subject, d.prefix+"."))
		}
		// The server has seen all four, so a further match would be here.
		if err := d.nc.Flush(ctx); err != nil {
			return err
		}
		d.out.line(want.pattern, "%s", strings.Join(matches, ", "))
		if more := sub.Stats().PendingMsgs; more > 0 || !slices.Equal(matches, want.matches) {
			return fmt.Errorf("%s got %v and %d more, want %v", want.pattern, matches, more, want.matches)
		}
		if err := sub.Unsubscribe(); err != nil {
			return err
		}
	}
	return nil
}

// queueGroup shares messages among three members: each message goes to one.
func queueGroup(ctx context.Context, d *demo) error {
	const messages, members = 3_000, 3
	var got [members]int
	var subs [members]*nats.Subscription
	for i := range members {
		sub, err := d.nc.Subscribe(d.subject("jobs"), func(nats.Msg) { got[i]++ }, nats.Queue("workers"))
		if err != nil {
			return err
		}
		subs[i] = sub
	}
	for range messages {
		if err := d.nc.Publish(d.subject("jobs"), []byte("a job")); err != nil {
			return err
		}
	}
	d.published += messages
	// All have arrived when the server has answered, and all are handled when
	// each member is drained.
	if err := d.nc.Flush(ctx); err != nil {
		return err
	}
	sum := 0
	for i, sub := range subs {
		if err := sub.Drain(ctx); err != nil {
			return err
		}
		sum += got[i]
		d.out.bar(fmt.Sprint("member ", i+1), got[i], messages)
	}
	d.out.line("together", "%7s  of %s", count(sum), count(messages))
	if sum != messages || slices.Contains(got[:], 0) {
		return fmt.Errorf("the members got %v of %d messages", got, messages)
	}
	return nil
}

// requestReply measures requests, one after the other.
func requestReply(ctx context.Context, d *demo) error {
	const requests = 5_000
	sub, err := d.nc.Subscribe(d.subject("upper"), func(m nats.Msg) {
		// An error here would show as a request without an answer.
		_ = m.Respond([]byte(strings.ToUpper(string(m.Data))))
	})
	if err != nil {
		return err
	}
	latencies := make([]time.Duration, requests)
	var reply nats.Msg
	for i := range latencies {
		begin := time.Now()
		if reply, err = d.nc.Request(ctx, d.subject("upper"), []byte("hello")); err != nil {
			return err
		}
		latencies[i] = time.Since(begin)
		if string(reply.Data) != "HELLO" {
			return fmt.Errorf("the reply is %q", reply.Data)
		}
	}
	d.requested += requests
	d.published += requests // the replies
	slices.Sort(latencies)
	d.out.line("reply", "%s", reply.Data)
	d.out.line("latency", "p50 %s, p99 %s of %s requests", duration(latencies[requests/2]), duration(latencies[requests*99/100]), count(requests))
	return sub.Drain(ctx)
}

// noResponders asks where nobody listens: the answer does not take a timeout.
func noResponders(ctx context.Context, d *demo) error {
	begin := time.Now()
	_, err := d.nc.Request(ctx, d.subject("nobody"), nil)
	took := time.Since(begin)
	d.requested++
	if !errors.Is(err, nats.ErrNoResponders) {
		return fmt.Errorf("a request to nobody ended with: %w", err)
	}
	d.out.line("answer", "%q", strings.ReplaceAll(err.Error(), d.prefix+".", ""))
	d.out.line("after", "%s; the default timeout would be %s", duration(took), d.nc.RequestTimeout())
	return nil
}

// headers sends fields beside the payload.
func headers(ctx context.Context, d *demo) error {
	sub, err := d.nc.SubscribeSync(d.subject("parcel"), nats.AutoUnsubscribe(1))
	if err != nil {
		return err
	}
	header, err := nats.NewHeader("Trace-Id", "42", "Via", "berlin", "Via", "paris")
	if err != nil {
		return err
	}
	parcel := nats.Msg{Subject: d.subject("parcel"), Header: header, Data: []byte("contents")}
	if err := d.nc.PublishMsg(ctx, parcel); err != nil {
		return err
	}
	d.published++
	m, err := sub.Next(ctx)
	if err != nil {
		return err
	}
	for name, value := range m.Header.All() {
		d.out.line(name, "%s", value)
	}
	if !m.Equal(parcel) {
		return fmt.Errorf("what arrived is not what was sent: %+v", m)
	}

	// Anything illegal is refused before a byte leaves.
	_, err = nats.NewHeader("Trace-Id", "42\r\nEvil: yes")
	if !errors.Is(err, nats.ErrBadHeader) {
		return fmt.Errorf("a line break in a value ended with: %w", err)
	}
	d.out.line("refused", "%v", err)
	return nil
}

// drainSubscription ends a subscription while messages wait for its handler.
func drainSubscription(ctx context.Context, d *demo) error {
	const messages = 1_000
	var handled atomic.Int64
	gate := make(chan struct{})
	sub, err := d.nc.Subscribe(d.subject("tasks"), func(nats.Msg) {
		<-gate
		handled.Add(1)
	})
	if err != nil {
		return err
	}
	for range messages {
		if err := d.nc.Publish(d.subject("tasks"), nil); err != nil {
			return err
		}
	}
	d.published += messages
	if err := d.nc.Flush(ctx); err != nil {
		return err
	}
	d.out.line("before", "%s messages wait, %s are handled", count(sub.Stats().PendingMsgs), count(int(handled.Load())))
	close(gate)
	if err := sub.Drain(ctx); err != nil {
		return err
	}
	d.out.line("after", "%s messages wait, %s are handled", count(sub.Stats().PendingMsgs), count(int(handled.Load())))
	if n := handled.Load(); n != messages {
		return fmt.Errorf("drain returned with %d of %d handled", n, messages)
	}
	return nil
}
