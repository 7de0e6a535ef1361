package pull

import (
	"testing"
	"time"
)

var (
	born = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	anew = born.Add(time.Hour)
)

// watched is a session that knows when its consumer was made.
func watched(t *testing.T, delivered uint64) *rig {
	cfg := usual()
	cfg.Created, cfg.Delivered = born, delivered
	return started(t, cfg)
}

// number is a message with a number.
func (r *rig) number(n uint64) {
	if r.Delivered(n) {
		r.Doubt(r.now)
	}
	r.data(1, 10)
	r.run()
}

// asked wants n checks so far, and answers the last.
func (r *rig) asked(n int, created time.Time, want bool) {
	r.t.Helper()
	if r.check != n {
		r.t.Fatalf("%d checks, want %d", r.check, n)
	}
	r.Checked(r.now, false, "")
	if before, anew := r.Found(created); anew != want || !before.Equal(born) && want {
		r.t.Errorf("made anew: %v, before %v", anew, before)
	}
}

func TestNumbersThatGrow(t *testing.T) {
	r := watched(t, 10)
	for _, n := range []uint64{11, 12, 15, 100} { // the others went to other clients
		r.number(n)
	}
	if r.check > 0 {
		t.Error("a doubt without a reason")
	}
}

func TestNumbersThatBeginAgain(t *testing.T) {
	for name, first := range map[string]uint64{"in the session": 0, "since the handle was made": 50} {
		t.Run(name, func(t *testing.T) {
			r := watched(t, first)
			if first == 0 {
				r.number(1)
				r.number(2)
			}
			r.number(1)
			r.number(2) // while it is asked
			r.asked(1, anew, true)
			r.number(3)
			r.number(4)
			if r.check != 1 {
				t.Errorf("%d checks: the new one has its own numbers", r.check)
			}
			r.number(1) // and once more: at once
			r.Checked(r.now, false, "")
			if _, another := r.Found(anew.Add(time.Hour)); !another || r.check != 2 {
				t.Error("the second new one was not noticed")
			}
		})
	}
}

// Numbers may begin again in the same consumer: that is no reason to ask again
// and again.
func TestDoubtsAreFew(t *testing.T) {
	r := watched(t, 0)
	began := r.now
	for r.now-began < time.Hour {
		r.number(2)
		r.number(1)
		if r.checking {
			r.asked(r.check, born, false)
		}
		r.now += 100 * time.Millisecond
	}
	if r.check < 10 || r.check > 25 {
		t.Errorf("%d checks in an hour", r.check)
	}
}

func TestNothingToCompare(t *testing.T) {
	r := started(t, usual()) // a handle that never heard of its consumer
	r.number(5)
	r.number(1)
	if r.check > 0 {
		t.Error("asked for nothing")
	}
	r = watched(t, 5)
	r.number(1)
	r.Checked(r.now, false, "")
	r.Trust() // it may not be asked for
	r.now += time.Hour
	r.number(1)
	if r.check != 1 {
		t.Errorf("%d checks", r.check)
	}
}
