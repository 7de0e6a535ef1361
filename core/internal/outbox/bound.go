package outbox

// Some messages are bound to a link: they leave on it or never, because who
// published them keeps them, and sends them again in an order of its own.

// span is a part of the epoch's stream.
type span struct{ start, end uint64 }

// PublishOn is Publish on the live link of epoch, or ErrDown. It says where the
// message stands in the stream; what has not left when the link ends is taken
// back. retry is as for Publish.
func (o *Outbox) PublishOn(epoch uint64, subj, reply, header string, data []byte) (at uint64, retry <-chan struct{}, err error) {
	o.mu.Lock()
	if o.epoch != epoch && o.mode != Closed {
		o.mu.Unlock()
		return 0, nil, ErrDown
	}
	before := len(o.buf)
	pos, retry, err := o.request(subj, reply, header, data)
	if retry != nil || err != nil {
		o.mu.Unlock()
		return 0, retry, err
	}
	end := pos.Start + uint64(len(o.buf)-before)
	if i := len(o.bound) - 1; i >= 0 && o.bound[i].end == pos.Start {
		o.bound[i].end = end
	} else {
		o.bound = append(o.bound, span{pos.Start, end})
	}
	kick := o.parked
	o.parked = false
	o.mu.Unlock()
	if kick {
		o.kick()
	}
	return pos.Start, nil, nil
}

// forget drops the spans that left before the offset upTo; lock held.
func (o *Outbox) forget(upTo uint64) {
	n := 0
	for n < len(o.bound) && o.bound[n].end <= upTo {
		n++
	}
	if n == len(o.bound) && n < keepSpans {
		o.bound = o.bound[:0]
		return
	}
	o.bound = o.bound[n:]
}

// keepSpans is how long a list is that is used again from its beginning.
const keepSpans = 1024

// isBound reports whether the message at an offset is in one of the spans. It is
// asked with growing offsets, and drops the spans before.
func isBound(spans *[]span, at uint64) bool {
	for len(*spans) > 0 && (*spans)[0].end <= at {
		*spans = (*spans)[1:]
	}
	return len(*spans) > 0 && (*spans)[0].start <= at
}
