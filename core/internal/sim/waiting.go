package sim

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/perigee-go/nats/core/internal/subject"
)

// request is a pull that waits at the consumer.
type request struct {
	reply    string
	n, given int
	bytes    int // 0: no limit
	expires  time.Duration
	beat     time.Duration // the next heartbeat; 0: none
	every    time.Duration
	noWait   bool
	known    time.Duration // when the followers know of it
	other    bool          // of a client that is not part of the simulation
}

// requestBody is what a pull says.
type requestBody struct {
	Batch     int           `json:"batch"`
	Expires   time.Duration `json:"expires"`
	MaxBytes  int           `json:"max_bytes"`
	Heartbeat time.Duration `json:"idle_heartbeat"`
	NoWait    bool          `json:"no_wait"`
}

// request takes a pull, or refuses it.
func (o *Consumer) request(p *Peer, m *Message) {
	var b requestBody
	if err := json.Unmarshal(m.Data, &b); err != nil || m.Reply == "" || b.Batch < 1 || b.Expires < 0 || b.MaxBytes < 0 {
		o.w.Fail("client %d pulls with %q, reply %q", p.Who, m.Data, m.Reply)
		return
	}
	o.w.Trace("js: pull "+o.Name, p.Who, int64(b.Batch))
	refuse := func(status string) { o.status(m.Reply, status, nil, false) }
	cfg := &o.Config
	switch {
	case b.Heartbeat > 0 && b.Heartbeat*2 > b.Expires:
		o.w.Fail("client %d pulls for %v with a heartbeat of %v", p.Who, b.Expires, b.Heartbeat)
		return
	case cfg.MaxBatch > 0 && b.Batch > cfg.MaxBatch:
		refuse("409 Exceeded MaxRequestBatch of " + strconv.Itoa(cfg.MaxBatch))
		return
	case cfg.MaxExpires > 0 && b.Expires > cfg.MaxExpires:
		refuse(fmt.Sprint("409 Exceeded MaxRequestExpires of ", cfg.MaxExpires))
		return
	case cfg.MaxBytes > 0 && b.MaxBytes > cfg.MaxBytes:
		refuse("409 Exceeded MaxRequestMaxBytes of " + strconv.Itoa(cfg.MaxBytes))
		return
	}
	if len(o.waiting) >= cfg.MaxWaiting && o.w.now-o.tidied > time.Second {
		o.tidy(false)
	}
	if b.NoWait && o.refuseNoWait(b, refuse) {
		return
	}
	if len(o.waiting) >= cfg.MaxWaiting {
		o.w.Sometimes("js: MaxWaiting was reached")
		if b.Heartbeat == 0 {
			refuse("409 Exceeded MaxWaiting")
		}
		return
	}
	r := &request{reply: m.Reply, n: b.Batch, bytes: b.MaxBytes, noWait: b.NoWait, every: b.Heartbeat}
	if b.Expires > 0 {
		r.expires = o.w.now + b.Expires
	}
	if b.Heartbeat > 0 {
		r.beat = o.w.now + b.Heartbeat
	}
	r.known = o.w.now + o.w.Between(0, 5*time.Millisecond)
	o.waiting = append(o.waiting, r)
	o.signal()
}

// refuseNoWait refuses a pull that does not wait and would have to.
func (o *Consumer) refuseNoWait(b requestBody, refuse func(string)) bool {
	there := len(o.again)
	for i := o.next; i < len(o.msgs); i++ {
		if o.msgs[i].fate == inStream {
			there++
		}
	}
	if there == 0 && b.Expires == 0 {
		refuse("404 No Messages")
		return true
	}
	if there > 0 {
		o.tidy(false)
		asked := 0
		for _, r := range o.waiting {
			asked += r.n
		}
		if there < asked {
			refuse("408 Requests Pending")
			return true
		}
	}
	return false
}

// status answers a pull. r, if not nil, is what is left of it.
func (o *Consumer) status(reply, status string, r *request, behind bool) {
	h := "NATS/1.0 " + status + "\r\n"
	if r != nil {
		h += fmt.Sprintf("Nats-Pending-Messages: %d\r\nNats-Pending-Bytes: %d\r\n", max(r.n, 0), r.bytes)
	}
	o.w.Trace("js: status "+status, 0, 0)
	o.send(reply, &Message{Subject: reply, Header: h + "\r\n"}, behind)
}

