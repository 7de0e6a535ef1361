package pull

import (
	"fmt"
	"testing"
	"time"
)

const sec = time.Second

// rig calls a machine as a session does, with the actions on record.
type rig struct {
	*Machine
	t     *testing.T
	now   time.Duration
	pulls []Request
	tells []Reason
	check int
	end   Reason
	text  string
	left  time.Duration // when it said so
	at    time.Duration
}

func usual() Config {
	return Config{MaxMessages: 100, Threshold: 50, Expiry: 30 * sec, Heartbeat: 5 * sec}
}

func newRig(t *testing.T, cfg Config) *rig {
	r := &rig{Machine: New(cfg), t: t, now: time.Hour}
	return r
}

// started is a rig with a link, after its first pull.
func started(t *testing.T, cfg Config) *rig {
	r := newRig(t, cfg)
	r.LinkUp(r.now, 0, 0)
	r.run()
	if len(r.pulls) != 1 {
		t.Fatalf("%d pulls at the start", len(r.pulls))
	}
	return r
}

func (r *rig) run() {
	for range 100 {
		a := r.Next(r.now)
		switch a.Kind {
		case Pull:
			r.pulls = append(r.pulls, a.Request)
		case Tell:
			r.tells = append(r.tells, a.Reason)
		case Check:
			r.check++
		case End:
			r.end, r.text = a.Reason, a.Text
			return
		case Leave:
			if r.left != 0 {
				r.t.Error("it leaves again")
			}
			r.left = r.now
		case Wait:
			r.at = a.At
			return
		}
	}
	r.t.Fatal("it never waits")
}

// pass lets time go by, with ticks when they are due.
func (r *rig) pass(d time.Duration) {
	until := r.now + d
	for r.end == None && r.at <= until {
		r.now = r.at
		r.Tick(r.now, World{Up: r.up})
		r.run()
	}
	r.now = until
}

// beat is pass with the heartbeats of the last pull.
func (r *rig) beat(d time.Duration) {
	for range int(d / sec) {
		r.pass(sec)
		r.status(r.last().Token, 100, "Idle Heartbeat")
	}
}

func (r *rig) status(token uint64, code int, text string) {
	r.Status(r.now, Status{Token: token, Code: code, Text: text})
	r.run()
}

func (r *rig) rest(token uint64, code int, text string, msgs, bytes int) {
	r.Status(r.now, Status{token, code, text, true, msgs, bytes})
	r.run()
}

// data lets n messages arrive, and the user take them.
func (r *rig) data(n, size int) {
	for range n {
		if r.Data(size) {
			r.Taken(size)
		}
		if r.Ready() {
			r.run()
		}
	}
}

// untilPull lets time go by until there is the nth pull.
func (r *rig) untilPull(n int) {
	r.t.Helper()
	for limit := r.now + time.Minute; len(r.pulls) < n && r.now < limit; {
		r.pass(10 * time.Millisecond)
	}
	r.want(n)
}

func (r *rig) last() Request { return r.pulls[len(r.pulls)-1] }

func (r *rig) want(pulls int) {
	r.t.Helper()
	if len(r.pulls) != pulls {
		r.t.Fatalf("%d pulls, want %d: %+v", len(r.pulls), pulls, r.pulls)
	}
}

func TestCredit(t *testing.T) {
	r := started(t, usual())
	if p := r.last(); p.Batch != 100 || p.Heartbeat != 0 || p.Expires != probeTime {
		t.Errorf("first pull %+v", p)
	}
	r.data(49, 10)
	r.want(1)
	r.data(1, 10)
	r.want(2)
	if p := r.last(); p.Batch != 50 || p.Heartbeat != 5*sec || p.Expires != 30*sec || p.Token == r.pulls[0].Token {
		t.Errorf("second pull %+v", p)
	}
	// What waits for the user is no credit.
	for range 100 {
		if !r.Data(10) {
			t.Fatal("a message was refused")
		}
	}
	r.run()
	r.want(2)
	for range 49 {
		r.Taken(10)
	}
	r.run()
	r.want(2)
	r.Taken(10)
	r.run()
	r.want(3)
	if p := r.last(); p.Batch != 50 {
		t.Errorf("pull for %d", p.Batch)
	}
}

