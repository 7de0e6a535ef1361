package window

import (
	"testing"
	"time"
)

// TestResendsForAMinute: a stream forgets ids.
func TestResendsForAMinute(t *testing.T) {
	a := Attempts{Named: true, Started: time.Hour, Policy: &Policy{}}
	if _, again := a.After(Lost, time.Hour+59*time.Second, 0); !again {
		t.Error("not within the minute")
	}
	if _, again := a.After(Lost, time.Hour+60*time.Second, 0); again {
		t.Error("after it")
	}
	if _, again := a.After(Over, time.Hour+time.Second, 0); again || !a.Unknown() {
		t.Error("after a timeout")
	}
	nameless := Attempts{Policy: &Policy{}}
	if _, again := nameless.After(Lost, 0, 0); again || !nameless.Unknown() {
		t.Error("without an id")
	}
}

func TestBackoffIsBounded(t *testing.T) {
	for _, chance := range []float64{0, 0.5, 0.999999} {
		a := Attempts{Policy: &Policy{Wait: 250 * time.Millisecond}}
		for i := range 40 {
			d, again := a.After(Dropped, 0, chance)
			if full := min(250*time.Millisecond<<min(i, 8), maxWait); !again || d < full/2 || d > full {
				t.Errorf("wait %d is %v", i, d)
			}
		}
	}
}
