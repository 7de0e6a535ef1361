package faults

import (
	"context"
	"encoding/binary"
	"sync/atomic"
	"testing"
	"time"

	nats "github.com/perigee-go/nats/core"
	"github.com/perigee-go/nats/orbit/natstest"
)

// TestLedgerAcrossKills sends a million messages through a server process that
// is killed and started again twice. The publisher's ledger must be exact. The
// subscriber must see no duplicate and no message out of order, and everything
// that was published after both had reconnected.
func TestLedgerAcrossKills(t *testing.T) {
	const total = 1_000_000
	srv := natstest.RunProcess(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()

	silent := nats.Logger(nil)
	sub, err := nats.Connect(ctx, srv.URL(), silent, nats.Name("subscriber"))
	if err != nil {
		t.Fatal(err)
	}
	pub, err := nats.Connect(ctx, srv.URL(), silent, nats.Name("publisher"))
	if err != nil {
		t.Fatal(err)
	}

	var last, received, duplicates atomic.Uint64
	seen := make([]bool, total+1)
	s, err := sub.Subscribe("numbers", func(m nats.Msg) {
		n := binary.BigEndian.Uint64(m.Data)
		if n <= last.Load() {
			duplicates.Add(1)
		}
		last.Store(n)
		seen[n] = true
		received.Add(1)
	}, nats.PendingLimits(-1, -1))
	if err != nil {
		t.Fatal(err)
	}
	if err := sub.Flush(ctx); err != nil {
		t.Fatal(err)
	}

	// Both back on the new server, and its interest known there.
	bothUp := func() {
		for _, nc := range []*nats.Conn{sub, pub} {
			for {
				if err := nc.Flush(ctx); err == nil {
					break
				} else if ctx.Err() != nil {
					t.Fatal(err)
				}
			}
		}
	}
	safeFrom := []uint64{1}  // first number after both were up
	unsafeFrom := []uint64{} // last number before a kill
	data := make([]byte, 128)
	kills := 0
	refused := uint64(0)
	for n := uint64(1); n <= total; n++ {
		if n == total/3 || n == 2*total/3 {
			unsafeFrom = append(unsafeFrom, n)
			kills++
			killed := make(chan error, 1)
			go func() {
				srv.Kill()
				killed <- srv.Restart()
			}()
			for done := false; !done; n++ {
				select {
				case err := <-killed:
					if err != nil {
						t.Fatal(err)
					}
					done = true
				default:
				}
				binary.BigEndian.PutUint64(data, n)
				if err := pub.Publish("numbers", data); err != nil {
					refused++
				}
			}
			bothUp()
			safeFrom = append(safeFrom, n)
		}
		binary.BigEndian.PutUint64(data, n)
		if err := pub.Publish("numbers", data); err != nil {
			t.Fatal(n, err)
		}
	}
	if err := pub.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	if err := sub.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	if err := sub.Barrier(ctx); err != nil {
		t.Fatal(err)
	}

	st := pub.Stats()
	t.Logf("publisher: accepted %d = confirmed %d + unknown %d + dropped %d + buffered %d + in flight %d; %d refused, %d kills",
		st.OutMsgs, st.OutConfirmed, st.OutUnknown, st.OutDropped, st.OutBuffered, st.OutInFlight, refused, kills)
	t.Logf("subscriber: received %d, pending %+v", received.Load(), s.Stats())
	if st.OutMsgs != st.OutConfirmed+st.OutUnknown+st.OutDropped+st.OutBuffered+st.OutInFlight {
		t.Error("the publisher's ledger does not add up")
	}
	if st.OutMsgs+refused < total {
		t.Errorf("accepted %d and refused %d of %d", st.OutMsgs, refused, total)
	}
	if d := duplicates.Load(); d != 0 {
		t.Errorf("%d messages came twice or out of order", d)
	}
	missing := 0
	ends := append(unsafeFrom[1:], total)
	_ = ends
	for i, from := range safeFrom {
		to := uint64(total)
		if i < len(unsafeFrom) {
			continue // the server died with what it had in hand
		}
		for n := from; n <= to && n < uint64(len(seen)); n++ {
			if !seen[n] {
				missing++
			}
		}
	}
	if missing != 0 {
		t.Errorf("%d messages are missing that were published after both had reconnected", missing)
	}
	for _, nc := range []*nats.Conn{pub, sub} {
		if err := nc.Drain(ctx); err != nil {
			t.Error(err)
		}
	}
}
