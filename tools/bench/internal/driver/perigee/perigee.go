// Package perigee drives github.com/perigee-go/nats/core.
package perigee

import (
	"context"
	"errors"

	nats "github.com/perigee-go/nats/core"

	"github.com/perigee-go/nats/tools/bench/internal/driver"
)

// Driver is the client with its default options.
func Driver() driver.Driver {
	return driver.Driver{Name: "perigee", Version: nats.Version, Connect: connector()}
}

// OnReader is the client with callbacks that run on the reader goroutine and
// borrow the message: an option for those who need the last factor.
func OnReader() driver.Driver {
	return driver.Driver{Name: "perigee-onreader", Version: nats.Version, Connect: connector(nats.OnReader())}
}

var background = context.Background()

func connector(subOptions ...nats.SubOption) func(driver.Options) (driver.Conn, error) {
	return func(o driver.Options) (driver.Conn, error) {
		var options []nats.Option
		if o.CAFile != "" {
			options = append(options, nats.RootCAs(o.CAFile))
		}
		if !o.Bare {
			options = append(options, nats.EventHandler(watch(o.OnReconnect)))
		}
		nc, err := nats.Connect(background, o.URL, options...)
		if err != nil {
			return nil, err
		}
		return &conn{nc: nc, subOptions: subOptions}, nil
	}
}

// watch fails the run when a message is lost: a comparison counts only if all
// messages arrived.
func watch(onReconnect func()) func(*nats.Conn, nats.Event) {
	return func(_ *nats.Conn, e nats.Event) {
		switch e.(type) {
		case nats.SlowConsumer, nats.AsyncError:
			panic("asynchronous error: " + e.String())
		case nats.Reconnected:
			if onReconnect != nil {
				onReconnect()
			}
		}
	}
}

type conn struct {
	nc         *nats.Conn
	subOptions []nats.SubOption
}

func (c *conn) Publish(subject string, data []byte) error { return c.nc.Publish(subject, data) }

func (c *conn) PublishHeader(subject, key, value string, data []byte) error {
	h, err := nats.NewHeader(key, value)
	if err != nil {
		return err
	}
	return c.nc.PublishMsg(background, nats.Msg{Subject: subject, Header: h, Data: data})
}

func (c *conn) Prepare(subject, key, value string, data []byte) (func() error, error) {
	h, err := nats.NewHeader(key, value)
	m := nats.Msg{Subject: subject, Header: h, Data: data}
	return func() error { return c.nc.PublishMsg(background, m) }, err
}

func (c *conn) Flush() error { return c.nc.Flush(background) }

func (c *conn) Subscribe(subject, headerKey string, callback func([]byte)) error {
	handler := func(m nats.Msg) { callback(m.Data) }
	if headerKey != "" {
		handler = func(m nats.Msg) {
			if m.Header.Get(headerKey) == "" {
				panic("no header")
			}
			callback(m.Data)
		}
	}
	_, err := c.nc.Subscribe(subject, handler, c.subOptions...)
	return err
}

type syncReceiver struct{ sub *nats.Subscription }

func (r syncReceiver) Receive(n int, each func([]byte)) error {
	for range n {
		m, err := r.sub.Next(background)
		if err != nil {
			return err
		}
		each(m.Data)
	}
	return nil
}

func (c *conn) SubscribeSync(subject string) (driver.Receiver, error) {
	sub, err := c.nc.SubscribeSync(subject)
	return syncReceiver{sub}, err
}

type chanReceiver struct{ ch chan nats.Msg }

func (r chanReceiver) Receive(n int, each func([]byte)) error {
	for range n {
		m := <-r.ch
		each(m.Data)
	}
	return nil
}

func (c *conn) SubscribeChan(subject string, capacity int) (driver.Receiver, error) {
	ch := make(chan nats.Msg, capacity)
	_, err := c.nc.SubscribeChan(subject, ch)
	return chanReceiver{ch}, err
}

func (c *conn) Respond(subject, queue string) error {
	var options []nats.SubOption
	if queue != "" {
		options = append(options, nats.Queue(queue))
	}
	_, err := c.nc.Subscribe(subject, func(m nats.Msg) {
		if err := m.Respond(m.Data); err != nil && !errors.Is(err, nats.ErrClosed) {
			panic(err)
		}
	}, options...)
	return err
}

func (c *conn) Request(subject string, data []byte) ([]byte, error) {
	m, err := c.nc.Request(background, subject, data)
	if err != nil {
		return nil, err
	}
	return m.Data, nil
}

func (c *conn) State() {
	c.nc.Status()
	c.nc.Stats()
}

func (c *conn) Close() { _ = c.nc.Close() } // measured runs have flushed
