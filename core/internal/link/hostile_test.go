package link

import (
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/perigee-go/nats/core/internal/figure"
	"github.com/perigee-go/nats/core/internal/wire"
)

// TestFigure15MemoryOfHostileInput: what a server sends and does not end is kept
// up to its limit. What it only announces is not kept at all.
func TestFigure15MemoryOfHostileInput(t *testing.T) {
	const (
		slack  = 64 << 10
		buffer = maxRead // reads that are full let the buffer of a link grow to it
	)
	worst, worstOf := -1<<30, ""
	for _, c := range []struct {
		name, start string
		length      int // of what is sent; of messages without their line
		max         int // limit of messages
		limit       int // what may be kept
	}{
		{"INFO without an end", "INFO {\"a\":\"", wire.MaxInfoLine, 0, wire.MaxInfoLine},
		{"-ERR without an end", "-ERR '", wire.MaxControlLine, 0, buffer},
		{"MSG without an end", "MSG a 1 ", wire.MaxControlLine, 0, buffer},
		{"HMSG without an end", "HMSG a 1 ", wire.MaxControlLine, 0, buffer},
		{"PING without an end", "PING" + strings.Repeat(" ", 8), wire.MaxControlLine, 0, buffer},
		{"64 MiB announced", "MSG a 1 67108864\r\n", 100, 0, maxAhead},
		{"64 MiB announced, header and all", "HMSG a 1 67108864 67108864\r\n", 100, 0, maxAhead},
		{"nearly all of 4 MiB", "MSG a 1 4194304\r\n", 4<<20 - 1, 4 << 20, 4<<20 + buffer},
		{"nearly all of 200 KiB", "MSG a 1 204800\r\n", 200<<10 - 1, 0, buffer},
	} {
		filler := "x"
		if strings.HasPrefix(c.name, "PING") {
			filler = " "
		}
		rest := strings.Repeat(filler, c.length)
		line := strings.HasSuffix(c.name, "without an end")
		if line {
			rest = rest[len(c.start):]
		}
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t)
			r.cfg.MaxPayload = c.max
			r.start()
			before := heap()
			r.srv.send(c.start)
			for at := 0; at < len(rest); at += 1000 {
				r.srv.send(rest[at:min(at+1000, len(rest))])
				synctest.Wait()
			}
			above := heap() - before - c.limit
			if above > slack {
				t.Errorf("%s: %d bytes above the limit of %d are kept", c.name, above, c.limit)
			}
			if above > worst {
				worst, worstOf = above, c.name
			}
			select {
			case <-r.l.Ended():
				t.Errorf("%s: refused before its limit", c.name)
			default:
			}
			if line {
				r.srv.send(strings.Repeat(filler, 200))
				if err := r.reason(); !isViolation(err) {
					t.Errorf("%s: %v", c.name, err)
				}
			}
			r.l.End(io.ErrClosedPipe)
			_ = r.l.Wait()
			_ = r.srv.sim.Close()
		})
	}
	figure.Print(t, 15, "at most 64 KiB above the limit of what is sent", "%d bytes above it at worst (%s)", worst, worstOf)
}

// heap is what is kept.
func heap() int {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

// passer takes large messages on the usual way only.
type passer struct{ sink }

func (p *passer) Room([]byte, int, *wire.Frame) (int, bool) { return 0, false }

// A message that is far longer than any line arrives also when the sink does not
// want it in memory of its own.
func TestLargeMessageInTheBuffer(t *testing.T) {
	for _, size := range []int{1 << 20, 3 << 20, 9 << 20} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t)
			p := new(passer)
			r.cfg.Sink = p
			r.start()
			body := strings.Repeat("0123456789abcdef", size/16)
			go r.srv.send(fmt.Sprintf("MSG a 1 %d\r\n%s\r\nMSG b 2 1\r\nx\r\n", size, body))
			synctest.Wait()
			want := []string{fmt.Sprintf("MSG a 1  %q %s", "", digest([]byte(body))), `MSG b 2  "" x`}
			if got := p.take(); !slices.Equal(got, want) {
				t.Errorf("%d bytes: %q, want %q", size, got, want)
			}
			r.l.End(io.ErrClosedPipe)
			_ = r.l.Wait()
			_ = r.srv.sim.Close()
		})
	}
}
