package outbox

import (
	"errors"
	"testing"
)

func TestHoldAndChange(t *testing.T) {
	for _, closing := range []string{"in good order", "the old link is lost"} {
		o := New(Config{Limit: 1000, DownLimit: 100, Policy: Fail})
		o.Attach(1, nil, nil)
		o.Open(1)
		if o.Hold(2, nil, nil) {
			t.Fatal("held for another link")
		}
		_, _ = o.Publish("a", "", "", []byte("1"))
		b := o.Take(1) // the writer is at it
		_, _ = o.Publish("a", "", "", []byte("2"))
		at, _, _ := o.Request("r", "i", "", nil)
		done := make(chan Pong, 1)
		if !o.Hold(1, []byte("UNSUB 1\r\n"), done) || o.Hold(1, nil, nil) {
			t.Fatal("Hold is wrong")
		}
		// What comes now waits: publishes are kept, the rest is told to wait.
		if retry, err := o.Publish("a", "", "", []byte("3")); retry != nil || err != nil {
			t.Fatal(retry, err)
		}
		_, retry, err := o.Request("r", "i", "", nil)
		if retry == nil || err != nil {
			t.Fatal(retry, err)
		}
		if err := o.Ping(make(chan Pong, 1)); !errors.Is(err, ErrHeld) {
			t.Fatal(err)
		}
		if full, err := o.Publish("a", "", "", make([]byte, 200)); full == nil || err != nil {
			t.Fatal(full, err)
		}
		flows := o.Flows()
		o.Control(1, []byte("SUB late 9\r\n")) // the new link is told of it

		if string(b) != "PUB a 1\r\n1\r\n" {
			t.Fatalf("%q", b)
		}
		o.Wrote(2)
		want := "PUB a 1\r\n2\r\nPUB r i 0\r\n\r\nUNSUB 1\r\nPING\r\n"
		if b := string(o.Take(3)); b != want || at.Start != 25-1 {
			t.Fatalf("%q, request at %d", b, at.Start)
		}
		var withdrawn []uint64
		unknown := uint64(0)
		if closing == "in good order" {
			o.Wrote(4)
			if b := o.Take(5); b != nil {
				t.Fatalf("%q", b)
			}
			o.Pong(1, 6)
			if p := <-done; p.Err != nil {
				t.Fatal(p.Err)
			}
			if c := o.Counts(); c.Confirmed != 3 || c.Buffered != 1 {
				t.Fatalf("%+v", c)
			}
		} else {
			o.Failed(15)
			unknown = 2 // 1, and 2 of which the last byte left
		}
		select {
		case <-flows:
			t.Fatal("flows")
		default:
		}
		_, dropped, lost := o.Change(Change{Epoch: 2, Lines: []byte("SUB x 5\r\n"), Pongs: 1, Capacity: 50, Resume: true,
			Withdraw: func(start uint64) bool { withdrawn = append(withdrawn, start); return start == at.Start }})
		<-flows
		<-retry
		if dropped != 0 || lost != unknown {
			t.Errorf("%s: %d dropped, %d unknown", closing, dropped, lost)
		}
		if b := string(o.Take(7)); b != "SUB x 5\r\nPUB a 1\r\n3\r\n" {
			t.Errorf("%s: %q", closing, b)
		}
		o.Wrote(8)
		// The first PONG is for a PING that another outbox made.
		next := make(chan Pong, 1)
		_ = o.Ping(next)
		o.Take(9)
		o.Wrote(10)
		if o.Pong(2, 11); len(next) != 0 {
			t.Error("somebody else's PONG was taken")
		}
		if o.Pong(2, 12); len(next) != 1 {
			t.Error("no PONG")
		}
		c := o.Counts()
		if closing == "in good order" && (c.Confirmed != 4 || len(withdrawn) != 1) || c.Accepted != c.Confirmed+c.Unknown+c.Dropped {
			t.Errorf("%s: %+v, asked at %v", closing, c, withdrawn)
		}
	}
}

// TestSurrender: the outbox of a link that is to take over gives what it has.
func TestSurrender(t *testing.T) {
	o := New(Config{})
	o.Attach(7, nil, nil)
	o.Open(7)
	_ = o.Ping(make(chan Pong, 1))
	o.Take(1)
	o.Wrote(2)
	waits := make(chan Pong, 1)
	_ = o.Ping(waits)
	o.Control(7, []byte("SUB a 1\r\n"))
	lines, pongs := o.Surrender()
	if string(lines) != "PING\r\nSUB a 1\r\n" || pongs != 2 || !errors.Is((<-waits).Err, ErrDown) {
		t.Errorf("%q, %d PONGs", lines, pongs)
	}
	o.Nudge()
	<-o.Wake()
	if b := o.Take(3); b != nil {
		t.Errorf("%q", b)
	}
	if _, d, u := o.Change(Change{Epoch: 1}); d != 0 || u != 0 {
		t.Error("changed after its end")
	}
}
