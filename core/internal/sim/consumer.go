package sim

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// ConsumerConfig shapes a model consumer. What is 0 has no limit.
type ConsumerConfig struct {
	Replicated    bool // over all servers; otherwise it lives on one of them
	AckWait       time.Duration
	MaxDeliver    int
	MaxAckPending int
	MaxWaiting    int // 512 if 0
	MaxBatch      int
	MaxBytes      int
	MaxExpires    time.Duration
}

// StreamName is the name of all streams of the model.
const StreamName = "S"

const (
	nextPrefix = "$JS.API.CONSUMER.MSG.NEXT." + StreamName + "."
	ackPrefix  = "$JS.ACK." + StreamName + "."
)

// Consumer is a stream and the one pull consumer that it has, as the server knows
// them that leads both. What was acknowledged leaves the stream. It decides as
// nats-server 2.15 does, which is slower only by what it has to tell its followers.
type Consumer struct {
	Name   string
	Config ConsumerConfig
	Exists bool
	Leads  bool // some server is responsible for it
	Since  time.Duration
	// Sent counts the messages that left for an inbox, and Taken those that
	// other clients got.
	Sent, Taken uint64

	w    *World
	c    *Cluster
	home *Server
	term int // of leaders: what was scheduled in another one does not happen

	msgs    []stored // the message with sequence n is at n-1
	open    int      // of those
	next    int      // the next one that is delivered for the first time
	dseq    int
	pending []pending // delivered and not acknowledged, in the order of delivery
	again   []int     // to be delivered again
	tries   map[int]int
	check   *Timer // looks at pending

	waiting []*request
	tidied  time.Duration // when all of waiting were last looked at
	look    *Timer        // looks at waiting
	woken   bool          // gather is about to run

	outgoing     []outgoing // replicated before it is sent
	forgetUntil  time.Duration
	unknownUntil time.Duration
}

// fate is what became of a stored message.
type fate uint8

const (
	inStream fate = iota
	acked
	termed
	givenUp
)

type stored struct {
	size  int
	fake  bool // it looks like a status
	fate  fate
	first time.Duration // when it was first delivered
}

// outgoing is what waits for the followers.
type outgoing struct {
	to string
	m  *Message
}

// AddConsumer makes a stream with a consumer. They are there at once.
func (c *Cluster) AddConsumer(name string, cfg ConsumerConfig) *Consumer {
	if cfg.MaxWaiting == 0 {
		cfg.MaxWaiting = 512
	}
	o := &Consumer{
		Name: name, Config: cfg, Exists: true, Leads: true, w: c.w, c: c, tries: make(map[int]int),
		home: c.Servers[len(c.consumers)%len(c.Servers)],
	}
	c.consumers = append(c.consumers, o)
	return o
}

// NextSubject is where pulls go to.
func (o *Consumer) NextSubject() string { return nextPrefix + o.Name }

// Store puts a message into the stream and returns its sequence. fake makes it
// look like a status.
func (o *Consumer) Store(size int, fake bool) int {
	o.msgs = append(o.msgs, stored{size: size, fake: fake})
	o.open++
	o.signal()
	return len(o.msgs)
}

// Open is how many messages were neither acknowledged nor given up.
func (o *Consumer) Open() int { return o.open }

// Started reports whether a message was delivered, or is no more.
func (o *Consumer) Started(seq int) bool {
	m := &o.msgs[seq-1]
	return m.first > 0 || m.fate != inStream
}

// Deliverable reports whether a pull would be given a message now.
func (o *Consumer) Deliverable() bool {
	if !o.Leads || len(o.again) > 0 {
		return o.Leads
	}
	if p := o.Config.MaxAckPending; p > 0 && len(o.pending) >= p {
		return false
	}
	for o.next < len(o.msgs) && o.msgs[o.next].fate != inStream {
		o.next++
	}
	return o.next < len(o.msgs)
}

// settleFate ends a message's time in the stream.
func (o *Consumer) settleFate(seq int, f fate) {
	if m := &o.msgs[seq-1]; m.fate == inStream {
		m.fate = f
		o.open--
	}
}

// serve acts on what a client published for the consumer. It reports false if it
// is for nobody here.
func (c *Cluster) serve(p *Peer, m *Message) bool {
	if !strings.HasPrefix(m.Subject, "$JS.") {
		return false
	}
	for _, o := range c.consumers {
		if rest, ok := strings.CutPrefix(m.Subject, nextPrefix); ok && rest == o.Name {
			if c.w.now < o.forgetUntil {
				c.w.Sometimes("js: a pull met a leader that was about to go")
				return true
			}
			if !o.Leads {
				return false
			}
			o.request(p, m)
			return true
		}
		if rest, ok := strings.CutPrefix(m.Subject, ackPrefix+o.Name+"."); ok {
			if o.Leads {
				o.acknowledged(rest, string(m.Data))
			}
			return true
		}
	}
	return false
}

