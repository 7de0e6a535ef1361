package nats

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/perigee-go/nats/core/internal/outbox"
	"github.com/perigee-go/nats/core/internal/wire"
)

const (
	pageBits = 8
	pageLen  = 1 << pageBits
)

// page holds the subscriptions of pageLen subscription ids in a row.
type page struct {
	slots [pageLen]atomic.Pointer[Subscription]
	live  int // guarded by registry.mu
}

// directory is the list of pages; pages before first are gone. It is replaced
// whole when pages come or go, so that the reader needs no lock.
type directory struct {
	first uint64
	pages []*page
}

// find returns the subscription that takes messages for sid, or nil.
func (d *directory) find(sid uint64) *Subscription {
	i := sid>>pageBits - d.first
	if i >= uint64(len(d.pages)) || d.pages[i] == nil {
		return nil
	}
	return d.pages[i].slots[sid%pageLen].Load()
}

// registry knows every subscription that is not over. Ids are never used
// again: the server silently ignores a SUB with one that it has.
type registry struct {
	out *outbox.Outbox // of the Conn; outbox.mu comes after mu
	dir atomic.Pointer[directory]

	mu        sync.Mutex // guards all below
	lastSID   uint64
	internal  int                        // of active: those that no user made
	active    int                        // subscriptions in the directory
	ending    map[*Subscription]struct{} // not in it any more, and not over
	listeners map[*Subscription]struct{} // with an event handler
	epoch     uint64                     // of the link that has all of them; 0: none has
	second    *second                    // a link that is about to take over; nil: there is none
	retired   SubStats                   // counters of those that are over
}

func (r *registry) init() { r.dir.Store(new(directory)) }

// add gives s an id. Its link is to be told; the next ones will be anyway.
func (r *registry) add(s *Subscription) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lastSID++
	s.sid = r.lastSID
	d := r.dir.Load()
	i := s.sid>>pageBits - d.first
	if i >= uint64(len(d.pages)) {
		n := &directory{first: d.first, pages: append(d.pages[:len(d.pages):len(d.pages)], new(page))}
		if last := len(d.pages) - 1; last >= 0 && d.pages[last] != nil && d.pages[last].live == 0 {
			n.pages[last] = nil // all of its ids are over
			n.trim()
		}
		r.dir.Store(n)
		d = n
		i = s.sid>>pageBits - d.first
	}
	p := d.pages[i]
	p.live++
	p.slots[s.sid%pageLen].Store(s)
	r.active++
	if s.internal() {
		r.internal++
	}
	if s.onEvent != nil {
		if r.listeners == nil {
			r.listeners = make(map[*Subscription]struct{})
		}
		r.listeners[s] = struct{}{}
	}
}

// tell sends a line about s to the link that has the subscriptions, if one has.
func (r *registry) tell(s *Subscription, line []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.out.Control(r.epoch, line)
	if r.second != nil {
		r.second.tell(s, line)
	}
}

// remove lets no further message reach s, which stays known until retire. Its
// link is to be told.
func (r *registry) remove(s *Subscription) (removed bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	d := r.dir.Load()
	if d.find(s.sid) != s {
		return false
	}
	i := s.sid>>pageBits - d.first
	p := d.pages[i]
	p.slots[s.sid%pageLen].Store(nil)
	r.active--
	if s.internal() {
		r.internal--
	}
	if r.ending == nil {
		r.ending = make(map[*Subscription]struct{})
	}
	r.ending[s] = struct{}{}
	if p.live--; p.live == 0 && i < r.lastSID>>pageBits-d.first {
		r.dropPage(d, i)
	}
	return true
}

// dropPage forgets a page that no id to come belongs to; mu held.
func (r *registry) dropPage(d *directory, i uint64) {
	n := &directory{first: d.first, pages: append([]*page(nil), d.pages...)}
	n.pages[i] = nil
	n.trim()
	r.dir.Store(n)
}

// trim forgets the pages that are gone at the start.
func (d *directory) trim() {
	for len(d.pages) > 0 && d.pages[0] == nil {
		d.pages = d.pages[1:]
		d.first++
	}
}

// retire forgets s, which is over, and keeps its counters.
func (r *registry) retire(s *Subscription) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.ending[s]; !ok {
		return
	}
	delete(r.ending, s)
	delete(r.listeners, s)
	st := s.Stats()
	r.retired.Received += st.Received
	r.retired.Delivered += st.Delivered
	r.retired.Dropped += st.Dropped
}

// attach begins the epoch of a link with SUB lines for all active subscriptions,
// whose PONG synced tells, and reports whether there are any. Whoever subscribes
// or unsubscribes from now on tells the link itself: so the outbox has to have
// the epoch and its first lines before anybody can.
func (r *registry) attach(epoch uint64, synced chan<- outbox.Pong) (subs bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.epoch = epoch
	var b []byte
	for _, s := range r.activeLocked() {
		if s.noResubscribe.Load() {
			continue
		}
		s.linkBase = int64(s.received.Load()) // the old link's reader has ended
		b = s.appendSub(b)
	}
	r.out.Attach(epoch, b, synced)
	return len(b) > 0
}

// detach notes that no link has the subscriptions.
func (r *registry) detach() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.epoch = 0
}

// linked reports whether a link has the subscriptions. If none has, nothing can
// arrive for one that the next will not be told of.
func (r *registry) linked() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.epoch != 0
}

// activeLocked lists the directory's subscriptions in the order of their ids;
// mu held.
func (r *registry) activeLocked() []*Subscription {
	out := make([]*Subscription, 0, r.active)
	for _, p := range r.dir.Load().pages {
		if p == nil {
			continue
		}
		for i := range p.slots {
			if s := p.slots[i].Load(); s != nil {
				out = append(out, s)
			}
		}
	}
	return out
}

// all lists every subscription that is not over, in the order of their ids.
func (r *registry) all() []*Subscription {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := r.activeLocked()
	for s := range r.ending {
		out = append(out, s)
	}
	slices.SortFunc(out, bySID)
	return out
}

func bySID(a, b *Subscription) int { return cmp.Compare(a.sid, b.sid) }

func (r *registry) activeSubs() []*Subscription {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.activeLocked()
}

func (r *registry) eventHandlers() []func(*Conn, Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.listeners) == 0 {
		return nil
	}
	var hs []func(*Conn, Event)
	for _, s := range slices.SortedFunc(maps.Keys(r.listeners), bySID) {
		hs = append(hs, s.onEvent)
	}
	return hs
}

// stats sums up all subscriptions, those that are over too.
func (r *registry) stats() (sum SubStats) {
	r.mu.Lock()
	defer r.mu.Unlock()
	sum = r.retired
	add := func(s *Subscription) {
		st := s.Stats()
		sum.Received += st.Received
		sum.Delivered += st.Delivered
		sum.Dropped += st.Dropped
		sum.PendingMsgs += st.PendingMsgs
	}
	for _, s := range r.activeLocked() {
		add(s)
	}
	for s := range r.ending {
		add(s)
	}
	return sum
}

// appendSub renders what subscribes s on a new link.
func (s *Subscription) appendSub(b []byte) []byte {
	b = wire.AppendSub(b, s.subject, s.queue, s.sid)
	if max := s.max.Load(); max > 0 {
		if got := s.received.Load(); got < max {
			b = wire.AppendUnsub(b, s.sid, max-got)
		}
	}
	return b
}
