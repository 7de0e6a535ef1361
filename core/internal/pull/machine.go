package pull

import (
	"slices"
	"time"
)

// Config is what a session wants.
type Config struct {
	MaxMessages int           // that may wait or be outstanding
	MaxBytes    int           // of those; 0: no limit
	Threshold   int           // a new pull is due when as many are left, or fewer
	Expiry      time.Duration // of one pull
	Heartbeat   time.Duration // of a silent server; 0: none
	Alert       time.Duration // that while there may be messages; 0: the same
	StopAfter   int           // ends after that many messages; 0: never
	// Once is for a fetch: StopAfter messages, and the end when the server has
	// no more or the time of Deadline is there. What goes wrong until then is
	// healed as ever.
	Once         bool
	NoWait       bool // with Once: what is there now
	Deadline     time.Duration
	EndOnSilence bool // a missing heartbeat ends the session
	// Created is when the consumer was made, and Delivered how much it had
	// delivered when that was heard; zero if another one is not to be noticed.
	Created   time.Time
	Delivered uint64
	Seed      uint64 // spreads retries of sessions that met the same fault
}

const (
	// grace is how long after its time the end of a pull may still be told;
	// probeGrace is that of a pull without heartbeats.
	grace      = 2 * time.Second
	probeGrace = time.Second
	// probeTime is how long the first pull on a link lives.
	probeTime = 500 * time.Millisecond
	// A retry waits at least minRetry; more after each failure in a row.
	minRetry = 50 * time.Millisecond
	maxRetry = 2 * time.Second
	// livedLong is how old a pull that brought nothing must have become for its
	// end to be no failure.
	livedLong = 250 * time.Millisecond
	// maxOpen is how many pulls may be unfinished beside each other.
	maxOpen = 4
	// maxKept is how many pulls are remembered for the sake of their statuses.
	maxKept = 32
	// lookEvery is how often is looked for a link of which nobody told.
	lookEvery = 5 * time.Second
	// alertBeats is how many heartbeats of Alert a pull lives for.
	alertBeats = 5
	// goneAfter is how long a consumer has to be missing to be gone: after the
	// restart of a cluster a server may not know everything yet.
	goneAfter = time.Second
)

// open is a pull whose end was not told.
type open struct {
	token     uint64
	batch     int
	bytes     int
	issued    time.Duration
	expires   time.Duration // at the server
	deadline  time.Duration
	heartbeat time.Duration
	late      bool // its end was told, before the last of what it brought
	seen      int  // messages that had come when it was issued
	seenBytes int
}

// ending is the end of a fetch's pull.
type ending struct {
	pull   open
	reason Reason
	status Status
}

// Machine is the state of one session.
type Machine struct {
	cfg Config

	up    bool
	token uint64
	pulls []open // of this link, oldest first; some may be complete
	lost  []open // given up, and perhaps alive: in a cluster pulls survive a quick reconnect

	// What is on its way to the user, in three places that do not overlap.
	base, baseBytes         int // in the connection's queue when the books were last opened anew
	outstanding, outBytes   int // pulled since and not seen; some of it may be in that queue
	buffered, bufferedBytes int // seen, and not taken by the user

	got, gotBytes   int // messages seen
	came, cameBytes int // those that were not the session's included
	taken           int // and taken by the user

	last  time.Duration // when something was last heard
	heard bool          // messages since, whose time was not noted
	seen  uint64        // items that had arrived at the last Tick
	since uint64        // items looked at since the last Tick

	proven   bool // a pull on this link was answered; before, none has heartbeats
	alert    bool // there may be messages, or trouble
	silences int  // pulls that were not, in a row
	fails    int  // of any kind, in a row
	retryAt  time.Duration
	trouble  Reason // not healed yet
	detail   string
	minBytes int // a pull of fewer bytes could not be served

	maxBatch, maxBytes int // limits of the consumer; 0: not known
	maxExpires         time.Duration

	origin    origin
	check     bool // ask whether the consumer exists, and when it was made
	checking  bool
	checkedAt time.Duration
	missing   int // answers in a row that it does not
	missingAt time.Duration

	postponed *ending // until what was sent before it has come

	part  parting
	end   Reason
	tells []Action
}

