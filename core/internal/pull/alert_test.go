package pull

import (
	"testing"
	"time"

	"github.com/perigee-go/nats/core/internal/figure"
)

func alert() Config {
	cfg := usual()
	cfg.Alert = sec
	return cfg
}

// While messages wait at the server, a pull that is lost without a word is missed
// after two short heartbeats.
func TestAlertSilence(t *testing.T) {
	r := started(t, alert())
	r.More()
	r.data(50, 10)
	r.want(2)
	if p := r.last(); p.Heartbeat != sec || p.Expires != alertBeats*sec {
		t.Errorf("%+v", p)
	}
	r.data(50, 10)
	r.pass(1900 * ms)
	r.want(3) // at the threshold
	r.untilPull(4)
	if p := r.last(); p.Heartbeat != 0 || p.Expires != 2*probeTime || len(r.tells) != 1 || r.tells[0] != NoHeartbeat {
		t.Errorf("%+v, told %v", p, r.tells)
	}
}

// An idle session sends as few pulls as without, and gets as few heartbeats.
func TestAlertIsOverWhenIdle(t *testing.T) {
	r := started(t, alert())
	r.More()
	r.data(50, 10)
	r.rest(1, 408, "Request Timeout", 50, 0)
	for i := range 10 {
		p := r.last()
		if p.Heartbeat == sec && i > 0 || p.Heartbeat == 5*sec && i == 0 {
			t.Fatalf("pull %d: %+v", i, p)
		}
		for passed := time.Duration(0); passed < p.Expires; passed += p.Heartbeat {
			r.pass(p.Heartbeat)
			r.status(p.Token, 100, "Idle Heartbeat")
		}
		r.rest(p.Token, 408, "Request Timeout", p.Batch, 0)
	}
	if r.tells != nil {
		t.Errorf("told %v", r.tells)
	}
	// The next message brings it back only if there are more of them.
	p := r.last()
	r.data(100, 10)
	if r.last().Heartbeat == sec || r.last().Token == p.Token {
		t.Errorf("%+v", r.last())
	}
	r.More()
	r.data(100, 10)
	if r.last().Heartbeat != sec {
		t.Errorf("%+v", r.last())
	}
}

// Heartbeats of two lengths are no reason to take silence for a loss.
func TestAlertBesideAnOlderPull(t *testing.T) {
	r := started(t, alert())
	r.rest(1, 408, "Request Timeout", 100, 0)
	r.untilPull(2)
	r.rest(2, 408, "Request Timeout", 100, 0) // of the alert after the new link
	r.untilPull(3)
	older := r.last()
	if older.Heartbeat != 5*sec {
		t.Fatalf("%+v", older)
	}
	r.More()
	r.data(50, 10)
	r.want(4)
	for range 3 { // the newer one is complete, and silent
		r.pass(5 * sec)
		r.status(older.Token, 100, "Idle Heartbeat")
	}
	if r.tells != nil {
		t.Errorf("told %v", r.tells)
	}
}

// With messages at the server, pulls that are lost in silence are made good for
// within five seconds.
func TestModelAlert(t *testing.T) {
	for seed := range uint64(figure.Size(100, 5000)) {
		w := newWorld(t, 2*seed)
		if w.m.cfg.MaxBytes > 0 {
			continue
		}
		w.slow = time.Duration(w.rng.Int64N(int64(2 * ms)))
		w.publish(20 * w.m.cfg.MaxMessages)
		some := func() bool { return len(w.took) >= 3*w.m.cfg.MaxMessages }
		w.until(w.now+20*sec, some)
		if !some() {
			t.Fatalf("seed %d: %s", seed, w.state())
		}
		w.pulls = nil // without a word
		w.forgets = true
		w.after(100*ms, func() { w.forgets = false })
		lost := w.now
		w.until(w.now+5*sec, func() bool { return len(w.took) == w.published })
		if len(w.took) != w.published {
			t.Fatalf("seed %d: %d of %d, %v after the loss; %s", seed, len(w.took), w.published, w.now-lost, w.state())
		}
	}
}
