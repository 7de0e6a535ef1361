package keepalive

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/perigee-go/nats/core/internal/leakcheck"
)

func TestMain(m *testing.M) { os.Exit(leakcheck.Main(m)) }

const s = time.Second

var standard = Config{Interval: 10 * s, MaxOutstanding: 2}

func TestDecide(t *testing.T) {
	now := 1000 * s
	for _, c := range []struct {
		name string
		cfg  Config
		in   Input
		want Decision
	}{
		{"quiet for a moment", standard, Input{Now: now, LastInbound: now - 3*s}, Decision{Next: now + 7*s}},
		{"just now", standard, Input{Now: now, LastInbound: now}, Decision{Next: now + 10*s}},
		{"bytes came after now was read", standard, Input{Now: now, LastInbound: now + s}, Decision{Next: now + 11*s}},
		{"almost", standard, Input{Now: now, LastInbound: now - 10*s + 1}, Decision{Next: now + 1}},
		{"silence", standard, Input{Now: now, LastInbound: now - 10*s}, Decision{Ping: true, Next: now + 10*s}},
		{"long silence", standard, Input{Now: now, LastInbound: 0}, Decision{Ping: true, Next: now + 10*s}},
		{"a PING waits to be written", standard, Input{Now: now, LastInbound: now - 60*s, Outstanding: true}, Decision{Next: now + 10*s}},
		{"a PING is out", standard, Input{Now: now, LastInbound: now - 15*s, Outstanding: true, OldestPing: now - 5*s}, Decision{Next: now + 10*s}},
		{"a PING is out, bytes come", standard, Input{Now: now, LastInbound: now, Outstanding: true, OldestPing: now - 5*s}, Decision{Next: now + 10*s}},
		{"almost dead", standard, Input{Now: now, Outstanding: true, OldestPing: now - 20*s + 1}, Decision{Next: now + 1}},
		{"dead", standard, Input{Now: now, Outstanding: true, OldestPing: now - 20*s}, Decision{Dead: true}},
		{"dead although bytes come", standard, Input{Now: now, LastInbound: now, Outstanding: true, OldestPing: now - 20*s}, Decision{Dead: true}},
		{"dead and unasked", standard, Input{Now: now, Outstanding: true, OldestPing: now - 20*s, Unasked: true, UnaskedAt: now - 2*s}, Decision{Dead: true}},
		{"unasked, young", standard, Input{Now: now, LastInbound: now, Unasked: true, UnaskedAt: now - s/4}, Decision{Next: now + 3*s/4}},
		{"unasked, old", standard, Input{Now: now, LastInbound: now, Unasked: true, UnaskedAt: now - s}, Decision{Ping: true, Next: now + 10*s}},
		{"unasked, a PING is out", standard, Input{Now: now, LastInbound: now, Outstanding: true, OldestPing: now - 12*s, Unasked: true, UnaskedAt: now - s}, Decision{Ping: true, Next: now + 8*s}},
		{"unasked, nearly silent", standard, Input{Now: now, LastInbound: now - 10*s + s/4, Unasked: true, UnaskedAt: now}, Decision{Next: now + s/4}},

		{"no keep-alive", Config{}, Input{Now: now}, Decision{}},
		{"no keep-alive, a PING is out", Config{}, Input{Now: now, Outstanding: true, OldestPing: 1}, Decision{}},
		{"no keep-alive, unasked, young", Config{Interval: -1}, Input{Now: now, Unasked: true, UnaskedAt: now}, Decision{Next: now + s}},
		{"no keep-alive, unasked, old", Config{Interval: -1}, Input{Now: now, Unasked: true, UnaskedAt: now - s}, Decision{Ping: true}},

		{"MaxOutstanding 0 is 1", Config{Interval: 10 * s}, Input{Now: now, Outstanding: true, OldestPing: now - 10*s}, Decision{Dead: true}},
		{"MaxOutstanding 1", Config{10 * s, 1}, Input{Now: now, Outstanding: true, OldestPing: now - 9*s}, Decision{Next: now + s}},
		{"MaxOutstanding 3", Config{10 * s, 3}, Input{Now: now, Outstanding: true, OldestPing: now - 29*s}, Decision{Next: now + s}},
	} {
		if got := Decide(c.cfg, c.in); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}

// An interval that is meant as "never" must not wrap round into "at once".
func TestHugeIntervals(t *testing.T) {
	for _, c := range []Config{
		{math.MaxInt64, 1}, {math.MaxInt64, 2}, {math.MaxInt64 / 2, 3}, {math.MaxInt64 - 1, math.MaxInt32},
		{time.Hour, math.MaxInt}, {time.Nanosecond, math.MaxInt}, {1000000 * time.Hour, 1000000},
	} {
		for _, in := range []Input{
			{Now: 1000 * s, LastInbound: 1000 * s},
			{Now: 1000 * s, LastInbound: 1000 * s, Outstanding: true},
			{Now: 1000 * s, LastInbound: 1000 * s, Outstanding: true, OldestPing: 999 * s},
		} {
			d := Decide(c, in)
			if d.Dead || d.Ping || d.Next <= in.Now {
				t.Errorf("%+v, %+v: %+v", c, in, d)
			}
		}
	}
}

// The decision over all small inputs: never both, never late, never in the past.
func TestDecideExhaustively(t *testing.T) {
	const now = 30
	for interval := time.Duration(-1); interval <= 6; interval++ {
		for maxOut := range 4 {
			cfg := Config{Interval: interval, MaxOutstanding: maxOut}
			for last := time.Duration(0); last <= now+2; last += 1 {
				for oldest := time.Duration(0); oldest <= now; oldest++ {
					for _, out := range []bool{false, true} {
						for _, unasked := range []time.Duration{-1, 0, now - 1, now} {
							in := Input{Now: now, LastInbound: last, Outstanding: out, Unasked: unasked >= 0, UnaskedAt: max(unasked, 0)}
							if out {
								in.OldestPing = oldest
							}
							d := Decide(cfg, in)
							limit := interval * time.Duration(max(maxOut, 1))
							if want := interval > 0 && out && oldest != 0 && now-oldest >= limit; d.Dead != want {
								t.Fatalf("%+v %+v: %+v", cfg, in, d)
							}
							if d.Dead && (d.Ping || d.Next != 0) || d.Next != 0 && d.Next <= now {
								t.Fatalf("%+v %+v: %+v", cfg, in, d)
							}
							if want := interval > 0 && !out && now-last >= interval; !d.Dead && d.Ping != want {
								t.Fatalf("%+v %+v: %+v", cfg, in, d)
							}
							if !d.Dead && interval > 0 && d.Next == 0 {
								t.Fatalf("%+v %+v: never asks again", cfg, in)
							}
						}
					}
				}
			}
		}
	}
}

// peer simulates a link: a writer that asks Decide as the real one does, and a
// server that answers each PING after a delay, sends bytes by itself, and dies
// at some time.
type peer struct {
	rng        *rand.Rand
	cfg        Config
	delay      func() time.Duration // of an answer
	chatter    func() time.Duration // between bytes the server sends by itself; 0: none
	publishing func() time.Duration // between messages of ours; 0: none
	diesAt     time.Duration

	now, lastIn, unaskedAt time.Duration
	unasked                bool
	pings                  []time.Duration // when the open ones were written
	answers                []time.Duration // when their PONGs come
	made                   []time.Duration // when silence made a PING
}

func (p *peer) run(until time.Duration) (deadAt time.Duration) {
	p.now, p.lastIn = s, s
	next, chat, pub := s, time.Duration(0), time.Duration(0)
	if p.chatter != nil {
		chat = p.now + p.chatter()
	}
	if p.publishing != nil {
		pub = p.now + p.publishing()
	}
	for p.now < until {
		// The earliest event.
		at := next
		for _, e := range []time.Duration{chat, pub} {
			if e != 0 && e < at {
				at = e
			}
		}
		if len(p.answers) > 0 && p.answers[0] < at {
			at = p.answers[0]
		}
		p.now = at
		alive := p.diesAt == 0 || p.now < p.diesAt
		if len(p.answers) > 0 && p.answers[0] == at {
			p.answers = p.answers[1:]
			if alive {
				p.pings = p.pings[1:]
				p.lastIn = at
			}
		}
		if chat == at && chat != 0 {
			chat = at + p.chatter()
			if alive {
				p.lastIn = at
			}
		}
		if pub == at && pub != 0 {
			pub = at + p.publishing()
			if !p.unasked {
				p.unasked, p.unaskedAt = true, at
				if next > at+ConfirmAfter { // the writer does so
					next = at + ConfirmAfter
				}
			}
		}
		if next == at {
			in := Input{Now: at, LastInbound: p.lastIn, Unasked: p.unasked, UnaskedAt: p.unaskedAt}
			if len(p.pings) > 0 {
				in.Outstanding, in.OldestPing = true, p.pings[0]
			}
			d := Decide(p.cfg, in)
			if d.Dead {
				return at
			}
			if d.Ping {
				if !p.unasked {
					p.made = append(p.made, at)
				}
				p.unasked = false
				p.pings = append(p.pings, at)
				last := at
				if n := len(p.answers); n > 0 {
					last = p.answers[n-1]
				}
				p.answers = append(p.answers, max(last, at+p.delay()))
			}
			if d.Next <= at {
				panic(fmt.Sprintf("%+v at %v: %+v", in, at, d))
			}
			next = d.Next
		}
	}
	return 0
}

func TestDeadPeerIsFoundInTime(t *testing.T) {
	seed := rand.Uint64()
	t.Log("seed", seed)
	for i := range uint64(3000) {
		rng := rand.New(rand.NewPCG(seed, i))
		cfg := Config{Interval: time.Duration(1+rng.IntN(20)) * s, MaxOutstanding: 1 + rng.IntN(4)}
		bound := cfg.Interval * time.Duration(cfg.MaxOutstanding+1)
		p := &peer{
			rng: rng, cfg: cfg, diesAt: 2*s + time.Duration(rng.Int64N(int64(200*s))),
			// The answers come in time as long as the peer lives.
			delay: func() time.Duration {
				return time.Duration(1 + rng.Int64N(int64(cfg.Interval*time.Duration(cfg.MaxOutstanding))-1))
			},
		}
		if rng.IntN(2) == 0 {
			most := int64(cfg.Interval) * int64(1+rng.IntN(3))
			p.chatter = func() time.Duration { return time.Duration(1 + rng.Int64N(most)) }
		}
		if rng.IntN(2) == 0 {
			most := int64(5 * s)
			p.publishing = func() time.Duration { return time.Duration(1 + rng.Int64N(most)) }
		}
		deadAt := p.run(p.diesAt + 10*bound)
		if deadAt == 0 {
			t.Fatalf("seed %d/%d: %+v: the peer died at %v, nobody noticed", seed, i, cfg, p.diesAt)
		}
		if deadAt < p.diesAt {
			t.Fatalf("seed %d/%d: %+v: a false alarm at %v", seed, i, cfg, deadAt)
		}
		if took := deadAt - p.diesAt; took > bound {
			t.Fatalf("seed %d/%d: %+v: found after %v, the bound is %v", seed, i, cfg, took, bound)
		}
	}
}

func TestNoFalseAlarm(t *testing.T) {
	seed := rand.Uint64()
	t.Log("seed", seed)
	for i := range uint64(500) {
		rng := rand.New(rand.NewPCG(seed, i))
		cfg := Config{Interval: time.Duration(1+rng.IntN(20)) * s, MaxOutstanding: 1 + rng.IntN(4)}
		limit := int64(cfg.Interval) * int64(cfg.MaxOutstanding)
		p := &peer{rng: rng, cfg: cfg, delay: func() time.Duration { return time.Duration(1 + rng.Int64N(limit-1)) }}
		if rng.IntN(2) == 0 {
			p.chatter = func() time.Duration { return time.Duration(1 + rng.Int64N(2*int64(cfg.Interval))) }
		}
		if rng.IntN(2) == 0 {
			p.publishing = func() time.Duration { return time.Duration(1 + rng.Int64N(int64(3*s))) }
		}
		if at := p.run(2000 * s); at != 0 {
			t.Fatalf("seed %d/%d: %+v: a false alarm at %v", seed, i, cfg, at)
		}
		for j := 1; j < len(p.made); j++ {
			if gap := p.made[j] - p.made[j-1]; gap < cfg.Interval {
				t.Fatalf("seed %d/%d: %+v: silence made two PINGs within %v", seed, i, cfg, gap)
			}
		}
	}
}