func TestCapacityOfOne(t *testing.T) {
	r := started(t, Config{MaxMessages: 1, Expiry: 30 * sec, Heartbeat: 5 * sec})
	for i := range 100 {
		r.status(r.last().Token, 100, "Idle Heartbeat") // takes no place
		r.want(i + 1)
		r.data(1, 10)
		r.want(i + 2)
		if r.last().Batch != 1 {
			t.Fatalf("pull for %d", r.last().Batch)
		}
	}
}

// A status says what its own pull did not bring.
func TestRestIsOfItsPull(t *testing.T) {
	r := started(t, usual())
	r.data(50, 10) // pull 2 asks for 50
	r.want(2)
	r.rest(1, 408, "Request Timeout", 50, 0)
	if r.outstanding != 100 || r.last().Batch != 50 {
		t.Errorf("%d outstanding, the last pull is for %d", r.outstanding, r.last().Batch)
	}
	r.want(3)
	r.rest(1, 408, "Request Timeout", 50, 0) // again
	r.status(99, 408, "Request Timeout")     // never sent
	if r.outstanding != 100 {
		t.Errorf("%d outstanding, want 100", r.outstanding)
	}
	r.want(3)
}

func TestStatuses(t *testing.T) {
	for _, c := range []struct {
		code   int
		text   string
		rest   bool
		tell   Reason
		end    Reason
		within time.Duration // of the next pull; 0: at once
	}{
		{408, "Request Timeout", true, None, None, minRetry * 2},
		{408, "Interest Expired", true, None, None, minRetry * 2},
		{408, "Requests Pending", false, None, None, minRetry * 2},
		{404, "No Messages", false, None, None, minRetry * 2},
		{409, "Leadership Change", false, LeadershipChange, None, minRetry * 2},
		{409, "Server Shutdown", true, ServerShutdown, None, minRetry * 2},
		{409, "Exceeded MaxWaiting", false, MaxWaiting, None, minRetry * 2},
		{409, "Message Size Exceeds MaxBytes", true, MessageTooLarge, None, minRetry * 2},
		{409, "exceeded maxwaiting", false, MaxWaiting, None, minRetry * 2},
		{409, "Exceeded MaxRequestBatch of 10", false, BatchTooLarge, None, 0},
		{409, "Exceeded MaxRequestExpires of 2s", false, BatchTooLarge, None, 0},
		{409, "Exceeded MaxRequestMaxBytes of 1000", false, BatchTooLarge, None, 0},
		{409, "Exceeded MaxRequestBatch of many", false, BatchTooLarge, None, minRetry * 2},
		{409, "Something New", true, Unknown, None, minRetry * 2},
		{423, "Nats-Wrong-Pin-Id", true, PinMismatch, None, minRetry * 2},
		{423, "Nats-Pin-Id mismatch", false, PinMismatch, None, minRetry * 2},
		{503, "", false, NoResponders, None, minRetry * 2},
		{409, "Consumer Deleted", false, None, ConsumerDeleted, 0},
		{409, "Consumer is push based", false, None, PushBased, 0},
		{400, "Bad Request - heartbeat value too large", false, None, BadRequest, 0},
		{412, "Required Api Level", false, None, APILevel, 0},
	} {
		t.Run(fmt.Sprint(c.code, c.text), func(t *testing.T) {
			cfg := usual()
			cfg.MaxBytes = 1 << 20
			r := started(t, cfg)
			p := r.last()
			r.Status(r.now, Status{p.Token, c.code, c.text, c.rest, p.Batch, p.MaxBytes})
			r.run()
			if r.end != c.end || c.end == BadRequest && r.text != c.text {
				t.Fatalf("ended by %v %q, want %v", r.end, r.text, c.end)
			}
			if c.end != None {
				return
			}
			if c.within > 0 {
				r.want(1) // a retry has a floor
				r.pass(minRetry - 1)
				r.want(1)
				r.pass(c.within)
			}
			r.want(2)
			if r.outstanding != r.last().Batch || r.inflight() > 100 || r.inflightBytes() > 1<<20 {
				t.Errorf("outstanding %d", r.outstanding)
			}
			if (len(r.tells) == 1) != (c.tell != None) || c.tell != None && r.tells[0] != c.tell {
				t.Errorf("told %v, want %v", r.tells, c.tell)
			}
			if (r.check == 1) != (c.code == 503) {
				t.Errorf("%d checks", r.check)
			}
		})
	}
}

