package scenario

import (
	"errors"
	"fmt"
	"sync"

	"github.com/perigee-go/nats/tools/bench/internal/driver"
	"github.com/perigee-go/nats/tools/bench/internal/peers"
	"github.com/perigee-go/nats/tools/bench/internal/wire"
)

// Subject is what is published to.
const Subject = "bench.subject.one"

// manySubjects is how many subjects pubmany goes round.
const manySubjects = 1000

// runPublish publishes from Width goroutines on one connection to the sink and
// flushes.
func runPublish(r *run) error {
	nc, err := r.connect(r.Peers.Sink)
	if err != nil {
		return err
	}
	defer nc.Close()
	publish, err := r.publisher(nc)
	if err != nil {
		return err
	}
	count := Count(r.Size, 6, r.Scale) / r.Width * r.Width
	warmup := max(count/10/r.Width*r.Width, r.Width)
	before, err := peers.SinkBytes(r.Peers.Sink)
	if err != nil {
		return err
	}
	if err := r.publishAll(nc, publish, warmup); err != nil {
		return err
	}
	if err := r.measure(count, func() error { return r.publishAll(nc, publish, count) }); err != nil {
		return err
	}
	if r.TLS {
		return nil // the real server's PONG is the proof
	}
	after, err := peers.SinkBytes(r.Peers.Sink)
	if err != nil {
		return err
	}
	frame := wire.AppendPublish(nil, Subject, "", wire.Payload(r.Size))
	if least := int64(count+warmup) * int64(len(frame)); after-before < least {
		return fmt.Errorf("the sink got %d bytes, not %d", after-before, least)
	}
	return nil
}

// publisher returns what publishes n messages from one goroutine. The loops are
// written out so that nothing but the client's call is in them.
func (r *run) publisher(nc driver.Conn) (func(n int) error, error) {
	payload := wire.Payload(r.Size)
	switch r.Kind {
	case "pubhdr":
		return func(n int) error {
			for range n {
				if err := nc.PublishHeader(Subject, wire.HeaderKey, wire.HeaderValue, payload); err != nil {
					return err
				}
			}
			return nil
		}, nil
	case "pubhdrready":
		send, err := nc.Prepare(Subject, wire.HeaderKey, wire.HeaderValue, payload)
		return func(n int) error {
			for range n {
				if err := send(); err != nil {
					return err
				}
			}
			return nil
		}, err
	case "pubmany":
		subjects := make([]string, manySubjects)
		for i := range subjects {
			subjects[i] = fmt.Sprintf("bench.subject.%04d", i)
		}
		return func(n int) error {
			for i, k := 0, 0; i < n; i++ {
				if err := nc.Publish(subjects[k], payload); err != nil {
					return err
				}
				if k++; k == len(subjects) {
					k = 0
				}
			}
			return nil
		}, nil
	default:
		return func(n int) error {
			for range n {
				if err := nc.Publish(Subject, payload); err != nil {
					return err
				}
			}
			return nil
		}, nil
	}
}

// publishAll shares n messages among the goroutines and flushes.
func (r *run) publishAll(nc driver.Conn, publish func(int) error, n int) error {
	if r.Width == 1 {
		if err := publish(n); err != nil {
			return err
		}
		return nc.Flush()
	}
	var all sync.WaitGroup
	errs := make([]error, r.Width)
	for i := range errs {
		all.Go(func() { errs[i] = publish(n / r.Width) })
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return nc.Flush()
}
