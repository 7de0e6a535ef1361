package pull

import "testing"

// A consumer with replicas holds messages back until its followers know of them,
// but not the status that there is no more room for bytes: it may come before the
// last messages of its pull. They stay on the books.
func TestStatusBeforeItsMessages(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		msgs int
	}{
		"completed": {"Batch Completed", 0},
		"too large": {"Message Size Exceeds MaxBytes", 70},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := usual()
			cfg.MaxBytes = 10_000
			r := started(t, cfg)
			r.status(1, 100, "Idle Heartbeat")
			r.rest(1, 409, c.text, c.msgs, 7000)
			late := 100 - c.msgs
			if got := r.outstanding - sum(r.pulls[1:]); got != late || r.Quiet() {
				t.Errorf("%d outstanding of the first pull, want %d; quiet: %t", got, late, r.Quiet())
			}
			r.rest(1, 409, c.text, c.msgs, 7000) // again: nothing is new
			for range late {
				r.Data(100)
				if held := r.outstanding + r.buffered; held > cfg.MaxMessages {
					t.Fatalf("%d of %d", held, cfg.MaxMessages)
				}
			}
			if r.outstanding != sum(r.pulls[1:]) {
				t.Errorf("%d outstanding, %d asked for", r.outstanding, sum(r.pulls[1:]))
			}
		})
	}
}

func sum(pulls []Request) (n int) {
	for _, p := range pulls {
		n += p.Batch
	}
	return n
}

// Nor does a fetch end before they have come, unless they do not.
func TestFetchWaitsForLateMessages(t *testing.T) {
	fetch := func(t *testing.T) *rig {
		r := newRig(t, Config{MaxMessages: 10, StopAfter: 10, MaxBytes: 1000, Once: true, Deadline: 3610 * sec})
		r.LinkUp(r.now, 0, 0)
		r.run()
		r.want(1)
		return r
	}
	t.Run("completed", func(t *testing.T) {
		r := fetch(t)
		r.rest(1, 409, "Batch Completed", 0, 100)
		if r.end != None {
			t.Fatal("it ended before its messages")
		}
		r.data(10, 90)
		if r.end != Finished || r.taken != 10 {
			t.Errorf("%v after %d", r.end, r.taken)
		}
	})
	t.Run("too large", func(t *testing.T) {
		r := fetch(t)
		r.rest(1, 409, "Message Size Exceeds MaxBytes", 8, 100)
		r.data(1, 450)
		r.want(1)
		if r.end != None {
			t.Fatal("it ended before its messages")
		}
		r.data(1, 450)
		if r.end != Finished || r.taken != 2 || !r.Quiet() {
			t.Errorf("%v after %d, quiet %t", r.end, r.taken, r.Quiet())
		}
		r.want(1)
	})
	t.Run("lost", func(t *testing.T) {
		r := fetch(t)
		r.rest(1, 409, "Message Size Exceeds MaxBytes", 8, 100)
		r.data(1, 450)
		r.pass(grace)
		if r.end != Finished || r.taken != 1 {
			t.Errorf("%v after %d", r.end, r.taken)
		}
	})
	t.Run("link lost", func(t *testing.T) {
		r := fetch(t)
		r.rest(1, 409, "Message Size Exceeds MaxBytes", 8, 100)
		r.LinkDown()
		r.LinkUp(r.now, 0, 0)
		r.run()
		r.want(2)
		if r.end != None || r.last().Batch != 10 {
			t.Errorf("%v, pull for %d", r.end, r.last().Batch)
		}
	})
}

// A pull that was given up and brings a message all the same upsets the books. They
// are right again when the pulls of after end.
func TestBooksAreRightAgain(t *testing.T) {
	cfg := Config{MaxMessages: 2, Threshold: 1, Expiry: 30 * sec, Heartbeat: 5 * sec}
	r := started(t, cfg)
	r.status(1, 100, "Idle Heartbeat")
	r.LinkDown()
	r.LinkUp(r.now, 0, 0)
	r.run()
	r.data(1, 10) // of pull 1
	r.want(3)
	server := sum(r.pulls[1:])
	r.pass(probeTime)
	r.rest(2, 408, "Request Timeout", 2, 0)
	if server += sum(r.pulls[3:]) - 2; server != cfg.MaxMessages || r.outstanding != server {
		t.Errorf("the server has pulls for %d, %d are on the books, the capacity is %d", server, r.outstanding, cfg.MaxMessages)
	}
}

// A pull whose bytes are used up to the last one is over, and nobody tells.
func TestBytesToTheLast(t *testing.T) {
	t.Run("ahead", func(t *testing.T) {
		cfg := usual()
		cfg.MaxBytes = 1000
		r := started(t, cfg)
		r.status(1, 100, "Idle Heartbeat")
		r.data(10, 100)
		if r.want(2); r.last().MaxBytes != 1000 || r.last().Batch != 100 {
			t.Errorf("%+v", r.last())
		}
	})
	t.Run("fetch", func(t *testing.T) {
		r := newRig(t, Config{MaxMessages: 100, StopAfter: 100, MaxBytes: 1000, Once: true, Deadline: 3610 * sec})
		r.LinkUp(r.now, 0, 0)
		r.run()
		r.data(10, 100)
		if r.end != Finished || !r.Quiet() {
			t.Errorf("%v, quiet %t", r.end, r.Quiet())
		}
	})
}
