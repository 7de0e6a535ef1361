package reconnect

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// Config is the policy.
type Config struct {
	OnePass     bool          // the first connect gives up after one round
	NoReconnect bool          // the first loss ends it
	MaxRounds   int           // failed rounds since the last link before giving up; < 0: never
	MinDelay    time.Duration // between rounds
	MaxDelay    time.Duration
	AbortOnAuth int // equal refusals in a row by one server; 0: never
}

const (
	firstDelay = 100 * time.Millisecond // upper bound after the first failed round; doubles
	// stableAfter is how long a link must have lived for its loss to be
	// answered by an attempt at once. Otherwise a server that accepts and
	// drops would be called without pause.
	stableAfter   = time.Second
	authDelay     = time.Second // after the first refusal; doubles
	maxAuthDelay  = time.Minute
	maxDelayShift = 20

	// A round has no pauses, and the wait behind it may be none at all. So that
	// many servers that refuse are not called in a loop, there are at most
	// maxAttempts in any attemptsIn.
	maxAttempts = 20
	attemptsIn  = time.Second
)

// Kind says what the supervisor is to do.
type Kind uint8

const (
	Dial   Kind = iota // try Action.Server
	Wait               // until Action.Until, unless something happens
	GiveUp             // close; the errors are with the servers
)

// Action is the machine's answer.
type Action struct {
	Kind   Kind
	Server *Server
	Until  time.Duration
	Round  int  // Wait: failed rounds, and links lost too soon, in a row; 0: the round goes on
	Auth   bool // GiveUp: because of refused credentials
}

// Machine is the state of one connection's search for a server.
type Machine struct {
	cfg  Config
	pool *Pool

	everUp bool
	upAt   time.Duration
	round  int       // rounds failed and links lost too soon, in a row: what the wait grows with
	failed int       // rounds failed since the last link: what MaxRounds limits
	todo   []*Server // still to be tried in this round
	until  time.Duration
	tried  bool // something was tried in this round

	recent [maxAttempts]time.Duration // when the last attempts began, in a ring
	begun  uint64                     // attempts in it, ever
	ended  bool
	auth   bool
}

// NewMachine begins a search at once.
func NewMachine(cfg Config, pool *Pool) *Machine {
	m := &Machine{cfg: cfg, pool: pool}
	m.begin()
	return m
}

// Pool returns the servers.
func (m *Machine) Pool() *Pool { return m.pool }

// begin begins a round. Servers that failed less are tried earlier.
func (m *Machine) begin() {
	m.todo = append(m.todo[:0], m.pool.servers...)
	slices.SortStableFunc(m.todo, func(a, b *Server) int { return cmp.Compare(a.Attempts, b.Attempts) })
	m.tried = false
}

// Next says what to do now. random is uniform in [0, 1) and used once a round.
func (m *Machine) Next(now time.Duration, random float64) Action {
	if m.ended {
		return Action{Kind: GiveUp, Auth: m.auth}
	}
	if now < m.until {
		return Action{Kind: Wait, Until: m.until, Round: m.round}
	}
	for len(m.todo) > 0 {
		s := m.todo[0]
		onePass := !m.everUp && m.cfg.OnePass
		member := slices.Contains(m.pool.servers, s)
		if rest := m.Rest(now); member && rest > now && !onePass {
			m.until = rest
			return Action{Kind: Wait, Until: rest}
		}
		m.todo = m.todo[1:]
		if member && (onePass || s.notBefore <= now) {
			return m.dial(now, s)
		}
	}
	return m.roundOver(now, random)
}

// dial answers with an attempt.
func (m *Machine) dial(now time.Duration, s *Server) Action {
	m.tried = true
	m.recent[m.begun%maxAttempts] = now
	m.begun++
	return Action{Kind: Dial, Server: s}
}

// Rest is when the next attempt may begin, whatever is chosen.
func (m *Machine) Rest(now time.Duration) time.Duration {
	if m.begun < maxAttempts {
		return now
	}
	return max(now, m.recent[m.begun%maxAttempts]+attemptsIn)
}

// roundOver is reached when every server was tried, or has to be left alone.
func (m *Machine) roundOver(now time.Duration, random float64) Action {
	m.countRound()
	if !m.everUp && m.cfg.OnePass || m.exhausted() || len(m.pool.servers) == 0 {
		m.ended = true
		return Action{Kind: GiveUp}
	}
	m.until = max(now+m.delay(random), m.Rest(now))
	if earliest := m.earliest(); earliest > m.until {
		m.until = earliest
	}
	m.begin()
	return Action{Kind: Wait, Until: m.until, Round: m.round}
}

