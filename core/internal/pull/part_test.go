package pull

import (
	"testing"
	"time"

	"github.com/perigee-go/nats/core/internal/figure"
)

const ms = time.Millisecond

// Leave comes when nothing can come any more, or nothing has come for long
// enough; and always soon.
func TestParting(t *testing.T) {
	drain := func(r *rig) { r.Drain(r.now, World{Up: r.up}); r.run() }
	stop := func(r *rig) { r.Stop(r.now, World{Up: r.up}); r.run() }
	trickle := func(gap time.Duration) func(r *rig) {
		return func(r *rig) {
			for n := 0; n < 90 && r.left == 0; n++ {
				r.pass(gap)
				r.data(1, 10)
			}
		}
	}
	for _, c := range []struct {
		name     string
		before   func(r *rig)
		end      func(r *rig)
		after    func(r *rig)
		min, max time.Duration // after end
	}{
		{"all came", func(r *rig) { r.data(40, 10); r.status(1, 404, "") }, drain, nil, 0, 0},
		{"idle", func(r *rig) { r.beat(20 * sec); r.pass(sec) }, drain, nil, 0, 0},
		{"just asked", func(r *rig) {}, drain, nil, 200 * ms, drainSilence},
		{"just heard", func(r *rig) { r.pass(sec); r.data(10, 10) }, drain, nil, 200 * ms, drainSilence},
		{"the rest comes", func(r *rig) { r.data(10, 10) }, drain, func(r *rig) { r.pass(30 * ms); r.data(90, 10) }, 30 * ms, 30 * ms},
		{"the pull ends", func(r *rig) { r.data(10, 10) }, drain, func(r *rig) { r.pass(30 * ms); r.status(1, 408, "Request Timeout") }, 30 * ms, 30 * ms},
		{"trickle", func(r *rig) { r.data(1, 10) }, drain, trickle(20 * ms), 1500 * ms, drainLimit},
		{"slow trickle", func(r *rig) { r.data(1, 10) }, drain, trickle(200 * ms), 250 * ms, 700 * ms},
		{"the link goes", func(r *rig) { r.data(10, 10) }, drain, func(r *rig) { r.pass(30 * ms); r.LinkDown(); r.run() }, 30 * ms, 30 * ms},
		{"no link", func(r *rig) { r.LinkDown() }, drain, nil, 0, 0},
		{"pulls that may have survived", func(r *rig) { r.LinkUp(r.now, 0, 0); r.status(2, 408, "") }, drain, nil, 200 * ms, drainSilence},
		{"stop, all came", func(r *rig) { r.data(40, 10); r.status(1, 404, "") }, stop, nil, 0, 0},
		{"stop, idle", func(r *rig) { r.pass(400 * ms) }, stop, nil, 0, 0},
		{"stop, just heard", func(r *rig) { r.data(10, 10) }, stop, nil, 20 * ms, stopSilence},
		{"stop, trickle", func(r *rig) { r.data(1, 10) }, stop, trickle(5 * ms), 150 * ms, stopLimit},
		{"stop while draining", func(r *rig) { r.data(1, 10); drain(r) }, stop, nil, 20 * ms, stopSilence},
		{"drain while stopping", func(r *rig) { r.data(1, 10); stop(r) }, drain, nil, 20 * ms, stopSilence},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := started(t, usual())
			c.before(r)
			pulls, began := len(r.pulls), r.now
			c.end(r)
			if c.after != nil {
				c.after(r)
			}
			r.pass(time.Minute)
			if took := r.left - began; r.left == 0 || took < c.min || took > c.max {
				t.Errorf("left after %v, want %v to %v", took, c.min, c.max)
			}
			r.want(pulls)
		})
	}
}

// What comes is counted also while the user's handler keeps the session from
// looking at it.
func TestPartingBehindABusyHandler(t *testing.T) {
	r := started(t, usual())
	r.Drain(r.now, World{Up: true})
	r.run()
	for n := range 20 {
		if r.left != 0 {
			t.Fatalf("left although %d have come", n)
		}
		r.now = min(r.at, r.now+40*ms)
		r.Tick(r.now, World{Up: true, Queued: n + 1, Arrived: uint64(n + 1)})
		r.run()
	}
	queued := World{Up: true, Queued: 20, Arrived: 20}
	for began := r.now; r.left == 0; r.run() {
		if r.now = r.at; r.now > began+drainSilence {
			t.Fatal("nothing came, and it did not leave")
		}
		r.Tick(r.now, queued)
	}
}

// After Stop nobody is told of anything, and a session that has ended by itself
// stays so.
func TestStopTellsNothing(t *testing.T) {
	r := started(t, usual())
	r.Status(r.now, Status{Token: 1, Code: 503})
	r.Stop(r.now, World{Up: true})
	r.Status(r.now, Status{Token: 1, Code: 423})
	r.run()
	if r.tells != nil || r.left == 0 {
		t.Errorf("told %v, left at %v", r.tells, r.left)
	}
	r = started(t, usual())
	r.status(1, 409, "Consumer Deleted")
	r.Stop(r.now, World{Up: true})
	r.run()
	if r.end != ConsumerDeleted {
		t.Errorf("ended with %v", r.end)
	}
}

// Under load nothing is on its way when it leaves.
func TestModelDrain(t *testing.T) {
	for seed := range uint64(figure.Size(60, 5000)) {
		w := newWorld(t, seed)
		stop := w.rng.IntN(2) == 0
		w.until(w.now+time.Duration(w.rng.Int64N(int64(2*time.Second))), func() bool { return false })
		load := func(d time.Duration) bool {
			for end := w.now + d; w.now < end && w.left == 0; {
				w.publish(1 + w.rng.IntN(5))
				w.until(w.now+time.Duration(w.rng.Int64N(int64(3*ms))), func() bool { return w.left != 0 })
			}
			return w.left != 0
		}
		load(50*ms + time.Duration(w.rng.Int64N(int64(300*ms))))
		// Later the silence that is enough is shorter than what the way takes.
		began, limit, hurry := w.now, drainLimit, drainLimit*9/10
		if stop {
			limit, hurry = stopLimit, stopLimit*3/4
			w.m.Stop(w.now, w.look())
		} else {
			w.m.Drain(w.now, w.look())
		}
		w.run()
		if !load(limit + limit/10) {
			t.Fatalf("seed %d: it has not left after %v", seed, w.now-began)
		}
		if w.flying > 0 && w.left-began < hurry {
			t.Fatalf("seed %d: it left after %v, with %d messages on their way; %s", seed, w.left-began, w.flying, w.state())
		}
	}
}

// A fetch that has left has its time yet, and no more.
func TestFetchEndsAfterLeaving(t *testing.T) {
	cfg := usual()
	cfg.Once, cfg.StopAfter, cfg.Deadline = true, 100, time.Hour+5*sec
	r := started(t, cfg)
	r.pass(sec)
	r.Drain(r.now, World{Up: true})
	r.run()
	r.pass(sec)
	if r.left == 0 || r.end != None {
		t.Fatalf("left at %v, ended by %v", r.left, r.end)
	}
	r.pass(10 * sec)
	if r.end != Finished {
		t.Errorf("ended by %v", r.end)
	}
}
