// Package natsgo drives github.com/nats-io/nats.go.
package natsgo

import (
	"errors"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/perigee-go/nats/tools/bench/internal/driver"
)

// Driver is the client with its default options.
func Driver() driver.Driver {
	return driver.Driver{Name: "nats.go", Version: nats.Version, Connect: connect}
}

func connect(o driver.Options) (driver.Conn, error) {
	var options []nats.Option
	if o.CAFile != "" {
		options = append(options, nats.RootCAs(o.CAFile))
	}
	if !o.Bare {
		// A comparison counts only if all messages arrived.
		options = append(options, nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			panic("asynchronous error: " + err.Error())
		}))
	}
	if o.OnReconnect != nil {
		options = append(options, nats.ReconnectHandler(func(*nats.Conn) { o.OnReconnect() }))
	}
	nc, err := nats.Connect(o.URL, options...)
	if err != nil {
		return nil, err
	}
	return &conn{nc}, nil
}

type conn struct{ nc *nats.Conn }

func (c *conn) Publish(subject string, data []byte) error { return c.nc.Publish(subject, data) }

func (c *conn) PublishHeader(subject, key, value string, data []byte) error {
	return c.nc.PublishMsg(&nats.Msg{Subject: subject, Header: nats.Header{key: []string{value}}, Data: data})
}

func (c *conn) Prepare(subject, key, value string, data []byte) (func() error, error) {
	m := &nats.Msg{Subject: subject, Header: nats.Header{key: []string{value}}, Data: data}
	return func() error { return c.nc.PublishMsg(m) }, nil
}

func (c *conn) Flush() error { return c.nc.Flush() }

func (c *conn) Subscribe(subject, headerKey string, callback func([]byte)) error {
	handler := func(m *nats.Msg) { callback(m.Data) }
	if headerKey != "" {
		handler = func(m *nats.Msg) {
			if m.Header.Get(headerKey) == "" {
				panic("no header")
			}
			callback(m.Data)
		}
	}
	_, err := c.nc.Subscribe(subject, handler)
	return err
}

type syncReceiver struct{ sub *nats.Subscription }

func (r syncReceiver) Receive(n int, each func([]byte)) error {
	for range n {
		m, err := r.sub.NextMsg(10 * time.Second)
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

type chanReceiver struct{ ch chan *nats.Msg }

func (r chanReceiver) Receive(n int, each func([]byte)) error {
	for range n {
		m := <-r.ch
		each(m.Data)
	}
	return nil
}

func (c *conn) SubscribeChan(subject string, capacity int) (driver.Receiver, error) {
	ch := make(chan *nats.Msg, capacity)
	_, err := c.nc.ChanSubscribe(subject, ch)
	return chanReceiver{ch}, err
}

func (c *conn) Respond(subject, queue string) error {
	handler := func(m *nats.Msg) {
		if err := m.Respond(m.Data); err != nil && !errors.Is(err, nats.ErrConnectionClosed) {
			panic(err)
		}
	}
	var err error
	if queue != "" {
		_, err = c.nc.QueueSubscribe(subject, queue, handler)
	} else {
		_, err = c.nc.Subscribe(subject, handler)
	}
	return err
}

func (c *conn) Request(subject string, data []byte) ([]byte, error) {
	m, err := c.nc.Request(subject, data, 5*time.Second)
	if err != nil {
		return nil, err
	}
	return m.Data, nil
}

func (c *conn) State() {
	c.nc.Status()
	c.nc.Stats()
}

func (c *conn) Close() { c.nc.Close() }
