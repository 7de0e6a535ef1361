package sim

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestWorldOrder(t *testing.T) {
	w := NewWorld(1, 0)
	var got []string
	say := func(s string) func() {
		return func() { got = append(got, fmt.Sprint(s, w.Now())) }
	}
	w.At(2*time.Second, say("c"))
	w.At(time.Second, say("a"))
	w.At(time.Second, say("b"))
	stopped := w.At(time.Second, say("never"))
	w.At(time.Second, func() { w.After(-5, say("at once")) })
	w.At(time.Hour, say("too late"))
	if !stopped.Stop() || stopped.Stop() || (*Timer)(nil).Stop() {
		t.Error("Stop")
	}
	w.Run(time.Minute)
	if want := "[a1s b1s at once1s c2s]"; fmt.Sprint(got) != want || w.Now() != time.Minute {
		t.Errorf("%v at %v, want %s", got, w.Now(), want)
	}
	w.After(time.Second, func() { w.Fail("broken %d", 7); w.Fail("again") })
	w.After(2*time.Second, say("after the end"))
	w.Run(time.Hour)
	if err := w.Err(); err == nil || err.Error() != "at 1m1s: broken 7" || len(got) != 4 {
		t.Errorf("%v, %v", err, got)
	}
}

func TestTraceHash(t *testing.T) {
	hash := func(f func(w *World)) uint64 {
		w := NewWorld(1, 0)
		f(w)
		return w.Hash()
	}
	seen := make(map[uint64]bool)
	for _, f := range []func(w *World){
		func(w *World) { w.Trace("a", 1, 2) },
		func(w *World) { w.Trace("a", 2, 1) },
		func(w *World) { w.Trace("b", 1, 2) },
		func(w *World) { w.Run(1); w.Trace("a", 1, 2) },
		func(w *World) { w.Trace("a", 1, 2); w.Trace("a", 1, 2) },
	} {
		if h := hash(f); seen[h] || h != hash(f) {
			t.Errorf("%x", h)
		} else {
			seen[h] = true
		}
	}
}

// talk sends some lines and lets something happen meanwhile.
func talk(trouble func(w *World, c *Conn)) (got string, ends []error, w *World) {
	w = NewWorld(3, 0)
	c := NewConn(w, 1, time.Millisecond)
	c.Up.Receive = func(b []byte) { got += string(b) }
	c.Up.Closed = func(err error) { ends = append(ends, err) }
	c.Up.Broken = func(err error) { ends = append(ends, err) }
	for i := range 10 {
		w.At(time.Duration(i)*time.Second, func() { _, _ = c.Up.Write(fmt.Appendf(nil, "%d", i)) })
	}
	w.At(4500*time.Millisecond, func() { trouble(w, c) })
	w.Run(time.Minute)
	return got, ends, w
}

func TestConn(t *testing.T) {
	for name, c := range map[string]struct {
		trouble func(w *World, c *Conn)
		got     string
		ends    []error
	}{
		"nothing":   {func(*World, *Conn) {}, "0123456789", nil},
		"reset":     {func(_ *World, c *Conn) { c.Reset() }, "01234", []error{ErrReset, ErrReset}},
		"end":       {func(_ *World, c *Conn) { c.Up.Close() }, "01234", []error{ErrEOF}},
		"cut":       {func(_ *World, c *Conn) { c.Up.CutAfter(2, c.Reset) }, "0123456", []error{ErrReset, ErrReset}},
		"stall":     {func(_ *World, c *Conn) { c.Up.Stall(true) }, "01234", nil},
		"half-open": {func(_ *World, c *Conn) { c.BlackHole() }, "01234", nil},
		"stall that ends": {func(w *World, c *Conn) {
			c.Up.Stall(true)
			w.After(2*time.Second, func() { c.Up.Stall(false) })
		}, "0123456789", nil},
		"half-open, then healed": {func(w *World, c *Conn) {
			c.BlackHole()
			w.After(2*time.Second, c.Heal)
		}, "01234", []error{ErrReset, ErrReset}},
		"broken for the sender": {func(_ *World, c *Conn) { c.Up.Break(ErrReset) }, "01234", []error{ErrReset}},
	} {
		t.Run(name, func(t *testing.T) {
			if got, ends, _ := talk(c.trouble); got != c.got || !slices.Equal(ends, c.ends) {
				t.Errorf("%q arrived, ends %v; want %q, %v", got, ends, c.got, c.ends)
			}
		})
	}
}

// A kernel takes a part of a write, and more when some has arrived.
func TestPartialWrites(t *testing.T) {
	w := NewWorld(5, 0)
	c := NewConn(w, 1, time.Millisecond)
	want := strings.Repeat("0123456789", 100<<10)
	var got strings.Builder
	c.Up.Receive = func(b []byte) { got.Write(b) }
	rest, calls := want, 0
	write := func() {
		calls++
		n, err := c.Up.Write([]byte(rest))
		if err != nil {
			t.Fatal(err)
		}
		rest = rest[n:]
	}
	c.Up.Writable = write
	write()
	w.Run(time.Hour)
	if got.String() != want || calls < 10 {
		t.Errorf("%d bytes of %d, in %d writes", got.Len(), len(want), calls)
	}
	c.Reset()
	if _, err := c.Up.Write([]byte("x")); !errors.Is(err, ErrReset) {
		t.Error(err)
	}
}

