package reconnect

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

const (
	ms = time.Millisecond
	s  = time.Second
)

var errDial = errors.New("refused")

// defaults is the policy of a Conn after its first connect.
var defaults = Config{MaxRounds: -1, MaxDelay: 5 * s}

// dials runs the machine until it waits or gives up; every attempt fails.
func dials(t *testing.T, m *Machine, now time.Duration, random float64) (tried []string, end Action) {
	t.Helper()
	for range 10000 {
		a := m.Next(now, random)
		if a.Kind != Dial {
			return tried, a
		}
		tried = append(tried, a.Server.Host)
		m.Failed(now, a.Server, errDial, "")
	}
	t.Fatal("it dials for ever")
	return
}

func TestFirstConnectIsOnePass(t *testing.T) {
	cfg := defaults
	cfg.OnePass = true
	m := NewMachine(cfg, pool(t, "a,b,c"))
	// Refused credentials do not stop the pass either.
	a := m.Next(0, 0.5)
	m.Failed(0, a.Server, errDial, "Authorization Violation")
	tried, end := dials(t, m, 0, 0.5)
	if fmt.Sprint(tried) != "[b c]" || end.Kind != GiveUp || end.Auth {
		t.Errorf("%v, %+v", tried, end)
	}
	for _, srv := range m.Pool().Servers() {
		if srv.Attempts != 1 || srv.LastErr != errDial {
			t.Errorf("%+v", srv)
		}
	}
	if end := m.Next(time.Hour, 0); end.Kind != GiveUp {
		t.Errorf("after the end: %+v", end)
	}
}

func TestRoundsAndBackOff(t *testing.T) {
	for _, random := range []float64{0, 0.25, 0.5, math.Nextafter(1, 0)} {
		m := NewMachine(defaults, pool(t, "a,b"))
		now := time.Duration(0)
		for round := 1; round <= 40; round++ {
			tried, a := dials(t, m, now, random)
			if fmt.Sprint(tried) != "[a b]" || a.Kind != Wait || a.Round != round {
				t.Fatalf("round %d: %v, %+v", round, tried, a)
			}
			bound := 5 * s
			if round <= 6 {
				bound = min(bound, 100*ms<<(round-1))
			}
			if want := bound/2 + time.Duration(random*float64(bound-bound/2)); a.Until-now != want {
				t.Fatalf("round %d, random %v: waits %v, want %v", round, random, a.Until-now, want)
			}
			if a.Until > now {
				if again := m.Next(a.Until-1, random); again.Kind != Wait || again.Until != a.Until || again.Round != round {
					t.Fatalf("asked during the wait: %+v", again)
				}
			}
			now = a.Until + s // no more attempts a second than there may be
		}
	}
}

func TestDelayBounds(t *testing.T) {
	for _, c := range []struct {
		min, max time.Duration
	}{{0, 5 * s}, {2 * s, 5 * s}, {2 * s, 2 * s}, {3 * s, 1 * s}, {0, 0}, {0, 50 * ms}, {0, math.MaxInt64}} {
		m := NewMachine(Config{MaxRounds: -1, MinDelay: c.min, MaxDelay: c.max}, pool(t, "a"))
		for round := range 100 {
			m.round = round
			lo, hi := m.delay(0), m.delay(math.Nextafter(1, 0))
			if lo < max(c.min, hi/2-1) || hi < lo || hi > max(c.min, c.max) {
				t.Errorf("%v, round %d: between %v and %v", c, round, lo, hi)
			}
		}
	}
}

func up(t *testing.T, m *Machine, now time.Duration) *Server {
	t.Helper()
	a := m.Next(now, 0.5)
	if a.Kind != Dial {
		t.Fatalf("at %v: %+v, want an attempt", now, a)
	}
	m.Up(now, a.Server)
	return a.Server
}