// countRound counts a round that is over, unless nothing was tried in it.
func (m *Machine) countRound() {
	if m.tried {
		m.round++
		m.failed++
	}
}

// exhausted reports whether as many rounds failed as may.
func (m *Machine) exhausted() bool { return m.cfg.MaxRounds >= 0 && m.failed >= m.cfg.MaxRounds }

// delay is between half of a bound that doubles with each round and all of it.
// Half is what keeps the clients of a server that comes back apart: see ADR
// 6.
func (m *Machine) delay(random float64) time.Duration {
	bound := m.cfg.MaxDelay
	if shift := max(m.round-1, 0); shift < maxDelayShift {
		bound = min(bound, firstDelay<<shift)
	}
	bound = max(bound, m.cfg.MinDelay)
	floor := max(m.cfg.MinDelay, bound/2)
	return floor + time.Duration(random*float64(bound-floor))
}

// earliest is when the first server may be asked again.
func (m *Machine) earliest() time.Duration {
	at := time.Duration(math.MaxInt64)
	for _, s := range m.pool.servers {
		at = min(at, s.notBefore)
	}
	return at
}

// Delay replaces the wait that Next just answered with: a user's own choice.
func (m *Machine) Delay(until time.Duration) { m.until = until }

// Barred reports whether the server is to be left alone for now, because it
// refused the credentials.
func (s *Server) Barred(now time.Duration) bool { return s.notBefore > now }

// Searching reports whether a link was lost and another is looked for.
func (m *Machine) Searching() bool { return m.everUp && !m.ended }

// Choose is Next with a server of the user's choice, which is tried now. A round
// is over when a server is chosen that had its turn. One that is no member is
// not tried: the answer is a wait that is over.
func (m *Machine) Choose(now time.Duration, s *Server) Action {
	if m.ended {
		return Action{Kind: GiveUp, Auth: m.auth}
	}
	m.until = 0
	if !slices.Contains(m.pool.servers, s) {
		return Action{Kind: Wait}
	}
	if !slices.Contains(m.todo, s) {
		m.countRound()
		if m.exhausted() {
			m.ended = true
			return Action{Kind: GiveUp}
		}
		m.begin()
	}
	m.todo = slices.DeleteFunc(m.todo, func(o *Server) bool { return o == s })
	return m.dial(now, s)
}

// Replace makes servers the pool and begins anew: what failed so far does not
// count any more.
func (m *Machine) Replace(servers []*Server) {
	m.pool.Replace(servers)
	m.round, m.failed, m.until = 0, 0, 0
	m.begin()
}

// Now ends a wait: the next attempt is made at once.
func (m *Machine) Now() {
	m.until, m.begun = 0, 0
	for _, s := range m.pool.servers {
		s.notBefore = 0
	}
	m.begin()
}

// Failed reports that the attempt on s failed. refused is what the server said
// when it did not accept the credentials, else empty.
func (m *Machine) Failed(now time.Duration, s *Server, err error, refused string) {
	s.Attempts++
	s.LastErr = err
	if refused == "" {
		s.refusals, s.sameRefusal = 0, 0
		return
	}
	if refused == s.refusal {
		s.sameRefusal++
	} else {
		s.refusal, s.sameRefusal = refused, 1
	}
	if m.cfg.AbortOnAuth > 0 && s.sameRefusal >= m.cfg.AbortOnAuth {
		m.ended, m.auth = true, true
	}
	d := maxAuthDelay
	if s.refusals < 6 {
		d = min(d, authDelay<<s.refusals)
	}
	s.refusals++
	s.notBefore = now + d
}

// Up reports that a link to s is up.
func (m *Machine) Up(now time.Duration, s *Server) {
	m.everUp, m.upAt, m.failed = true, now, 0
	s.Attempts, s.LastErr = 0, nil
	s.refusals, s.refusal, s.sameRefusal, s.notBefore = 0, "", 0, 0
	m.pool.use(s)
}

// Lost reports that the link is gone. asked means that the user wanted another.
func (m *Machine) Lost(now time.Duration, random float64, asked bool) {
	if m.cfg.NoReconnect || m.cfg.MaxRounds == 0 {
		m.ended = true
		return
	}
	m.begin()
	m.until = 0
	if asked || now-m.upAt >= stableAfter {
		m.round = 0
		return
	}
	m.round++
	m.until = now + m.delay(random)
}
