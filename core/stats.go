package nats

// Stats is the ledger: every message is in exactly one place, so the lines add
// up. While messages flow, a snapshot may catch one between two places that
// different goroutines count; at rest the sums are exact.
type Stats struct {
	// Accepted: OutMsgs = OutConfirmed + OutInFlight + OutBuffered + OutDropped + OutUnknown.
	OutMsgs, OutBytes uint64
	OutConfirmed      uint64 // a PONG of their link followed
	OutInFlight       uint64 // written, not confirmed yet; 0 after Close
	OutBuffered       uint64 // not written yet; 0 after Close
	OutDropped        uint64 // reported by an error or an event
	OutUnknown        uint64 // written to a link that died before a PONG followed; reported

	// Received: InMsgs = InDelivered + InDropped + InOrphaned + InReplies + InPending.
	InMsgs, InBytes uint64
	InDelivered     uint64
	InDropped       uint64 // overflow, or discarded by Unsubscribe or Close
	InOrphaned      uint64 // for a subscription or request that had ended
	InReplies       uint64 // to requests
	InPending       uint64 // after Close: what handlers are at that have not returned

	// Requests = Answered + NoResponders + TimedOut + Cancelled + RequestsUnknown + RequestsOpen.
	// Cancelled counts those that ended for any other reason before a reply:
	// their ctx, a refusal, a lost link before they had left.
	Requests, Answered, NoResponders, TimedOut, Cancelled, RequestsUnknown, RequestsOpen uint64

	Connects, Reconnects uint64 // links that were up; those of them but the first
	EventsDropped        uint64
}

// Stats returns the ledger. It costs a look at every subscription.
func (nc *Conn) Stats() Stats {
	if !nc.made() {
		return Stats{}
	}
	out := nc.out.Counts()
	req := nc.reqs.counts()
	subs := nc.reg.stats()
	st := Stats{
		OutMsgs: out.Accepted, OutBytes: out.AcceptedBytes,
		OutConfirmed: out.Confirmed, OutInFlight: out.InFlight, OutBuffered: out.Buffered,
		OutDropped: out.Dropped, OutUnknown: out.Unknown,

		InMsgs: nc.in.msgs.Load(), InBytes: nc.in.bytes.Load(),
		InDelivered: subs.Delivered, InDropped: subs.Dropped, InPending: uint64(subs.PendingMsgs),
		InOrphaned: nc.in.orphaned.Load(), InReplies: nc.in.replies.Load(),

		Requests: req.begun, Answered: req.answered, NoResponders: req.noResponders,
		TimedOut: req.timedOut, Cancelled: req.cancelled, RequestsUnknown: req.unknown, RequestsOpen: req.open,
	}
	nc.mu.Lock()
	st.Connects = nc.links
	nc.mu.Unlock()
	if st.Connects > 0 {
		st.Reconnects = st.Connects - 1
	}
	nc.events.mu.Lock()
	st.EventsDropped = nc.events.dropped
	nc.events.mu.Unlock()
	return st
}