// signal has the consumer look for what it can deliver.
func (o *Consumer) signal() {
	if o.woken || !o.Leads {
		return
	}
	o.woken = true
	term := o.term
	o.w.After(o.w.Between(0, 50*time.Microsecond), func() {
		if o.term == term {
			o.woken = false
			o.gather()
		}
	})
}

// found is what a look into the stream has shown.
type found uint8

const (
	aMessage found = iota
	endOfStream
	tooManyPending
)

// take finds the next message to deliver, and how often it will have been then.
func (o *Consumer) take() (seq, tries int, what found) {
	for len(o.again) > 0 {
		seq, o.again = o.again[0], o.again[1:]
		if o.msgs[seq-1].fate != inStream {
			continue
		}
		o.tries[seq]++
		if tries = o.tries[seq] + 1; o.Config.MaxDeliver > 0 && tries > o.Config.MaxDeliver {
			o.giveUp(seq)
			continue
		}
		return seq, tries, aMessage
	}
	if p := o.Config.MaxAckPending; p > 0 && len(o.pending) >= p {
		o.w.Sometimes("js: MaxAckPending was reached")
		return 0, 0, tooManyPending
	}
	if !o.Deliverable() {
		return 0, 0, endOfStream
	}
	o.next++
	return o.next, 1, aMessage
}

// putBack undoes take.
func (o *Consumer) putBack(seq, tries int) {
	if tries == 1 && seq == o.next {
		o.next--
		return
	}
	if o.tries[seq]--; o.tries[seq] <= 0 {
		delete(o.tries, seq)
	}
	o.again = append(o.again, seq)
}

// gather delivers what there is to those who wait.
func (o *Consumer) gather() {
	what := endOfStream
	for len(o.waiting) > 0 {
		var seq, tries int
		if seq, tries, what = o.take(); what != aMessage {
			break
		}
		m := o.message(seq, tries)
		size := len(m.Subject) + len(m.Reply) + len(m.Header) + len(m.Data)
		r := o.nextWaiting(size)
		if r == nil {
			o.putBack(seq, tries)
			what = aMessage
			break
		}
		o.deliver(r, seq, m)
	}
	o.armLook(o.tidy(what != tooManyPending))
}

// message makes the message with a sequence.
func (o *Consumer) message(seq, tries int) *Message {
	s := &o.msgs[seq-1]
	ack := fmt.Sprintf("%s%s.%d.%d.%d.%d.%d", ackPrefix, o.Name, tries, seq, o.dseq+1, int64(o.w.now), len(o.msgs)-o.next)
	m := &Message{Subject: "orders." + o.Name, Reply: ack}
	if s.fake {
		m.Header = "NATS/1.0 409 Consumer Deleted\r\n\r\n"
	}
	m.Data = append(strconv.AppendInt(nil, int64(seq), 10), strings.Repeat("x", s.size)...)
	return m
}

// deliver sends a message to the inbox of a pull.
func (o *Consumer) deliver(r *request, seq int, m *Message) {
	o.dseq++
	if s := &o.msgs[seq-1]; s.first == 0 {
		s.first = max(o.w.now, 1)
	}
	if r.other {
		o.Taken++
		o.settleFate(seq, acked)
		o.forget(seq)
		return
	}
	o.trackPending(seq)
	o.w.Trace("js: deliver "+o.Name, seq, int64(o.dseq))
	o.send(r.reply, m, true)
	if r.n <= 0 && r.bytes > 0 {
		o.status(r.reply, "409 Batch Completed", r, false)
	}
}

// send sends something to an inbox. What is behind a message that waits for the
// followers waits too, if it has to.
func (o *Consumer) send(to string, m *Message, behind bool) {
	m.To = to
	waits := false
	for _, x := range o.outgoing {
		waits = waits || x.to == to
	}
	message := m.Reply != ""
	if !o.Config.Replicated || !behind || !message && !waits {
		o.leave(m)
		return
	}
	o.outgoing = append(o.outgoing, outgoing{to, m})
	if len(o.outgoing) == 1 {
		o.replicate()
	}
}

// replicate sends the first of what waits when the followers have it.
func (o *Consumer) replicate() {
	term := o.term
	o.w.After(o.w.Between(100*time.Microsecond, 2*time.Millisecond), func() {
		if o.term != term {
			return
		}
		n := 1 + o.w.rng.IntN(len(o.outgoing)) // some at a time
		for _, x := range o.outgoing[:n] {
			o.leave(x.m)
		}
		if o.outgoing = o.outgoing[n:]; len(o.outgoing) > 0 {
			o.replicate()
		}
	})
}

func (o *Consumer) leave(m *Message) {
	if m.Reply != "" {
		o.Sent++
	}
	o.c.Deliver(m)
}