func TestUnknownStatusLeavesItsPull(t *testing.T) {
	r := started(t, usual())
	r.status(1, 299, "Be Prepared")
	r.pass(sec)
	r.want(1)
	if r.outstanding != 100 || len(r.tells) != 1 {
		t.Errorf("outstanding %d, told %v", r.outstanding, r.tells)
	}
}

func TestLimitsAreLearned(t *testing.T) {
	cfg := usual()
	cfg.MaxBytes = 1 << 20
	r := started(t, cfg)
	r.status(1, 409, "Exceeded MaxRequestBatch of 10")
	r.status(2, 409, "Exceeded MaxRequestExpires of 2s")
	r.status(3, 409, "Exceeded MaxRequestMaxBytes of 1000")
	p := r.last()
	if p.Batch != 10 || p.Expires != probeTime || p.MaxBytes != 1000 {
		t.Fatalf("%+v", p)
	}
	r.data(10, 10)
	p = r.last()
	if p.Batch != 10 || p.Expires != 2*sec || p.MaxBytes != 1000 || p.Heartbeat != sec {
		t.Errorf("%+v", p)
	}
}

// A pull in the middle of its life that ends is no failure.
func TestExpiry(t *testing.T) {
	r := started(t, usual())
	for i := range 10 {
		if r.last().Heartbeat > 0 {
			r.beat(r.last().Expires)
		} else {
			r.pass(r.last().Expires)
		}
		r.rest(r.last().Token, 408, "Request Timeout", 100, 0)
		r.want(i + 2)
	}
	if len(r.tells) > 0 {
		t.Errorf("told %v", r.tells)
	}
}

func TestSilence(t *testing.T) {
	r := started(t, usual())
	// The first pull has no heartbeats; the server forgets it.
	r.pass(probeTime + probeGrace - 1)
	r.want(1)
	r.pass(2 * minRetry)
	r.want(2)
	if r.last().Heartbeat != 0 || r.last().Expires != 2*probeTime {
		t.Fatalf("%+v", r.last())
	}
	// This one is answered, the next one has heartbeats and is forgotten.
	r.rest(2, 408, "Request Timeout", 100, 0)
	r.pass(2 * minRetry)
	r.want(3)
	if r.last().Heartbeat != 5*sec {
		t.Fatalf("%+v", r.last())
	}
	r.pass(3 * sec)
	r.status(3, 100, "Idle Heartbeat")
	r.pass(10*sec - 1)
	r.want(3)
	r.pass(2 * minRetry)
	r.want(4)
	if r.last().Heartbeat != 0 || len(r.tells) != 2 || r.tells[0] != NoHeartbeat {
		t.Errorf("%+v, told %v", r.last(), r.tells)
	}
	// Too many pulls are the reason, and that is told now. Retries have a floor
	// that grows.
	began := r.now
	for i := range 20 {
		r.status(r.last().Token, 409, "Exceeded MaxWaiting")
		r.untilPull(5 + i)
	}
	if took := r.now - began; took < 20*sec || took > 50*sec {
		t.Errorf("20 pulls took %v", took)
	}
}

func TestSilenceIsSeenThroughData(t *testing.T) {
	r := started(t, usual())
	r.data(50, 10)
	for range 100 {
		r.pass(sec)
		r.data(1, 10)
	}
	before := len(r.pulls)
	began := r.now
	r.untilPull(before + 1)
	if took := r.now - began; took < 9*sec || took > 15*sec+2*minRetry { // three heartbeats
		t.Errorf("pulled again after %v", took)
	}
}

