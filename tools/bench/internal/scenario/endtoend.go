package scenario

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/perigee-go/nats/tools/bench/internal/driver"
	"github.com/perigee-go/nats/tools/bench/internal/wire"
)

// pair is two connections to a server: one publishes, one subscribes.
func (r *run) pair() (pub, sub driver.Conn, closeBoth func(), err error) {
	if pub, err = r.connectServer(); err != nil {
		return nil, nil, nil, err
	}
	if sub, err = r.connectServer(); err != nil {
		pub.Close()
		return nil, nil, nil, err
	}
	return pub, sub, func() { pub.Close(); sub.Close() }, nil
}

// runEndToEnd publishes on one connection and receives on the other, never more
// than a window apart.
func runEndToEnd(r *run) error {
	pub, sub, closeBoth, err := r.pair()
	if err != nil {
		return err
	}
	defer closeBoth()
	var got, total atomic.Int64
	done := make(chan struct{}, 1)
	err = sub.Subscribe(Subject, "", func([]byte) {
		if got.Add(1) == total.Load() {
			done <- struct{}{}
		}
	})
	if err := errors.Join(err, sub.Flush()); err != nil {
		return err
	}
	payload := wire.Payload(r.Size)
	window := int64(Window(r.Size))
	work := func(n int) error {
		got.Store(0)
		total.Store(int64(n))
		for i := range int64(n) {
			if i%64 == 0 || window < 64 {
				if err := WaitWindow(&got, i, window); err != nil {
					return err
				}
			}
			if err := pub.Publish(Subject, payload); err != nil {
				return err
			}
		}
		return wait(done, got.Load, n)
	}
	count := Count(r.Size, 2, r.Scale)
	if err := work(count / 10); err != nil {
		return err
	}
	return r.measure(count, func() error { return work(count) })
}

// WaitWindow waits until what was sent is at most a window ahead of what was
// received.
func WaitWindow(got *atomic.Int64, sent, window int64) error {
	if sent-got.Load() <= window {
		return nil
	}
	for deadline := time.Now().Add(patience); sent-got.Load() > window; {
		if time.Now().After(deadline) {
			return fmt.Errorf("stuck at %d of %d messages", got.Load(), sent)
		}
		time.Sleep(50 * time.Microsecond)
	}
	return nil
}

// stamped measures how old messages are that carry the time of their sending.
type stamped struct {
	start time.Time
	mu    sync.Mutex
	ages  []int64
	want  int
	done  chan struct{}
}

func newStamped(want int) *stamped {
	return &stamped{start: time.Now(), ages: make([]int64, 0, want), want: want, done: make(chan struct{}, 1)}
}

func (s *stamped) stamp(payload []byte) {
	binary.LittleEndian.PutUint64(payload, uint64(time.Since(s.start)))
}

func (s *stamped) take(payload []byte) {
	age := int64(time.Since(s.start)) - int64(binary.LittleEndian.Uint64(payload))
	s.mu.Lock()
	s.ages = append(s.ages, age)
	full := len(s.ages) == s.want
	s.mu.Unlock()
	if full {
		s.done <- struct{}{}
	}
}

func (s *stamped) count() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return int64(len(s.ages))
}

// latencyBurst is how many messages are sent at each tick of a millisecond.
const latencyBurst = 10

// runLatency sends at a low rate and measures how long messages are under way.
func runLatency(r *run) error {
	pub, sub, closeBoth, err := r.pair()
	if err != nil {
		return err
	}
	defer closeBoth()
	count := Count(r.Size, 0.01, r.Scale) / latencyBurst * latencyBurst
	in := newStamped(count)
	if err := errors.Join(sub.Subscribe(Subject, "", in.take), sub.Flush()); err != nil {
		return err
	}
	payload := wire.Payload(max(r.Size, 8))
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	err = r.measure(count, func() error {
		for i := range count {
			if i%latencyBurst == 0 {
				<-tick.C
			}
			in.stamp(payload)
			if err := pub.Publish(Subject, payload); err != nil {
				return err
			}
		}
		return wait(in.done, in.count, count)
	})
	r.result.Latencies(in.ages)
	return err
}

// The fair scenario: rounds of one message to each subscription, of which the
// first gets few and blocks at each.
const (
	fairSubs   = 16
	fairRounds = 300
	fairBlock  = time.Second
)

// runFair measures the latency of the subscriptions whose neighbour is blocked.
func runFair(r *run) error {
	pub, sub, closeBoth, err := r.pair()
	if err != nil {
		return err
	}
	defer closeBoth()
	const count = fairRounds * (fairSubs - 1)
	in := newStamped(count)
	for i := range fairSubs {
		take := in.take
		if i == 0 {
			take = func([]byte) { time.Sleep(fairBlock) }
		}
		if err := sub.Subscribe(fairSubject(i), "", take); err != nil {
			return err
		}
	}
	if err := sub.Flush(); err != nil {
		return err
	}
	err = r.measure(count, func() error {
		if err := publishFair(pub, in); err != nil {
			return err
		}
		return wait(in.done, in.count, count)
	})
	r.result.Latencies(in.ages)
	return err
}

func fairSubject(i int) string { return fmt.Sprintf("fair.%02d", i) }

func publishFair(pub driver.Conn, in *stamped) error {
	payload := make([]byte, 16)
	for round := range fairRounds {
		time.Sleep(time.Millisecond)
		for i := range fairSubs {
			if i == 0 && round%100 != 10 {
				continue
			}
			in.stamp(payload)
			if err := pub.Publish(fairSubject(i), payload); err != nil {
				return err
			}
		}
	}
	return nil
}
