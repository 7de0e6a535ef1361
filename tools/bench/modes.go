package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"github.com/perigee-go/nats/tools/bench/internal/driver"
	"github.com/perigee-go/nats/tools/bench/internal/wire"
)

// The modes of "nats bench" with its flag names: one client against a server
// that runs already.

// connection are the flags of every mode.
type connection struct {
	Server  string `short:"s" env:"NATS_URL" default:"nats://127.0.0.1:4222" help:"Server URLs."`
	TLSCA   string `name:"tlsca" env:"NATS_CA" placeholder:"FILE" help:"Certificate authority to trust, in PEM."`
	Driver  string `default:"perigee" help:"The client: perigee or nats.go."`
	Clients int    `default:"1" help:"Number of connections."`
	JSON    bool   `help:"Print the result as JSON."`
}

// workload are the flags of the modes that send.
type workload struct {
	Msgs       int           `default:"100000" help:"Number of messages, shared among the clients."`
	Size       byteSize      `default:"128B" help:"Size of a message."`
	Sleep      time.Duration `help:"Wait between two messages of a client." placeholder:"DURATION"`
	NoProgress bool          `help:"Do not show how far it is."`
}

// open makes the connections; closeAll closes those that were made.
func (c *connection) open() (conns []driver.Conn, closeAll func(), err error) {
	closeAll = func() {
		for _, nc := range conns {
			nc.Close()
		}
	}
	d, err := chooseDriver(c.Driver)
	if err != nil {
		return nil, closeAll, err
	}
	if c.Clients < 1 {
		return nil, closeAll, errors.New("at least one client is needed")
	}
	for range c.Clients {
		nc, err := d.Connect(driver.Options{URL: c.Server, CAFile: c.TLSCA})
		if err != nil {
			closeAll()
			return nil, func() {}, err
		}
		conns = append(conns, nc)
	}
	return conns, closeAll, nil
}

// share is how many of n messages client i of all gets.
func share(n, i, all int) int {
	k := n / all
	if i < n%all {
		k++
	}
	return k
}

type pubCommand struct {
	connection
	workload
	Subject         string `arg:"" help:"Subject to publish to."`
	MultiSubject    bool   `name:"multisubject" help:"Publish to subjects with a number at their end."`
	MultiSubjectMax int    `name:"multisubjectmax" default:"100000" help:"How many subjects."`
}

// Run publishes and flushes.
func (c *pubCommand) Run(ctx context.Context) error {
	conns, closeAll, err := c.open()
	defer closeAll()
	if err != nil {
		return err
	}
	payload := wire.Payload(int(c.Size))
	return runClients(ctx, &c.connection, &c.workload, "Pub", c.Msgs, func(i int, m *measured) error {
		nc := conns[i]
		for k := range share(c.Msgs, i, c.Clients) {
			if err := c.rest(ctx, k); err != nil {
				return err
			}
			subject := c.Subject
			if c.MultiSubject {
				subject = fmt.Sprintf("%s.%d", c.Subject, k%max(c.MultiSubjectMax, 1))
			}
			if err := nc.Publish(subject, payload); err != nil {
				return err
			}
			m.count.Add(1)
		}
		return nc.Flush()
	})
}

// rest is the sleep between two messages, and where an interrupt is noticed.
func (w *workload) rest(ctx context.Context, k int) error {
	if w.Sleep == 0 {
		if k%1024 == 0 {
			return ctx.Err()
		}
		return nil
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(w.Sleep):
		return nil
	}
}

type subCommand struct {
	connection
	workload
	Subject string `arg:"" help:"Subject to subscribe to."`
}

// Run receives; each client gets all messages. The clock of a client starts with
// its first one.
func (c *subCommand) Run(ctx context.Context) error {
	conns, closeAll, err := c.open()
	defer closeAll()
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "waiting for %d messages on %s\n", c.Msgs, c.Subject)
	return runClients(ctx, &c.connection, &c.workload, "Sub", c.Msgs*c.Clients, func(i int, m *measured) error {
		done := make(chan struct{})
		err := conns[i].Subscribe(c.Subject, "", func([]byte) {
			n := m.count.Add(1)
			if n == 1 {
				m.start = time.Now()
			}
			if n == int64(c.Msgs) {
				close(done)
			}
		})
		if err := errors.Join(err, conns[i].Flush()); err != nil {
			return err
		}
		select {
		case <-done:
		case <-ctx.Done():
			return ctx.Err()
		}
		return nil
	})
}

type serviceCommand struct {
	Serve   serveCommand   `cmd:"" help:"Answer requests with their own payload until interrupted."`
	Request requestCommand `cmd:"" help:"Make requests, one after the other in each client."`
}

type serveCommand struct {
	connection
	Subject string `arg:"" help:"Subject to answer on."`
	Queue   string `default:"bench" help:"Queue group of the clients."`
}

// Run serves until interrupted.
func (c *serveCommand) Run(ctx context.Context) error {
	conns, closeAll, err := c.open()
	defer closeAll()
	if err != nil {
		return err
	}
	for _, nc := range conns {
		if err := errors.Join(nc.Respond(c.Subject, c.Queue), nc.Flush()); err != nil {
			return err
		}
	}
	fmt.Fprintf(os.Stderr, "answering on %s with %d clients; interrupt to end\n", c.Subject, c.Clients)
	<-ctx.Done()
	return nil
}

type requestCommand struct {
	connection
	workload
	Subject string `arg:"" help:"Subject to send requests to."`
}

// Run makes requests and notes how long each took.
func (c *requestCommand) Run(ctx context.Context) error {
	conns, closeAll, err := c.open()
	defer closeAll()
	if err != nil {
		return err
	}
	payload := wire.Payload(int(c.Size))
	return runClients(ctx, &c.connection, &c.workload, "Request", c.Msgs, func(i int, m *measured) error {
		for k := range share(c.Msgs, i, c.Clients) {
			if err := c.rest(ctx, k); err != nil {
				return err
			}
			start := time.Now()
			if _, err := conns[i].Request(c.Subject, payload); err != nil {
				return err
			}
			m.latencies = append(m.latencies, int64(time.Since(start)))
			m.count.Add(1)
		}
		return nil
	})
}

// measured is what one client of a mode did.
type measured struct {
	count      atomic.Int64
	start, end time.Time
	latencies  []int64
}