func TestAttemptAtOnceAfterAStableLink(t *testing.T) {
	m := NewMachine(defaults, pool(t, "a,b,c"))
	if srv := up(t, m, 0); srv.Host != "a" {
		t.Error(srv.Host)
	}
	m.Lost(stableAfter, 0.5, false)
	// The server that was lost is the last to be tried again.
	tried, a := dials(t, m, stableAfter, 0.5)
	if fmt.Sprint(tried) != "[b c a]" || a.Round != 1 {
		t.Errorf("%v %+v", tried, a)
	}
	// Success forgets the failures.
	srv := up(t, m, a.Until)
	if srv.Attempts != 0 || srv.LastErr != nil {
		t.Errorf("%+v", srv)
	}
	m.Lost(a.Until+10*s, 0.5, false)
	if a := m.Next(a.Until+10*s, 0.5); a.Kind != Dial {
		t.Errorf("%+v", a)
	}
}

func TestYoungLinkIsNotAnsweredAtOnce(t *testing.T) {
	m := NewMachine(defaults, pool(t, "a"))
	up(t, m, 0)
	m.Lost(stableAfter-1, 0.5, false)
	a := m.Next(stableAfter-1, 0.5)
	if a.Kind != Wait || a.Until != stableAfter-1+75*ms || a.Round != 1 {
		t.Errorf("%+v", a)
	}
	// But when the user asked, it is.
	up(t, m, a.Until)
	m.Lost(a.Until+1, 0.5, true)
	if a := m.Next(a.Until+1, 0.5); a.Kind != Dial {
		t.Errorf("%+v", a)
	}
}

// C19, A26: servers that accept and drop are not called more than 20 times in
// any second; the rate falls to that of the cap.
func TestFlappingLinks(t *testing.T) {
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 1))
		m := NewMachine(defaults, pool(t, "a,b,c"))
		now := time.Duration(0)
		var at []time.Duration
		for now < 120*s {
			a := m.Next(now, rng.Float64())
			switch a.Kind {
			case Dial:
				at = append(at, now)
				m.Up(now, a.Server)
				now += time.Duration(rng.Int64N(int64(5 * ms)))
				m.Lost(now, rng.Float64(), false)
			case Wait:
				if a.Until < now {
					t.Fatalf("waits until the past: %+v at %v", a, now)
				}
				now = a.Until
			default:
				t.Fatalf("%+v", a)
			}
		}
		for i, j := 0, 0; i < len(at); i++ {
			for at[i]-at[j] >= s {
				j++
			}
			if i-j+1 > 20 {
				t.Fatalf("seed %d: %d attempts within a second", seed, i-j+1)
			}
		}
		if len(at) > 120 {
			t.Errorf("seed %d: %d attempts in two minutes", seed, len(at))
		}
	}
}

// reliability C19: however many servers refuse, and whatever chance says, there
// are no more than maxAttempts in attemptsIn, and no more than one wait each.
func TestAttemptsInASecond(t *testing.T) {
	for _, servers := range []int{1, 4, 30, 200} {
		for _, random := range []float64{0, 0.5} {
			var urls []string
			for i := range servers {
				urls = append(urls, fmt.Sprintf("h%d", i))
			}
			m := NewMachine(defaults, pool(t, strings.Join(urls, ",")))
			up(t, m, 0)
			now := 10 * s
			m.Lost(now, random, false)
			tried := make(map[string]int)
			var at []time.Duration
			for turns := 0; now < 5*time.Minute; turns++ {
				if turns > 2*len(at)+1 {
					t.Fatalf("%d servers: %d turns for %d attempts", servers, turns, len(at))
				}
				switch a := m.Next(now, random); a.Kind {
				case Dial:
					tried[a.Server.Host]++
					at = append(at, now)
					m.Failed(now, a.Server, errDial, "")
				case Wait:
					now = a.Until
				default:
					t.Fatalf("%+v", a)
				}
			}
			for i := maxAttempts; i < len(at); i++ {
				if took := at[i] - at[i-maxAttempts]; took < attemptsIn {
					t.Fatalf("%d servers, random %v: %d attempts in %v", servers, random, maxAttempts+1, took)
				}
			}
			if len(tried) != servers || slices.Max(slices.Collect(maps.Values(tried)))-slices.Min(slices.Collect(maps.Values(tried))) > 1 {
				t.Errorf("%d servers were not tried in turn: %v", servers, tried)
			}
		}
	}
}