func TestEndOnSilence(t *testing.T) {
	cfg := usual()
	cfg.EndOnSilence = true
	r := started(t, cfg)
	r.data(50, 10)
	r.pass(20 * sec)
	if r.end != NoHeartbeat {
		t.Errorf("ended by %v", r.end)
	}
}

func TestReconnect(t *testing.T) {
	r := started(t, usual())
	for range 60 {
		r.Data(10) // wait for the user
	}
	for range 20 {
		r.Taken(10)
	}
	r.LinkDown()
	r.run()
	r.pass(time.Minute)
	r.want(1)
	// 15 more are in the connection's queue.
	r.LinkUp(r.now, 15, 150)
	r.run()
	r.want(1) // 55 are here
	for range 4 {
		r.Taken(10)
	}
	r.run()
	r.want(1)
	r.Taken(10)
	r.run()
	r.want(2)
	if p := r.last(); p.Batch != 50 {
		t.Errorf("pull for %d, want 50", p.Batch)
	}
	// Those 15 are not of the new pull; one of them is a status.
	for range 14 {
		r.Data(10)
	}
	r.status(1, 409, "Leadership Change")
	if r.outstanding != 50 || r.base != 0 || r.inflight() != 99 {
		t.Errorf("outstanding %d, base %d, in flight %d", r.outstanding, r.base, r.inflight())
	}
}

// In a cluster a pull may outlive its link.
func TestSurvivor(t *testing.T) {
	r := started(t, usual())
	r.LinkDown()
	r.LinkUp(r.now, 0, 0)
	r.run()
	r.want(2)
	r.status(1, 100, "Idle Heartbeat")
	if r.outstanding != 200 {
		t.Errorf("%d outstanding, want 200", r.outstanding)
	}
	r.data(120, 10)
	r.want(2)
	r.rest(1, 408, "Request Timeout", 40, 0)
	if r.outstanding != 40+60 && r.outstanding != 40 {
		t.Errorf("%d outstanding", r.outstanding)
	}
}

func TestNobodyTellsOfTheLink(t *testing.T) {
	r := newRig(t, usual())
	r.run()
	r.want(0)
	r.now = r.at
	r.Tick(r.now, World{Up: true})
	r.run()
	r.want(1)
}

func TestConsumerIsMissing(t *testing.T) {
	r := started(t, usual())
	for range 50 {
		if r.end != None {
			break
		}
		r.status(r.last().Token, 503, "")
		if r.checking {
			r.Checked(r.now, true, "consumer not found")
			r.run()
		}
		r.pass(200 * time.Millisecond)
	}
	if r.end != ConsumerGone || r.text != "consumer not found" {
		t.Errorf("ended by %v %q", r.end, r.text)
	}
	if r.check < 2 || r.check > 4 {
		t.Errorf("%d checks", r.check)
	}
}

func TestNoLeaderIsHealed(t *testing.T) {
	r := started(t, usual())
	for range 60 {
		r.status(r.last().Token, 503, "")
		if r.checking {
			r.Checked(r.now, false, "")
		}
		r.pass(sec)
	}
	if r.end != None {
		t.Fatalf("ended by %v", r.end)
	}
	n := len(r.pulls)
	if n > 60 {
		t.Errorf("%d pulls in a minute", n)
	}
	r.pass(maxRetry * 5 / 4)
	r.data(1, 10)
	if r.fails != 0 || r.trouble != None {
		t.Error("still in trouble")
	}
}

func TestStopAfter(t *testing.T) {
	cfg := usual()
	cfg.StopAfter = 120
	r := started(t, cfg)
	r.data(119, 10)
	total := 0
	for _, p := range r.pulls {
		total += p.Batch
	}
	if total != 120 || r.end != None {
		t.Fatalf("pulled %d, ended by %v", total, r.end)
	}
	r.data(1, 10)
	if r.end != Finished {
		t.Errorf("ended by %v", r.end)
	}
	if r.Data(10) {
		t.Error("took one too many")
	}
}

