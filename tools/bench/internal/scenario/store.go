package scenario

import (
	"errors"
	"sync"

	"github.com/perigee-go/nats/tools/bench/internal/driver"
	"github.com/perigee-go/nats/tools/bench/internal/wire"
)

// storeSubject is what the stream listens to.
const storeSubject = "bench.store"

// runStore publishes to a stream in memory: Width at a time that wait for their
// receipts, or one after the other with Width receipts outstanding.
func runStore(r *run) error {
	nc, err := r.connectServer()
	if err != nil {
		return err
	}
	defer nc.Close()
	window := r.Width
	if r.Kind == "jspub" {
		window = 1
	}
	s, err := nc.Store(storeSubject, window)
	if err != nil {
		return err
	}
	store, count := r.storeAsync, Count(r.Size, 0.4, r.Scale)
	if r.Kind == "jspub" {
		store, count = r.storeEach, RequestCount(r.Spec, r.Scale)
	}
	if err := store(s, max(count/10/r.Width, 1)*r.Width); err != nil {
		return err
	}
	return r.measure(count, func() error { return store(s, count) })
}

func (r *run) storeAsync(s driver.Store, n int) error {
	payload := wire.Payload(r.Size)
	for range n {
		if err := s.PublishAsync(payload); err != nil {
			return err
		}
	}
	return s.Wait()
}

func (r *run) storeEach(s driver.Store, n int) error {
	payload := wire.Payload(r.Size)
	var all sync.WaitGroup
	errs := make([]error, r.Width)
	for i := range errs {
		all.Go(func() {
			for range n / r.Width {
				if err := s.Publish(payload); err != nil {
					errs[i] = err
					return
				}
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}