// The user's own wish is not held up; nor is the one pass of a first connect.
func TestAttemptsThatDoNotWait(t *testing.T) {
	m := NewMachine(defaults, pool(t, "a"))
	for i := range 3 * maxAttempts {
		a := m.Next(0, 0)
		for a.Kind == Wait {
			m.Now()
			a = m.Next(0, 0)
		}
		if a.Kind != Dial {
			t.Fatalf("%d: %+v", i, a)
		}
		m.Failed(0, a.Server, errDial, "")
	}
	var urls []string
	for i := range 3 * maxAttempts {
		urls = append(urls, fmt.Sprintf("h%d", i))
	}
	cfg := defaults
	cfg.OnePass = true
	m = NewMachine(cfg, pool(t, strings.Join(urls, ",")))
	if tried, end := dials(t, m, 0, 0); len(tried) != len(urls) || end.Kind != GiveUp {
		t.Errorf("%d of %d were tried, then %+v", len(tried), len(urls), end)
	}
}

// A19: refused credentials back off per server; the other servers go on.
func TestRefusals(t *testing.T) {
	m := NewMachine(defaults, pool(t, "good,bad"))
	rng := rand.New(rand.NewPCG(1, 2))
	now := time.Duration(0)
	var bad []time.Duration
	good := 0
	for now < 20*time.Minute {
		switch a := m.Next(now, rng.Float64()); a.Kind {
		case Dial:
			if a.Server.Host == "bad" {
				bad = append(bad, now)
				m.Failed(now, a.Server, errDial, "Authorization Violation")
			} else {
				good++
				m.Failed(now, a.Server, errDial, "")
			}
		case Wait:
			now = a.Until
		default:
			t.Fatalf("%+v", a)
		}
	}
	if good < 300 {
		t.Errorf("the good server had %d attempts", good)
	}
	for i := 1; i < len(bad); i++ {
		want := min(s<<(i-1), time.Minute)
		if i > 7 {
			want = time.Minute
		}
		if gap := bad[i] - bad[i-1]; gap < want || gap > want+5*s {
			t.Errorf("refusal %d: asked again after %v, want %v", i, gap, want)
		}
	}
	if len(bad) < 18 {
		t.Errorf("the bad server had %d attempts", len(bad))
	}
}

// A lone server that refuses for an hour is asked for ever, in its own time.
func TestRefusedForAnHour(t *testing.T) {
	m := NewMachine(defaults, pool(t, "a"))
	now, n := time.Duration(0), 0
	for now < time.Hour {
		switch a := m.Next(now, 0.5); a.Kind {
		case Dial:
			n++
			m.Failed(now, a.Server, errDial, "Authorization Violation")
		case Wait:
			if a.Until <= now {
				t.Fatalf("%+v at %v", a, now)
			}
			now = a.Until
		default:
			t.Fatalf("%+v", a)
		}
	}
	if n < 55 || n > 75 {
		t.Errorf("%d attempts in an hour", n)
	}
	srv := up(t, m, now)
	if srv.refusals != 0 || srv.notBefore != 0 {
		t.Errorf("%+v", srv)
	}
	// Another failure in between ends the row of refusals.
	m.Lost(now+time.Hour, 0, false)
	m.Failed(now, srv, errDial, "x")
	m.Failed(now, srv, errDial, "x")
	m.Failed(now, srv, errDial, "")
	m.Failed(now, srv, errDial, "x")
	if srv.notBefore != now+authDelay || srv.sameRefusal != 1 {
		t.Errorf("%+v", srv)
	}
}

func TestAbortOnAuth(t *testing.T) {
	cfg := defaults
	cfg.AbortOnAuth = 2
	m := NewMachine(cfg, pool(t, "a,b"))
	refuse := func(text string) {
		t.Helper()
		now := m.until
		for {
			a := m.Next(now, 0.5)
			if a.Kind == Wait {
				now = a.Until
				continue
			}
			if a.Kind != Dial {
				t.Fatalf("%+v", a)
			}
			if a.Server.Host == "a" {
				m.Failed(now, a.Server, errDial, text)
				return
			}
			m.Failed(now, a.Server, errDial, "") // b's own trouble
		}
	}
	refuse("one")
	refuse("two") // another text: not the same refusal
	refuse("one")
	refuse("one")
	if a := m.Next(time.Hour, 0); a.Kind != GiveUp || !a.Auth {
		t.Errorf("%+v", a)
	}
}

