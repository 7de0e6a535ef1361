package natsgo

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/perigee-go/nats/tools/bench/internal/driver"
)

type store struct {
	js      jetstream.JetStream
	subject string
	sent    atomic.Uint64
}

var background = context.Background()

func (c *conn) Store(subject string, window int) (driver.Store, error) {
	s := &store{subject: subject}
	js, err := jetstream.New(c.nc, jetstream.WithPublishAsyncMaxPending(window))
	if err != nil {
		return nil, err
	}
	s.js = js
	_ = js.DeleteStream(background, driver.Stream)
	_, err = js.CreateStream(background, jetstream.StreamConfig{
		Name: driver.Stream, Subjects: []string{subject}, Storage: jetstream.MemoryStorage,
	})
	return s, err
}

func (s *store) Publish(data []byte) error {
	s.sent.Add(1)
	_, err := s.js.Publish(background, s.subject, data)
	return err
}

// PublishAsync waits for room as long as it takes; by default it gives up after
// 200 ms.
func (s *store) PublishAsync(data []byte) error {
	s.sent.Add(1)
	_, err := s.js.PublishAsync(s.subject, data)
	for errors.Is(err, jetstream.ErrTooManyStalledMsgs) {
		_, err = s.js.PublishAsync(s.subject, data)
	}
	return err
}

func (s *store) Wait() error {
	select {
	case <-s.js.PublishAsyncComplete():
	case <-time.After(time.Minute):
		return errors.New("receipts are missing after a minute")
	}
	stream, err := s.js.Stream(background, driver.Stream)
	if err != nil {
		return err
	}
	if n := stream.CachedInfo().State.Msgs; n != s.sent.Load() {
		return fmt.Errorf("%d of %d messages are stored", n, s.sent.Load())
	}
	return nil
}
