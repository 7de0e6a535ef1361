package scenario

import (
	"sync"
	"time"

	"github.com/perigee-go/nats/tools/bench/internal/driver"
	"github.com/perigee-go/nats/tools/bench/internal/wire"
)

// stallBytes is enough to fill every buffer on the way before the peer, which
// stalls after the first MiB, goes on: 64 MiB.
const stallBytes = 64 << 20

// runStall publishes to a peer that stops reading for a second. It notes the
// longest Publish, which has to wait, and the longest call that asks for the
// connection's state, which need not. The latencies are those of Publish.
func runStall(r *run) error {
	nc, err := r.client.Connect(driver.Options{URL: "nats://" + r.Peers.Stall})
	if err != nil {
		return err
	}
	defer nc.Close()
	per := stallBytes / max(r.Size, 1) / r.Width
	payload := wire.Payload(r.Size)
	latencies := make([]int64, per*r.Width)
	stop := make(chan struct{})
	longest := make(chan time.Duration, 1)
	go func() { longest <- longestState(nc, stop) }()
	err = r.measure(per*r.Width, func() error {
		var all sync.WaitGroup
		errs := make([]error, r.Width)
		for i := range errs {
			all.Go(func() { errs[i] = publishTimed(nc, payload, latencies[i*per:(i+1)*per]) })
		}
		all.Wait()
		for _, err := range errs {
			if err != nil {
				return err
			}
		}
		return nc.Flush()
	})
	close(stop)
	r.result.Add("longest-state-ms", float64(<-longest)/1e6)
	r.result.Latencies(latencies)
	r.result.Add("longest-publish-ms", float64(r.result.MaxNS)/1e6)
	return err
}

// longestState asks for the state every millisecond until stop is closed.
func longestState(nc driver.Conn, stop <-chan struct{}) (longest time.Duration) {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return longest
		case <-tick.C:
			start := time.Now()
			nc.State()
			longest = max(longest, time.Since(start))
		}
	}
}

func publishTimed(nc driver.Conn, payload []byte, latencies []int64) error {
	last := time.Now()
	for i := range latencies {
		if err := nc.Publish(Subject, payload); err != nil {
			return err
		}
		now := time.Now()
		latencies[i] = int64(now.Sub(last))
		last = now
	}
	return nil
}