func TestMaxRounds(t *testing.T) {
	for _, rounds := range []int{1, 2, 5} {
		cfg := defaults
		cfg.MaxRounds = rounds
		m := NewMachine(cfg, pool(t, "a,b"))
		up(t, m, 0)
		m.Lost(time.Minute, 0.5, false)
		now, n := time.Minute, 0
		for {
			tried, a := dials(t, m, now, 0.5)
			n += len(tried)
			if a.Kind == GiveUp {
				break
			}
			now = a.Until
		}
		if n != 2*rounds {
			t.Errorf("MaxRounds %d: %d attempts", rounds, n)
		}
	}
}

// A link begins the count anew, however short it was: what it leaves behind is
// the wait, not a failed round.
func TestShortLinksAreNoFailedRounds(t *testing.T) {
	cfg := defaults
	cfg.MaxRounds = 3
	m := NewMachine(cfg, pool(t, "a"))
	now := time.Duration(0)
	for i := range 10 {
		up(t, m, now)
		m.Lost(now, 1, false)
		a := m.Next(now, 1)
		if want := now + min(cfg.MaxDelay, 100*ms<<i); a.Kind != Wait || a.Until != want || a.Round != i+1 {
			t.Fatalf("short link %d: %+v, want a wait until %v", i, a, want)
		}
		now = a.Until
	}
	for i := range 3 {
		tried, a := dials(t, m, now, 0.5)
		if len(tried) != 1 || (a.Kind == GiveUp) != (i == 2) {
			t.Fatalf("round %d: tried %v, then %+v", i+1, tried, a)
		}
		now = a.Until
	}
}

func TestNoReconnect(t *testing.T) {
	for _, cfg := range []Config{{NoReconnect: true, MaxRounds: -1}, {MaxRounds: 0}, {OnePass: true, NoReconnect: true, MaxRounds: 7}} {
		m := NewMachine(cfg, pool(t, "a,b"))
		a := m.Next(0, 0)
		m.Failed(0, a.Server, errDial, "") // the first connect still tries all
		up(t, m, 0)
		m.Lost(time.Hour, 0, false)
		if a := m.Next(time.Hour, 0); a.Kind != GiveUp {
			t.Errorf("%+v: %+v", cfg, a)
		}
	}
}

// A20: a day of outage is a day of attempts.
func TestOutageOfADay(t *testing.T) {
	m := NewMachine(defaults, pool(t, "a,b,c"))
	up(t, m, 0)
	now := 10 * s
	m.Lost(now, 0.5, false)
	rng := rand.New(rand.NewPCG(3, 4))
	n := map[string]int{}
	lost := now
	for now < 24*time.Hour {
		a := m.Next(now, rng.Float64())
		if a.Kind == GiveUp {
			t.Fatal("it gave up")
		}
		if a.Kind == Wait {
			if a.Until-now > 5*s {
				t.Fatalf("waits %v", a.Until-now)
			}
			now = a.Until
			continue
		}
		n[a.Server.Host]++
		m.Failed(now, a.Server, errDial, "")
	}
	// On average three quarters of the cap between rounds.
	for h, k := range n {
		if want := int((now - lost) / (3750 * ms)); k < want*9/10 || k > want*11/10 {
			t.Errorf("%s: %d attempts, want about %d", h, k, want)
		}
	}
	up(t, m, now)
}

func TestServersReplacedDuringAWait(t *testing.T) {
	m := NewMachine(defaults, pool(t, "a"))
	a := m.Next(0, 0.5)
	m.Failed(0, a.Server, errDial, "Authorization Violation")
	if a := m.Next(0, 0.5); a.Kind != Wait || a.Until != s {
		t.Errorf("%+v", a)
	}
	b, _ := ParseURLs("b,a")
	m.Pool().Replace(b)
	if a := m.Next(10*ms, 0.5); a.Kind != Wait {
		t.Errorf("%+v", a)
	}
	m.Now()
	tried, _ := dials(t, m, 10*ms, 0.5)
	if fmt.Sprint(tried) != "[b a]" {
		t.Errorf("%v", tried)
	}
}

