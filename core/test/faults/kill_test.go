package faults

import (
	"encoding/binary"
	"testing"

	nats "github.com/perigee-go/nats/core"
	"github.com/perigee-go/nats/core/test/internal/ledger"
	"github.com/perigee-go/nats/orbit/natstest"
)

// numbers takes the numbered messages of a subject and keeps the books: what
// came, and whether anything came twice or out of order. The handler is its
// only writer; look after a Barrier.
type numbers struct {
	seen     []bool
	last     uint64
	received int
	twice    int
	late     int // behind one that was published after it
}

func (n *numbers) handle(m nats.Msg) {
	i := binary.BigEndian.Uint64(m.Data)
	if n.seen[i] {
		n.twice++
	} else if i < n.last {
		n.late++
	}
	n.last = i
	n.seen[i] = true
	n.received++
}

func (n *numbers) missing(from, to uint64) int {
	c := 0
	for i := from; i <= to; i++ {
		if !n.seen[i] {
			c++
		}
	}
	return c
}

// TestLedgerAcrossKills sends a million messages through a server process that
// is killed and started again twice. The publisher's ledger must be exact. The
// subscriber must see no duplicate and no message out of order, and everything
// that was published after both had reconnected.
func TestLedgerAcrossKills(t *testing.T) {
	total := uint64(1_000_000)
	if testing.Short() {
		total = 200_000
	}
	srv := natstest.RunProcess(t)
	sub := ledger.Connect(t, srv.URL(), nats.Name("subscriber"))
	pub := ledger.Connect(t, srv.URL(), nats.Name("publisher"), nats.WhenDisconnected(nats.DisconnectedBlock))
	got := numbers{seen: make([]bool, total+1)}
	if _, err := sub.Subscribe("numbers", got.handle, nats.PendingLimits(-1, -1)); err != nil {
		t.Fatal(err)
	}
	flushed := func() {
		// The last one: what the server had of the publisher is on its way to the
		// subscriber before this PONG.
		for _, nc := range []*nats.Conn{sub, pub, sub} {
			for nc.Flush(t.Context()) != nil {
				if t.Context().Err() != nil {
					t.FailNow()
				}
			}
		}
	}
	flushed()

	data := make([]byte, 128)
	n := uint64(0)
	publish := func() {
		n++
		binary.BigEndian.PutUint64(data, n)
		if err := pub.Publish("numbers", data); err != nil {
			t.Fatal(n, err)
		}
	}
	type span struct{ from, to uint64 }
	var safe []span // published between two moments at which both were connected
	from := uint64(1)
	for _, until := range []uint64{total / 3, 2 * total / 3} {
		for n < until-100 {
			publish()
		}
		flushed()
		safe = append(safe, span{from, n})
		restarted := make(chan error, 1)
		go func() {
			srv.Kill()
			restarted <- srv.Restart()
		}()
		for done := false; !done; {
			select {
			case err := <-restarted:
				if err != nil {
					t.Fatal(err)
				}
				done = true
			default:
				publish()
			}
		}
		flushed()
		from = n + 1
	}
	for n < total {
		publish()
	}
	flushed()
	safe = append(safe, span{from, n})
	if err := sub.Barrier(t.Context()); err != nil {
		t.Fatal(err)
	}

	st := pub.Stats()
	t.Logf("publisher: %d accepted = %d confirmed + %d unknown + %d dropped + %d buffered + %d in flight",
		st.OutMsgs, st.OutConfirmed, st.OutUnknown, st.OutDropped, st.OutBuffered, st.OutInFlight)
	t.Logf("subscriber: %d received", got.received)
	ledger.Sums(t, st)
	if st.OutMsgs != total || st.OutInFlight != 0 {
		t.Errorf("%+v", st)
	}
	if got.twice+got.late != 0 {
		t.Errorf("%d messages came twice, %d out of order", got.twice, got.late)
	}
	for _, s := range safe {
		if m := got.missing(s.from, s.to); m != 0 {
			t.Errorf("%d messages from %d to %d are missing, and both were connected", m, s.from, s.to)
		}
	}
	if lost := total - uint64(got.received); lost > st.OutUnknown {
		// The subscriber's side may lose more: what the old server had taken
		// and not delivered. But that is at most what was in flight to it.
		t.Logf("%d messages were confirmed to the publisher and died with the server", lost-st.OutUnknown)
	}
}
