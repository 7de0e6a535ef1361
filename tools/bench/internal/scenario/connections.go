package scenario

import (
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/perigee-go/nats/tools/bench/internal/driver"
	"github.com/perigee-go/nats/tools/bench/internal/peers"
)

// runResubscribe measures how long it takes to make Width subscriptions, and
// then loses the connection. What the client sends again is timed by the peer,
// from the new connection's start to the flush after the subscriptions, so that
// the client's policy of waiting before it dials does not count.
func runResubscribe(r *run) error {
	back := make(chan struct{}, 8)
	nc, err := r.client.Connect(driver.Options{
		URL:         "nats://" + r.Peers.Firehose,
		OnReconnect: func() { back <- struct{}{} },
	})
	if err != nil {
		return err
	}
	defer nc.Close()
	subjects := make([]string, r.Width)
	for i := range subjects {
		subjects[i] = fmt.Sprintf("resub.subject.%06d", i)
	}
	before := heapAlloc()
	err = r.measure(r.Width, func() error {
		for _, subject := range subjects {
			if err := nc.Subscribe(subject, "", func([]byte) {}); err != nil {
				return err
			}
		}
		return nc.Flush()
	})
	if err != nil {
		return err
	}
	r.result.Add("held-B/sub", (float64(heapAlloc())-float64(before))/float64(r.Width))
	return r.reconnect(nc, back)
}

func (r *run) reconnect(nc driver.Conn, back <-chan struct{}) error {
	writes, counted := writeCalls()
	cpu := processUsage()
	if err := nc.Publish(peers.DropSubject, nil); err != nil {
		return err
	}
	select {
	case <-back:
	case <-time.After(patience):
		return errors.New("no reconnect")
	}
	if err := nc.Flush(); err != nil {
		return err
	}
	after := processUsage()
	subs, took, err := peers.Subscriptions(r.Peers.Firehose)
	if err != nil {
		return err
	}
	if int(subs) != r.Width {
		return fmt.Errorf("%d subscriptions after the reconnect, not %d", subs, r.Width)
	}
	r.result.Add("resub-ms", float64(took)/1e6)
	r.result.Add("resub-cpu-ms", float64(after.user+after.sys-cpu.user-cpu.sys)/1e6)
	if counted {
		now, _ := writeCalls()
		r.result.Add("resub-writes", float64(now-writes))
	}
	return nil
}

// runIdle opens Width connections, looks at what they hold and then at how often
// they wake up. What is measured as messages is the connecting.
func runIdle(r *run) error {
	heap, goroutines := heapAlloc(), runtime.NumGoroutine()
	var before runtime.MemStats
	runtime.ReadMemStats(&before)
	conns := make([]driver.Conn, 0, r.Width)
	defer func() {
		for _, nc := range conns {
			nc.Close()
		}
	}()
	err := r.measure(r.Width, func() error {
		for range r.Width {
			nc, err := r.client.Connect(driver.Options{URL: r.Server, Bare: true})
			if err != nil {
				return err
			}
			conns = append(conns, nc)
		}
		return nil
	})
	if err != nil {
		return err
	}
	width := float64(r.Width)
	settle := time.Duration(min(2, 6*r.Scale) * float64(time.Second)) // buffers are given back, first pings are over
	time.Sleep(settle)
	r.result.Add("heap-KiB/conn", (float64(heapAlloc())-float64(heap))/width/1024)
	var after runtime.MemStats
	runtime.ReadMemStats(&after)
	r.result.Add("stack-KiB/conn", (float64(after.StackInuse)-float64(before.StackInuse))/width/1024)
	r.result.Add("goroutines/conn", float64(runtime.NumGoroutine()-goroutines)/width)
	r.addQuiet(width)
	return nil
}

// addQuiet watches the connections do nothing for longer than their usual pings
// take to come round.
func (r *run) addQuiet(width float64) {
	watch := time.Duration(min(12, 36*r.Scale) * float64(time.Second))
	cpu := processUsage()
	start := time.Now()
	time.Sleep(watch)
	seconds := time.Since(start).Seconds()
	now := processUsage()
	r.result.Add("idle-cpu-us/s/conn", float64(now.user+now.sys-cpu.user-cpu.sys)/1e3/seconds/width)
	r.result.Add("idle-wakeups/s/conn", float64(now.switches-cpu.switches)/seconds/width)
}