// dialog sends lines to a server and returns what it answers.
func dialog(t *testing.T, w *World, c *Cluster, lines string) string {
	t.Helper()
	var got strings.Builder
	c.Dial(c.Servers[0].Address, 7, func(p *Peer, err error) {
		if err != nil {
			t.Fatal(err)
		}
		p.Conn.Down.Receive = func(b []byte) { got.Write(b) }
		_, _ = p.Conn.Up.Write([]byte("CONNECT {}\r\n" + lines))
	})
	w.Run(w.Now() + time.Second)
	_, after, _ := strings.Cut(got.String(), "\r\n") // INFO
	return after
}

func TestServer(t *testing.T) {
	for lines, want := range map[string]string{
		"PING\r\n":                     "PONG\r\n",
		"SUB a 1\r\nPUB a 2\r\nhi\r\n": "MSG a 1 2\r\nhi\r\n",
		"SUB a.* q 1\r\nSUB a.> q 2\r\nUNSUB 1\r\nPUB a.b r 0\r\n\r\n":          "MSG a.b 2 r 0\r\n\r\n",
		"SUB a 1\r\nUNSUB 1 2\r\nPUB a 0\r\n\r\nPUB a 0\r\n\r\nPUB a 0\r\n\r\n": "MSG a 1 0\r\n\r\nMSG a 1 0\r\n\r\n",
		"SUB a 1\r\nPUB a 0\r\n\r\nUNSUB 1 1\r\nPUB a 0\r\n\r\n":                "MSG a 1 0\r\n\r\n",
		"SUB a 1\r\nHPUB a 12 13\r\nNATS/1.0\r\n\r\nx\r\n":                      "HMSG a 1 12 13\r\nNATS/1.0\r\n\r\nx\r\n",
		"SUB r 1\r\nPUB nobody r 0\r\n\r\n":                                     "HMSG r 1 38 38\r\nNATS/1.0 503\r\nNats-Subject: nobody\r\n\r\n\r\n",
		"SUB deny.a q 1\r\n":                                                    "-ERR 'Permissions Violation for Subscription to \"deny.a\" using queue \"q\" (sid \"1\")'\r\n",
		"PUB deny.a 0\r\n\r\n":                                                  "-ERR 'Permissions Violation for Publish to \"deny.a\"'\r\n",
	} {
		w := NewWorld(1, 0)
		got := dialog(t, w, NewCluster(w, 1), lines)
		if i := strings.Index(got, "INFO {"); i >= 0 { // there may be another
			_, rest, _ := strings.Cut(got[i:], "\r\n")
			got = got[:i] + rest
		}
		if got != want || w.Err() != nil {
			t.Errorf("%q: %q, want %q, %v", lines, got, want, w.Err())
		}
	}
}

// What a client never sends is a violation.
func TestServerIsStrict(t *testing.T) {
	for _, lines := range []string{
		"CONNECT {}\r\n", "HELLO\r\n", "PING\n", "SUB a 1\r\nSUB b 1\r\n", "SUB a\r\n", "UNSUB\r\n", "UNSUB x\r\n",
		"PUB a 1\r\nxyz\r\n", "PUB a b c 1\r\nx\r\n", "HPUB a 2 1\r\nx\r\n", "PUB a 2000000\r\n" + strings.Repeat("x", 2000000) + "\r\n",
	} {
		w := NewWorld(1, 0)
		c := NewCluster(w, 1)
		c.Dial(c.Servers[0].Address, 7, func(p *Peer, _ error) { p.receive([]byte("CONNECT {}\r\n" + lines)) })
		w.Run(time.Second)
		if w.Err() == nil {
			t.Errorf("%.40q was taken", lines)
		}
	}
}

func TestShrink(t *testing.T) {
	p := NewPlan(11, 24*time.Hour, 10)
	var cut, join Op
	for _, o := range p.Ops {
		if o.Kind == CutAt && cut.At == 0 {
			cut = o
		}
		if o.Kind == Join {
			join = o
		}
	}
	// It takes these two, in one of many courses of chance.
	has := func(p Plan, want Op) bool {
		return slices.ContainsFunc(p.Ops, func(o Op) bool { return o.Kind == want.Kind && o.N == want.N && o.Mode == want.Mode })
	}
	runs := 0
	short := Shrink(p, 2000, func(p Plan) bool {
		runs++
		return has(p, cut) && has(p, join) && (uint64(len(p.Ops))+p.Luck)%4 == 0
	})
	if len(short.Ops) != 2 || short.Ops[0].At != time.Second || short.Horizon > 10*time.Minute || len(short.Calms) > 0 || runs > 2000 {
		t.Errorf("after %d runs:\n%v", runs, short)
	}
	if len(p.Ops) < 300 || fmt.Sprint(p) != fmt.Sprint(NewPlan(11, 24*time.Hour, 10)) {
		t.Error("the plan was changed")
	}
}

func TestPlanIsInOrder(t *testing.T) {
	for seed := range uint64(50) {
		p := NewPlan(seed, 24*time.Hour, 16)
		calm, end := 0, time.Duration(0)
		for i, o := range p.Ops {
			if i > 0 && o.At < p.Ops[i-1].At {
				t.Fatalf("seed %d: %v", seed, o)
			}
			for calm < len(p.Calms) && p.Calms[calm] <= o.At {
				end = p.Calms[calm]
				calm++
			}
			if calm > 0 && o.At < end+time.Minute {
				t.Fatalf("seed %d: %v is too soon after %v", seed, o, end)
			}
		}
	}
}