// HasInterest reports whether somebody is subscribed to a subject.
func (c *Cluster) HasInterest(subj string) bool {
	for _, srv := range c.Servers {
		for _, p := range srv.peers {
			for _, s := range p.subs {
				if subject.Match(s.Subject, subj) {
					return true
				}
			}
		}
	}
	return false
}

// nextWaiting is the pull that gets a message of a size; those on the way that
// cannot are told so, or are gone.
func (o *Consumer) nextWaiting(size int) *request {
	for len(o.waiting) > 0 {
		r := o.waiting[0]
		switch {
		case r.expires > 0 && o.w.now >= r.expires:
			o.tellOther(r, "408 Request Timeout", true)
		case r.bytes > 0 && size > r.bytes:
			o.tellOther(r, "409 Message Size Exceeds MaxBytes", false)
		case !r.other && !o.c.HasInterest(r.reply):
		default:
			o.pop(r, size)
			return r
		}
		o.waiting = o.waiting[1:]
	}
	return nil
}

// tellOther tells a pull's end to who made it.
func (o *Consumer) tellOther(r *request, status string, behind bool) {
	if !r.other {
		o.status(r.reply, status, r, behind)
	}
}

// pop takes one message off the first pull, which goes to the end of the line, or
// out of it.
func (o *Consumer) pop(r *request, size int) {
	if r.bytes > 0 {
		if r.bytes -= size; r.bytes == 0 {
			r.n = 1
		}
	}
	r.n--
	r.given++
	o.waiting = o.waiting[1:]
	if r.n > 0 {
		o.waiting = append(o.waiting, r)
		if r.every > 0 {
			r.beat = o.w.now + r.every
		}
	}
}

// tidy ends the pulls whose time is over or whose client is gone, and sends
// heartbeats. end says that there are no more messages. It returns when it is due
// again, or 0.
func (o *Consumer) tidy(end bool) (due time.Duration) {
	now := o.w.now
	o.tidied = now
	sooner := func(t time.Duration) {
		if t > 0 && (due == 0 || t < due) {
			due = t
		}
	}
	all := o.waiting
	o.waiting = nil // what a status may bring about does not see half of it
	all = slices.DeleteFunc(all, func(r *request) bool {
		switch {
		case r.expires > 0 && now >= r.expires:
			o.tellOther(r, "408 Request Timeout", true)
			return true
		case end && r.noWait && (r.expires == 0 || r.given > 0):
			if !r.other {
				o.status(r.reply, "404 No Messages", nil, true)
			}
			return true
		case !r.other && !o.c.HasInterest(r.reply):
			o.w.Sometimes("js: a pull had nobody behind it")
			return true
		}
		if r.beat > 0 {
			if now >= r.beat {
				o.status(r.reply, "100 Idle Heartbeat", nil, false)
				r.beat = now + r.every
			}
			sooner(r.beat)
		}
		sooner(r.expires)
		return false
	})
	o.waiting = append(all, o.waiting...)
	return due
}

// armLook has the pulls looked at.
func (o *Consumer) armLook(due time.Duration) {
	o.look.Stop()
	o.look = nil
	if due == 0 {
		return
	}
	term := o.term
	o.look = o.w.At(max(due, o.w.now+time.Millisecond), func() {
		if o.term == term {
			o.tidy(true)
			o.gather()
		}
	})
}

// Crowd has other clients make n pulls.
func (o *Consumer) Crowd(n, batch int, expires time.Duration) {
	if !o.Leads {
		return
	}
	for range n {
		if len(o.waiting) < o.Config.MaxWaiting {
			o.waiting = append(o.waiting, &request{n: batch, other: true, expires: o.w.now + expires})
		}
	}
	o.signal()
}

// Disperse ends the pulls of other clients.
func (o *Consumer) Disperse() {
	o.waiting = slices.DeleteFunc(o.waiting, func(r *request) bool { return r.other })
	o.signal()
}

// Outstanding is what the pulls with a reply prefix may still bring.
func (o *Consumer) Outstanding(prefix string) (n int) {
	for _, r := range o.waiting {
		if strings.HasPrefix(r.reply, prefix) {
			n += r.n
		}
	}
	for _, x := range o.outgoing {
		if x.m.Reply != "" && strings.HasPrefix(x.to, prefix) {
			n++
		}
	}
	return n
}
