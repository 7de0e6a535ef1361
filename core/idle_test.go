package nats

import (
	"runtime/metrics"
	"testing"
	"time"

	"github.com/perigee-go/nats/core/internal/fakeserver"
	"github.com/perigee-go/nats/core/internal/figure"
)

// wakeUps is about how often goroutines of the process were given a processor so
// far: the runtime looks at one in eight.
func wakeUps() (n uint64) {
	sample := []metrics.Sample{{Name: "/sched/latencies:seconds"}}
	metrics.Read(sample)
	for _, c := range sample[0].Value.Float64Histogram().Counts {
		n += c
	}
	return 8 * n
}

// An idle connection sleeps: nothing wakes any of its goroutines, on either side
// of the fake network, but the pings.
func TestFigure24IdleConnectionSleeps(t *testing.T) {
	quiet := func(conns int, opts ...Option) (woken uint64, pings int) {
		bubble(t, func(t *testing.T) {
			n, s := fakeserver.One()
			for range conns {
				connect(t, n, opts...)
			}
			pass(time.Minute) // buffers are given back, books closed
			woken, pings = wakeUps(), len(s.Ops("PING"))
			pass(time.Hour)
			woken, pings = wakeUps()-woken, len(s.Ops("PING"))-pings
		})
		return woken, pings
	}
	const conns = 20
	// That the hour passes, and what the runtime does of its own, wakes some.
	idle, _ := quiet(0)
	without, none := quiet(conns, PingInterval(0))
	with, pings := quiet(conns)
	extra, each := max(int64(without)-int64(idle), 0), float64(with)/float64(max(pings, 1))
	if extra > 12*conns || none != 0 || pings != 360*conns || each > 100 {
		t.Errorf("in an hour: %d wake-ups without connections, %d without pings, %d with %d pings", idle, without, with, pings)
	}
	figure.Print(t, 24, "0 wake-ups besides pings", "%d idle connections in an hour: about %d wake-ups without pings; with them %d pings, about %.0f wake-ups a ping, those of the peer included",
		conns, extra, pings, each)
}
