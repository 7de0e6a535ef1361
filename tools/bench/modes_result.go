package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/perigee-go/nats/tools/bench/internal/scenario"
	"github.com/perigee-go/nats/tools/bench/internal/stats"
)

// byteSize is a number of bytes, as in 128, 128B, 4KB or 1MiB. As in the tools
// for NATS a K is 1,024.
type byteSize int

// UnmarshalText reads one from the command line.
func (b *byteSize) UnmarshalText(text []byte) error {
	s := strings.ToUpper(string(text))
	digits := strings.TrimRight(s, "KMIB")
	factor, ok := map[string]int{"": 1, "B": 1, "K": 1 << 10, "KB": 1 << 10, "KIB": 1 << 10, "M": 1 << 20, "MB": 1 << 20, "MIB": 1 << 20}[s[len(digits):]]
	n, err := strconv.Atoi(digits)
	if !ok || err != nil || n < 0 {
		return fmt.Errorf("%q is not a size such as 128, 128B or 4KB", text)
	}
	*b = byteSize(n * factor)
	return nil
}

// runClients runs one goroutine a client, shows how far they are, and prints
// what they did.
func runClients(ctx context.Context, c *connection, w *workload, mode string, total int, work func(i int, m *measured) error) error {
	if w.Msgs < 1 {
		return errors.New("at least one message is needed")
	}
	all := make([]*measured, c.Clients)
	for i := range all {
		all[i] = &measured{}
	}
	stop := showCount(all, total, w.NoProgress)
	errs := make([]error, c.Clients)
	start := time.Now()
	var running sync.WaitGroup
	for i, m := range all {
		running.Go(func() {
			m.start = time.Now()
			errs[i] = work(i, m)
			m.end = time.Now()
		})
	}
	running.Wait()
	stop()
	if mode == "Sub" { // before the first message nothing was measured
		start = all[0].start
		for _, m := range all {
			if m.start.Before(start) {
				start = m.start
			}
		}
	}
	if err := errors.Join(errs...); err != nil && ctx.Err() == nil {
		return err
	}
	return printMode(summarizeMode(mode, c, w, all, time.Since(start)), c.JSON)
}

// modeResult is the result of a mode.
type modeResult struct {
	Mode          string       `json:"mode"`
	Driver        string       `json:"driver"`
	Clients       int          `json:"clients"`
	Msgs          int64        `json:"msgs"`
	Size          int          `json:"size"`
	Seconds       float64      `json:"seconds"`
	MsgsPerSecond float64      `json:"msgs_per_second"`
	PerClient     stats.Range  `json:"per_client"`
	Latency       *modeLatency `json:"latency,omitempty"`
	rates         []float64    // of the clients
}

type modeLatency struct {
	P50, P99, P999, Max time.Duration
}

func summarizeMode(mode string, c *connection, w *workload, all []*measured, took time.Duration) modeResult {
	r := modeResult{Mode: mode, Driver: c.Driver, Clients: c.Clients, Size: int(w.Size), Seconds: took.Seconds()}
	var latencies []int64
	for _, m := range all {
		r.Msgs += m.count.Load()
		r.rates = append(r.rates, float64(m.count.Load())/m.end.Sub(m.start).Seconds())
		latencies = append(latencies, m.latencies...)
	}
	r.MsgsPerSecond = float64(r.Msgs) / took.Seconds()
	r.PerClient = stats.RangeOf(r.rates)
	if len(latencies) > 0 {
		var l scenario.Result
		l.Latencies(latencies)
		r.Latency = &modeLatency{time.Duration(l.P50NS), time.Duration(l.P99NS), time.Duration(l.P999NS), time.Duration(l.MaxNS)}
	}
	return r
}

func printMode(r modeResult, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(os.Stdout).Encode(r)
	}
	fmt.Printf("%s, %s, %d clients: %s msgs in %.3fs: %s msgs/sec ~ %.2f MiB/sec\n", r.Mode, r.Driver, r.Clients,
		scenario.Thousands(int(r.Msgs)), r.Seconds, scenario.Thousands(int(r.MsgsPerSecond)), r.MsgsPerSecond*float64(r.Size)/(1<<20))
	if len(r.rates) > 1 {
		for i, rate := range r.rates {
			fmt.Printf("  [%d] %s msgs/sec\n", i+1, scenario.Thousands(int(rate)))
		}
		fmt.Printf("  min %s | median %s | max %s msgs/sec\n", scenario.Thousands(int(r.PerClient.Min)),
			scenario.Thousands(int(r.PerClient.Median)), scenario.Thousands(int(r.PerClient.Max)))
	}
	if l := r.Latency; l != nil {
		fmt.Printf("  latency p50 %v | p99 %v | p99.9 %v | max %v\n", l.P50, l.P99, l.P999, l.Max)
	}
	return nil
}

// showCount shows on a terminal how many messages are done, until stop.
func showCount(all []*measured, total int, off bool) (stop func()) {
	p := newProgress(os.Stderr, off)
	if off || !p.terminal {
		return func() {}
	}
	done := make(chan struct{})
	var shown sync.WaitGroup
	shown.Go(func() {
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-done:
				p.clear()
				return
			case <-tick.C:
				var n int64
				for _, m := range all {
					n += m.count.Load()
				}
				fmt.Fprintf(p.to, "%s%s of %s messages", clearLine, scenario.Thousands(int(n)), scenario.Thousands(total))
			}
		}
	})
	return func() { close(done); shown.Wait() }
}