func TestBytes(t *testing.T) {
	cfg := usual()
	cfg.MaxBytes = 1000
	r := started(t, cfg)
	if r.last().MaxBytes != 1000 {
		t.Fatalf("%+v", r.last())
	}
	// Three messages of 300 are here, the fourth does not fit.
	for range 3 {
		r.Data(300)
	}
	r.rest(1, 409, "Message Size Exceeds MaxBytes", 97, 100)
	r.pass(sec)
	r.want(1)
	r.Taken(300)
	r.run()
	r.want(1) // 600 are here, more than half
	r.Taken(300)
	r.run()
	r.want(2)
	if r.last().MaxBytes != 700 {
		t.Fatalf("%+v", r.last())
	}
	// A message of 800: it needs all the room.
	r.rest(2, 409, "Message Size Exceeds MaxBytes", r.last().Batch, 700)
	r.pass(sec)
	r.want(2)
	r.Taken(300)
	r.run()
	r.want(3)
	if r.last().MaxBytes != 1000 || len(r.tells) != 0 {
		t.Fatalf("%+v, told %v", r.last(), r.tells)
	}
	// One of 2,000 never fits: that is told, and is no busy loop.
	began := r.now
	for i := range 10 {
		r.rest(r.last().Token, 409, "Message Size Exceeds MaxBytes", r.last().Batch, 1000)
		r.untilPull(4 + i)
	}
	if took := r.now - began; took < 10*sec || len(r.pulls) != 13 || len(r.tells) != 10 || r.tells[0] != MessageTooLarge {
		t.Errorf("%d pulls in %v, told %v", len(r.pulls), took, r.tells)
	}
}

func TestRetriesAreSpread(t *testing.T) {
	seen := make(map[time.Duration]bool)
	for seed := range uint64(100) {
		cfg := usual()
		cfg.Seed = seed
		r := started(t, cfg)
		r.status(1, 409, "Leadership Change")
		if r.at-r.now < minRetry || r.at-r.now > minRetry*5/4 {
			t.Errorf("retry in %v", r.at-r.now)
		}
		seen[r.at] = true
	}
	if len(seen) < 50 {
		t.Errorf("%d different retries of 100", len(seen))
	}
}

// A retry whose time came while there was no credit does not hold up the pull
// that is due later.
func TestRetryIsForgotten(t *testing.T) {
	r := started(t, usual())
	for range 60 {
		r.Data(10)
	}
	r.rest(1, 409, "Server Shutdown", 40, 0)
	r.pass(sec)
	r.want(1)
	for range 10 {
		r.Taken(10)
	}
	if !r.Ready() {
		t.Error("not ready to pull")
	}
}

func TestOpenPullsAreFew(t *testing.T) {
	r := started(t, usual())
	r.status(1, 409, "Exceeded MaxRequestBatch of 1")
	r.want(1 + maxOpen)
	for range 100 {
		r.data(1, 10)
		if r.outstanding != maxOpen {
			t.Fatalf("%d outstanding", r.outstanding)
		}
	}
}

func TestFailedPublish(t *testing.T) {
	r := started(t, usual())
	r.Failed(r.now, 1)
	r.run()
	if r.outstanding != 0 {
		t.Errorf("%d outstanding", r.outstanding)
	}
	r.want(1)
	r.pass(2 * minRetry)
	r.want(2)
}

func fetch(n int) Config {
	return Config{MaxMessages: n, StopAfter: n, Once: true, Expiry: 30 * sec, Heartbeat: 5 * sec, Deadline: time.Hour + 30*sec}
}