// New begins a session. No link is up before LinkUp.
func New(cfg Config) *Machine {
	return &Machine{cfg: cfg, trouble: Disconnected, origin: origin{created: cfg.Created, highest: cfg.Delivered}}
}

// LinkUp notes a new link. What is in the connection's queue is what came so
// far; the pulls of earlier links are gone, or nearly so.
func (m *Machine) LinkUp(now time.Duration, queued, bytes int) {
	m.up = true
	m.lose()
	m.reopen(queued, bytes)
	m.last = now
	m.proven, m.alert = false, true
	m.fails, m.retryAt = 0, 0
	if m.trouble == Disconnected {
		m.trouble = None
	}
}

// LinkDown notes that there is no link: nothing is pulled.
func (m *Machine) LinkDown() {
	m.up = false
	m.trouble, m.detail = Disconnected, ""
}

// lose gives the open pulls up.
func (m *Machine) lose() {
	m.lost = append(m.lost, m.pulls...)
	if n := len(m.lost) - maxKept; n > 0 {
		m.lost = slices.Delete(m.lost, 0, n)
	}
	m.pulls = m.pulls[:0]
	m.outstanding, m.outBytes = 0, 0
	m.postponed = nil
}

// reopen opens the books anew: nothing is outstanding, and what is in the
// connection's queue counts, whatever it is.
func (m *Machine) reopen(queued, bytes int) {
	m.pulls = m.pulls[:0]
	m.base, m.baseBytes = queued, bytes
	m.outstanding, m.outBytes = 0, 0
}

// Data notes a message of size bytes. It reports whether it is the session's;
// if not, it has to be given back.
func (m *Machine) Data(size int) bool {
	m.came++
	m.cameBytes += size
	if !m.item(size) {
		m.outstanding--
		m.outBytes -= size
		// A pull whose bytes are used up to the last one ends without a word.
		usedUp := m.cfg.MaxBytes > 0 && m.outBytes == 0
		m.floor()
		if usedUp && m.outBytes == 0 {
			m.outstanding = 0
		}
		if m.outstanding == 0 {
			m.pulls, m.outBytes = m.pulls[:0], 0 // all are complete
		}
	}
	m.heard = true
	m.minBytes = 0
	m.healthy()
	if m.end != None || m.cfg.StopAfter > 0 && m.got >= m.cfg.StopAfter {
		return false
	}
	m.got++
	m.gotBytes += size
	m.buffered++
	m.bufferedBytes += size
	if m.cfg.Once && m.cfg.MaxBytes > 0 && m.gotBytes >= m.cfg.MaxBytes {
		m.finish(Finished, "")
	}
	return true
}

// More notes that the server has messages that are not on their way, or had when
// it sent the last one.
func (m *Machine) More() { m.alert = true }

// Taken notes that the user has taken a message.
func (m *Machine) Taken(size int) {
	m.buffered--
	m.bufferedBytes -= size
	m.taken++
	if m.taken == m.cfg.StopAfter {
		m.finish(Finished, "")
	}
}

// Noise notes something from the connection's queue that is neither a message
// nor a status.
func (m *Machine) Noise() { m.item(0) }

// item counts something taken from the connection's queue, and reports whether
// it was there when the books were opened.
func (m *Machine) item(size int) bool {
	m.since++
	if m.base == 0 {
		return false
	}
	m.base--
	m.baseBytes = max(m.baseBytes-size, 0)
	if m.base == 0 {
		m.baseBytes = 0
	}
	return true
}

// Status notes a control message. It reports whether there ever was such a pull.
func (m *Machine) Status(now time.Duration, s Status) bool {
	m.item(0)
	if s.Token == 0 || s.Token > m.token {
		return false
	}
	m.last = now
	m.status(now, s)
	return true
}

