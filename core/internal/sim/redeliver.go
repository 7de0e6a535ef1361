package sim

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"
)

// pending is a message that was delivered and not acknowledged.
type pending struct {
	seq int
	at  time.Duration // when AckWait began
}

func (o *Consumer) findPending(seq int) int {
	return slices.IndexFunc(o.pending, func(p pending) bool { return p.seq == seq })
}

// trackPending notes a delivery.
func (o *Consumer) trackPending(seq int) {
	if i := o.findPending(seq); i >= 0 {
		o.pending[i].at = o.w.now
	} else {
		o.pending = append(o.pending, pending{seq, o.w.now})
	}
	if o.check == nil {
		o.armCheck()
	}
}

// armCheck has the pending messages looked at when the first is due.
func (o *Consumer) armCheck() {
	o.check.Stop()
	o.check = nil
	if len(o.pending) == 0 {
		return
	}
	first := o.pending[0].at
	for _, p := range o.pending {
		first = min(first, p.at)
	}
	term := o.term
	o.check = o.w.At(max(first+o.Config.AckWait, o.w.now+time.Millisecond), func() {
		if o.term == term {
			o.checkPending()
		}
	})
}

// checkPending delivers again what was not acknowledged in time.
func (o *Consumer) checkPending() {
	now := o.w.now
	for _, p := range slices.Clone(o.pending) {
		if now-p.at < o.Config.AckWait || slices.Contains(o.again, p.seq) {
			continue
		}
		if n := o.Config.MaxDeliver; n > 0 && o.tries[p.seq]+1 >= n {
			o.giveUp(p.seq)
			continue
		}
		o.w.Sometimes("js: a message came again after AckWait")
		o.again = append(o.again, p.seq)
		o.pending[o.findPending(p.seq)].at = now
	}
	o.check = nil
	o.armCheck()
	o.signal()
}

func (o *Consumer) giveUp(seq int) {
	o.w.Sometimes("js: MaxDeliver was reached")
	o.settleFate(seq, givenUp)
	o.forget(seq)
}

// forget takes a message off all books.
func (o *Consumer) forget(seq int) {
	if i := o.findPending(seq); i >= 0 {
		o.pending = slices.Delete(o.pending, i, i+1)
	}
	o.again = slices.DeleteFunc(o.again, func(s int) bool { return s == seq })
	delete(o.tries, seq)
}

// acknowledged acts on an ack: tokens are what stands behind the consumer's name.
func (o *Consumer) acknowledged(tokens, body string) {
	f := strings.Split(tokens, ".")
	seq, err := strconv.Atoi(f[min(1, len(f)-1)])
	if err != nil || len(f) != 5 || seq < 1 || seq > len(o.msgs) {
		o.w.Fail("an acknowledgement of %q of %s", tokens, o.Name)
		return
	}
	i := o.findPending(seq)
	o.w.Trace("js: "+body, seq, int64(i))
	if i < 0 {
		return // it is too late, or another leader's
	}
	switch {
	case body == "+ACK" || body == "":
		o.settleFate(seq, acked)
		o.forget(seq)
		o.signal()
	case strings.HasPrefix(body, "+TERM"):
		o.settleFate(seq, termed)
		o.forget(seq)
		o.signal()
	case body == "+WPI":
		o.pending[i].at = o.w.now
	case strings.HasPrefix(body, "-NAK"):
		o.nak(i, strings.TrimSpace(body[len("-NAK"):]))
	default:
		o.w.Fail("an acknowledgement that says %q", body)
	}
}

// nak has a pending message delivered again.
func (o *Consumer) nak(i int, arg string) {
	seq := o.pending[i].seq
	if arg != "" {
		var d struct {
			Delay time.Duration `json:"delay"`
		}
		if err := json.Unmarshal([]byte(arg), &d); err != nil {
			o.w.Fail("a NAK with %q", arg)
			return
		}
		o.again = slices.DeleteFunc(o.again, func(s int) bool { return s == seq })
		o.pending[i].at = o.w.now - o.Config.AckWait + d.Delay
		o.armCheck()
		return
	}
	if !slices.Contains(o.again, seq) {
		o.again = append(o.again, seq)
	}
	o.signal()
}
