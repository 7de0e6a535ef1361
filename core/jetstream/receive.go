package jetstream

import (
	"context"

	nats "github.com/perigee-go/nats/core"
)

// arrive is the subscription's handler.
func (s *session) arrive(m nats.Msg) {
	meta, ok := parseAckSubject(m.Reply)
	if !ok {
		s.control(m)
		return
	}
	msg := newMsg(m, s.stream.js.cfg.timeout)
	size := wireSize(&m)
	s.mu.Lock()
	s.items++
	if s.machine.Delivered(meta.Sequence.Consumer) {
		s.machine.Doubt(s.now())
	}
	if meta.NumPending > 0 {
		s.machine.More()
	}
	mine := s.machine.Data(size) && !s.stopped && (!s.over || s.handler == nil)
	signal, back := false, !mine
	switch {
	case back && s.stopped && !s.left:
		s.back = append(s.back, msg) // not before the server knows that we go
		back = false
	case back:
	case s.handler != nil:
		s.machine.Taken(size)
	default:
		s.queue.push(msg)
		signal = s.waiting > 0
	}
	ready := !s.leaving && s.machine.Ready()
	s.mu.Unlock()
	if signal {
		s.signal()
	}
	if ready {
		s.step()
	}
	switch {
	case back:
		s.handBack(msg)
	case mine && s.handler != nil:
		s.handler(msg)
	}
}

// control takes what is no message of the consumer.
func (s *session) control(m nats.Msg) {
	status, ok := readStatus(&m, s.prefix)
	s.mu.Lock()
	s.items++
	if ok {
		ok = s.machine.Status(s.now(), status)
	} else {
		s.machine.Noise()
	}
	s.mu.Unlock()
	if !ok {
		// Whoever knows the inbox can send there. It is no message, and no word
		// of the server's.
		s.stream.js.sessions.dropped.Add(1)
		s.tell(opError(ErrNotJSMessage, "message on", m.Subject))
	}
	s.step()
}

func (s *session) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// next takes a message. When the session is over and all were taken it returns
// the reason, or ErrConsumptionEnded.
func (s *session) next(ctx context.Context) (*Msg, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	for s.queue.len() == 0 {
		if s.over {
			err := s.err
			s.mu.Unlock()
			if err == nil {
				err = ErrConsumptionEnded
			}
			return nil, err
		}
		s.waiting++
		s.mu.Unlock()
		select {
		case <-s.wake:
		case <-s.ended:
		case <-s.sub.Done():
			s.subscriptionEnded()
		case <-ctx.Done():
		}
		s.mu.Lock()
		s.waiting--
		if err := ctx.Err(); err != nil && s.queue.len() == 0 {
			s.mu.Unlock()
			return nil, err
		}
	}
	msg := s.queue.pop()
	s.machine.Taken(msg.size())
	if s.queue.len() > 0 {
		if s.waiting > 0 {
			s.signal()
		}
	} else if s.over {
		close(s.taken)
	}
	ready := !s.over && s.machine.Ready()
	s.mu.Unlock()
	if ready {
		s.step()
	}
	return msg, nil
}

// msgQueue is a queue of messages, in a ring that grows with need.
type msgQueue struct {
	ring []*Msg // its length is a power of two
	head int
	n    int
}

func (q *msgQueue) len() int { return q.n }

func (q *msgQueue) push(m *Msg) {
	if q.n == len(q.ring) {
		bigger := make([]*Msg, max(8, 2*q.n))
		for i := range q.n {
			bigger[i] = q.ring[(q.head+i)&(len(q.ring)-1)]
		}
		q.ring, q.head = bigger, 0
	}
	q.ring[(q.head+q.n)&(len(q.ring)-1)] = m
	q.n++
}

func (q *msgQueue) pop() *Msg {
	m := q.ring[q.head]
	q.ring[q.head] = nil
	q.head = (q.head + 1) & (len(q.ring) - 1)
	q.n--
	return m
}

// takeAll empties the queue.
func (q *msgQueue) takeAll() (all []*Msg) {
	for q.n > 0 {
		all = append(all, q.pop())
	}
	q.ring, q.head = nil, 0
	return all
}