// status notes what is said of a pull of ours.
func (m *Machine) status(now time.Duration, s Status) {
	reason, ends := s.reason()
	if reason.Fatal() {
		m.finish(reason, s.Text)
		return
	}
	i := find(m.pulls, s.Token)
	if i < 0 && !ends {
		i = m.adopt(s.Token)
	}
	switch {
	case i >= 0 && m.pulls[i].late: // nothing is new
	case i < 0: // of a pull that is over: its end changes no books
		m.lost = slices.DeleteFunc(m.lost, func(p open) bool { return p.token == s.Token })
	case !ends:
		m.healthy()
		if reason == Unknown {
			m.tell(reason, s.Text)
		}
	default:
		m.closed(now, i, reason, s)
	}
}

// closed takes a pull off the books.
func (m *Machine) closed(now time.Duration, i int, reason Reason, s Status) {
	p := m.pulls[i]
	if reason == NoResponders {
		s.Pending, s.Msgs, s.Bytes = true, p.batch, p.bytes // it met nobody
	}
	if s.Pending {
		m.outstanding -= s.Msgs
		m.outBytes -= s.Bytes
	}
	late := s.overtakes(reason) && m.outstanding > 0 && s.Msgs < p.batch
	if late {
		q := &m.pulls[i]
		q.batch, q.bytes = p.batch-s.Msgs, max(p.bytes-s.Bytes, 0)
		q.late, q.heartbeat, q.deadline = true, 0, now+grace
	} else {
		m.pulls = slices.Delete(m.pulls, i, i+1)
	}
	m.clamp()
	if late && m.cfg.Once {
		m.postponed = &ending{p, reason, s}
		return
	}
	m.ended(now, p, reason, s)
}

// resume draws the consequences that were postponed, once there is nothing more
// to wait for.
func (m *Machine) resume(now time.Duration) {
	if e := m.postponed; e != nil && m.outstanding == 0 {
		m.postponed = nil
		m.ended(now, e.pull, e.reason, e.status)
	}
}

func find(pulls []open, token uint64) int {
	return slices.IndexFunc(pulls, func(p open) bool { return p.token == token })
}

// adopt takes up a lost pull that shows signs of life.
func (m *Machine) adopt(token uint64) int {
	i := find(m.lost, token)
	if i < 0 {
		return -1
	}
	p := m.lost[i]
	m.lost = slices.Delete(m.lost, i, i+1)
	m.pulls = slices.Insert(m.pulls, 0, p)
	m.outstanding += p.batch
	m.outBytes += p.bytes
	return 0
}

// floor keeps what is outstanding above what the open pulls have to bring yet,
// whoever brought what came: a pull, and those after it, can have brought no more
// than has come since it was issued. Books that a pull of before has upset, one
// that was given up and was alive, are right again by that.
func (m *Machine) floor() {
	msgs, bytes := 0, 0
	for i := len(m.pulls) - 1; i >= 0; i-- {
		p := &m.pulls[i]
		msgs += p.batch
		bytes += p.bytes
		m.outstanding = max(m.outstanding, msgs-(m.came-p.seen))
		m.outBytes = max(m.outBytes, bytes-(m.cameBytes-p.seenBytes))
	}
	m.outstanding = max(m.outstanding, 0)
	m.outBytes = max(m.outBytes, 0)
}

// clamp keeps what is outstanding within what the open pulls can bring.
func (m *Machine) clamp() {
	msgs, bytes := 0, 0
	for _, p := range m.pulls {
		msgs += p.batch
		bytes += p.bytes
	}
	m.floor()
	m.outstanding = min(max(m.outstanding, 0), msgs)
	m.outBytes = min(max(m.outBytes, 0), bytes)
	if m.outstanding == 0 {
		m.pulls, m.outBytes = m.pulls[:0], 0
	}
}