// A server that is no longer a member is not called any more, not even in the
// round that is under way; a new one is called in the next.
func TestServersReplacedDuringARound(t *testing.T) {
	m := NewMachine(defaults, pool(t, "a,b,c"))
	a := m.Next(0, 0.5)
	m.Failed(0, a.Server, errDial, "")
	servers, _ := ParseURLs("d,c")
	m.Pool().Replace(servers)
	tried, w := dials(t, m, 0, 0.5)
	if !slices.Equal(tried, []string{"c"}) && !slices.Equal(tried, []string{"c", "d"}) {
		t.Errorf("%v", tried)
	}
	tried, _ = dials(t, m, w.Until, 0.5)
	if fmt.Sprint(tried) != "[d c]" {
		t.Errorf("%v", tried)
	}
}

func TestEmptyPool(t *testing.T) {
	m := NewMachine(defaults, NewPool(nil))
	if a := m.Next(0, 0); a.Kind != GiveUp {
		t.Errorf("%+v", a)
	}
	m = NewMachine(defaults, pool(t, "a"))
	up(t, m, 0)
	m.Pool().Replace(nil)
	m.Lost(time.Hour, 0, false)
	if a := m.Next(time.Hour, 0); a.Kind != GiveUp {
		t.Errorf("%+v", a)
	}
}

// A user's own delay replaces the machine's.
func TestCustomDelay(t *testing.T) {
	m := NewMachine(defaults, pool(t, "a"))
	_, a := dials(t, m, 0, 0.5)
	m.Delay(time.Hour)
	if a = m.Next(a.Until, 0.5); a.Kind != Wait || a.Until != time.Hour {
		t.Errorf("%+v", a)
	}
	m.Delay(0)
	if a = m.Next(time.Minute, 0.5); a.Kind != Dial {
		t.Errorf("%+v", a)
	}
}

// Whatever happens: it never waits for the past, never spins, never calls a
// server that is not a member, and with no end set it never gives up.
func TestMachineRandomly(t *testing.T) {
	for range 200 {
		seed := rand.Uint64()
		rng := rand.New(rand.NewPCG(seed, 0))
		m := NewMachine(defaults, pool(t, "u1,u2,u3"))
		now := time.Duration(0)
		start, dialled := now, 0
		for range 2000 {
			a := m.Next(now, rng.Float64())
			switch a.Kind {
			case GiveUp:
				t.Fatalf("seed %d: it gave up", seed)
			case Wait:
				if a.Until < now || a.Until-now > maxAuthDelay+5*s {
					t.Fatalf("seed %d: at %v until %v", seed, now, a.Until)
				}
				switch {
				case rng.IntN(10) == 0:
					m.Now()
					start, dialled = now, 0 // the user's doing
				case rng.IntN(10) == 0:
					now += time.Duration(rng.Int64N(int64(a.Until-now) + 1))
				default:
					now = a.Until
				}
			case Dial:
				dialled++
				if !slices.Contains(m.pool.servers, a.Server) {
					t.Fatalf("seed %d: %s is not a member", seed, a.Server.Host)
				}
				switch k := rng.IntN(10); {
				case k < 5:
					m.Failed(now, a.Server, errDial, "")
				case k < 8:
					m.Failed(now, a.Server, errDial, "no")
				default:
					m.Up(now, a.Server)
					m.Pool().Discover([]string{fmt.Sprintf("d%d:1", rng.IntN(4)), "d9:1"}, m.Pool().Current())
					now += time.Duration(rng.Int64N(int64(3 * s)))
					m.Lost(now, rng.Float64(), rng.IntN(20) == 0)
					start, dialled = now, 0
				}
				if rng.IntN(50) == 0 {
					servers, _ := ParseURLs([]string{"u1,u2,u3", "u2", "u4,u1"}[rng.IntN(3)])
					m.Pool().Replace(servers)
				}
			}
			if took := now - start; dialled > 200+int(took/s)*60 {
				t.Fatalf("seed %d: %d attempts in %v", seed, dialled, took)
			}
		}
	}
}