func TestFetch(t *testing.T) {
	for _, c := range []struct {
		name string
		play func(r *rig)
		end  Reason
		at   time.Duration
	}{
		{"full", func(r *rig) { r.data(10, 10) }, Finished, 0},
		{"some", func(r *rig) { r.data(4, 10); r.beat(30 * sec); r.rest(1, 408, "Request Timeout", 6, 0) }, Finished, 30 * sec},
		{"none", func(r *rig) { r.beat(30 * sec); r.rest(1, 408, "Request Timeout", 10, 0) }, Finished, 30 * sec},
		{"no answer", func(r *rig) {
			r.pass(8 * sec)
			r.status(1, 100, "Idle Heartbeat")
			r.pass(10*sec + 2*minRetry) // another pull
			r.want(2)
			r.pass(time.Minute)
		}, NoHeartbeat, 30 * sec},
		{"nobody there", func(r *rig) {
			for r.end == None && r.now < time.Hour+31*sec {
				r.status(r.last().Token, 503, "")
				r.pass(sec)
			}
		}, NoResponders, 30 * sec},
		{"deleted", func(r *rig) { r.data(1, 10); r.status(1, 409, "Consumer Deleted") }, ConsumerDeleted, 0},
		{"leader changes", func(r *rig) {
			r.data(4, 10)
			r.status(1, 409, "Leadership Change")
			r.pass(2 * minRetry)
			if p := r.last(); p.Batch != 6 || p.Expires != probeTime {
				r.t.Errorf("%+v", p)
			}
			r.data(6, 10)
		}, Finished, 2 * minRetry},
		{"reconnect", func(r *rig) {
			r.data(4, 10)
			r.LinkDown()
			r.run()
			r.pass(5 * sec)
			r.LinkUp(r.now, 2, 20)
			r.run()
			r.data(2, 10)
			if p := r.last(); p.Batch != 4 || p.Expires != 25*sec {
				r.t.Errorf("%+v", p)
			}
			r.data(4, 10)
		}, Finished, 5 * sec},
		{"disconnected", func(r *rig) { r.LinkDown(); r.run(); r.pass(time.Minute) }, Disconnected, 30 * sec},
		{"limited", func(r *rig) {
			r.status(1, 409, "Exceeded MaxRequestBatch of 3")
			r.status(2, 409, "Exceeded MaxRequestExpires of 10s")
			r.pass(10 * sec)
			r.rest(3, 408, "Request Timeout", 3, 0)
			for range 10 {
				r.data(1, 10)
			}
		}, Finished, 10 * sec},
		{"too large", func(r *rig) { r.rest(1, 409, "Message Size Exceeds MaxBytes", 10, 500) }, MessageTooLarge, 0},
		{"no more fits", func(r *rig) { r.data(2, 200); r.rest(1, 409, "Message Size Exceeds MaxBytes", 8, 100) }, Finished, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := fetch(10)
			if c.name == "too large" || c.name == "no more fits" {
				cfg.MaxBytes = 500
			}
			r := started(t, cfg)
			if p := r.last(); p.Batch != 10 || p.Expires != 30*sec || p.Heartbeat != 5*sec {
				t.Fatalf("%+v", p)
			}
			c.play(r)
			if r.end != c.end {
				t.Fatalf("ended by %v, want %v", r.end, c.end)
			}
			if took := r.now - time.Hour; took < c.at {
				t.Errorf("ended after %v", took)
			}
		})
	}
}

func TestFetchWithoutALink(t *testing.T) {
	r := newRig(t, fetch(10))
	r.run()
	r.pass(time.Minute)
	if r.end != Disconnected {
		t.Errorf("ended by %v", r.end)
	}
	r = started(t, fetch(10))
	for r.end == None {
		r.Failed(r.now, r.last().Token)
		r.run()
		r.pass(sec)
	}
	if r.end != Disconnected {
		t.Errorf("when no pull can be sent, ended by %v", r.end)
	}
}

func TestFetchNoWait(t *testing.T) {
	cfg := fetch(10)
	cfg.NoWait, cfg.Deadline = true, time.Hour+5*sec
	r := started(t, cfg)
	if p := r.last(); !p.NoWait || p.Expires != 0 || p.Heartbeat != 0 {
		t.Errorf("%+v", p)
	}
	r.data(3, 10)
	r.status(1, 404, "No Messages")
	if r.end != Finished {
		t.Errorf("ended by %v", r.end)
	}
	r = started(t, cfg)
	r.pass(5 * sec)
	if r.end != NoHeartbeat {
		t.Errorf("without an answer ended by %v", r.end)
	}
}