// ended draws the consequences of a pull's end.
func (m *Machine) ended(now time.Duration, p open, reason Reason, s Status) {
	nothing := !s.Pending || s.Msgs >= p.batch // it brought nothing, as far as is known
	switch reason {
	case Expired, NoMessages, Completed:
		m.healthy()
		if nothing && p.heartbeat > 0 {
			m.alert = false // there was nothing in all that time
		}
		// A pull that had to be shorter than the fetch is not its end.
		if m.cfg.Once && (m.cfg.NoWait || reason != Expired || p.expires >= m.cfg.Deadline) {
			m.finish(Finished, "")
		} else if nothing && now-p.issued < livedLong {
			m.retry(now)
		}
		return
	case MessageTooLarge:
		if m.makeRoom(p, nothing, s.Text) {
			return
		}
	case BatchTooLarge:
		if m.adapt(s.Text) {
			m.tell(reason, s.Text)
			return
		}
	case NoResponders:
		if !m.checking && (m.checkedAt == 0 || now-m.checkedAt >= goneAfter/2) {
			m.check = true
		}
	case LeadershipChange, ServerShutdown:
		// Whoever is next knows none of our pulls. Not each of them is told so: one
		// that had just come may be lost without a word.
		m.lose()
	}
	m.proven, m.alert = false, true
	m.trouble, m.detail = reason, s.Text
	m.tell(reason, s.Text)
	m.retry(now)
}

// makeRoom deals with a message that did not fit into what a pull had left. It
// reports false if it does not fit into any.
func (m *Machine) makeRoom(p open, nothing bool, text string) bool {
	switch {
	case m.cfg.Once && m.got+m.base > 0:
		m.finish(Finished, "")
	case !nothing:
		m.healthy()
	case p.bytes < m.bytesCapacity():
		m.minBytes = p.bytes + 1 // when more has been taken it may fit
	case m.cfg.Once:
		m.finish(MessageTooLarge, text)
	default:
		return false
	}
	return true
}

// healthy notes that the consumer is there and answers.
func (m *Machine) healthy() {
	m.proven = true
	m.fails, m.silences, m.missing = 0, 0, 0
	if m.up {
		m.trouble = None
	}
}

// retry puts the next pull off; longer after each failure in a row.
func (m *Machine) retry(now time.Duration) {
	m.fails++
	d := min(minRetry<<min(m.fails-1, 10), maxRetry)
	h := (m.cfg.Seed + uint64(m.fails)) * 0x9e3779b97f4a7c15
	d += d * time.Duration(h>>56) / 1024 // up to a quarter, different for each session
	m.retryAt = max(m.retryAt, now+d)
}

func (m *Machine) tell(reason Reason, text string) {
	if m.part.stopped {
		return // nobody listens
	}
	m.tells = append(m.tells, Action{Kind: Tell, Reason: reason, Text: text})
}

// finish ends the session.
func (m *Machine) finish(reason Reason, text string) {
	if m.end == None {
		m.end, m.detail = reason, text
	}
}

// Failed notes that a pull could not be published.
func (m *Machine) Failed(now time.Duration, token uint64) {
	i := find(m.pulls, token)
	if i < 0 {
		return
	}
	m.outstanding -= m.pulls[i].batch
	m.outBytes -= m.pulls[i].bytes
	m.pulls = slices.Delete(m.pulls, i, i+1)
	m.clamp()
	m.trouble, m.detail = Disconnected, ""
	m.retry(now)
}

// Checked notes what was found out about the consumer. If gone it does not
// exist; text says what is missing.
func (m *Machine) Checked(now time.Duration, gone bool, text string) {
	m.checking, m.checkedAt = false, now
	if !gone {
		m.missing = 0
		return
	}
	if m.missing++; m.missing == 1 {
		m.missingAt = now
	}
	if m.missing > 1 && now-m.missingAt >= goneAfter {
		m.finish(ConsumerGone, text)
	}
}
