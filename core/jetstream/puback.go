package jetstream

import (
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	nats "github.com/perigee-go/nats/core"
)

// PubAck is the receipt of a stream: it has the message. It says nothing of
// disks: servers flush to them every two minutes, if not configured otherwise.
type PubAck struct {
	Stream    string `json:"stream"`
	Sequence  uint64 `json:"seq"`
	Domain    string `json:"domain,omitempty"`
	Duplicate bool   `json:"duplicate,omitempty"` // one with the same id was stored before, as Sequence
	Value     string `json:"val,omitempty"`       // of a counter, after this message
	BatchID   string `json:"batch,omitempty"`
	BatchSize int    `json:"count,omitempty"`
}

// DecodePubAck reads an answer to a publish: *APIError, ErrNoStreamResponse, or
// ErrInvalidPubAck if it is no receipt.
func DecodePubAck(m nats.Msg) (PubAck, error) {
	if err := statusError(m); err != nil {
		if errors.Is(err, nats.ErrNoResponders) {
			err = noStream(err)
		}
		return PubAck{}, err
	}
	if ack, ok := parsePubAck(m.Data, nil); ok {
		return ack, nil
	}
	var resp struct {
		Error *APIError `json:"error"`
		PubAck
	}
	if err := json.Unmarshal(m.Data, &resp); err != nil {
		return PubAck{}, both{ErrInvalidPubAck, err}
	}
	if resp.Error != nil {
		return PubAck{}, resp.Error
	}
	if resp.Stream == "" {
		return PubAck{}, fmt.Errorf("%w: it names no stream", ErrInvalidPubAck)
	}
	return resp.PubAck, nil
}

func noStream(cause error) error { return both{ErrNoStreamResponse, cause} }

// sequences are the last ones that each stream has acknowledged, to see when one
// goes backwards: a stream that lost what it had acknowledged gives out the same
// sequences again.
//
// Receipts of publishes that overlap come in any order. But one that began after
// a receipt had come must get a higher sequence; a clock of receipts tells.
type sequences struct {
	clock atomic.Uint64 // changed with mu held

	mu     sync.Mutex // guards all below
	last   map[streamKey]*receipt
	recent *receipt // the last one looked up
	key    streamKey
}

type streamKey struct{ domain, stream string }

type receipt struct{ seq, at uint64 }

// begin is called when a publish begins.
func (s *sequences) begin() uint64 { return s.clock.Load() }

// acked takes a receipt of a publish that began at begun, and reports whether it
// is impossible.
func (s *sequences) acked(begun uint64, ack PubAck) (regressed bool) {
	if ack.Duplicate {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.clock.Add(1)
	if key := (streamKey{ack.Domain, ack.Stream}); s.recent == nil || key != s.key {
		s.recent, s.key = s.last[key], key
		if s.recent == nil {
			if s.last == nil {
				s.last = make(map[streamKey]*receipt)
			}
			s.recent = &receipt{}
			s.last[key] = s.recent
		}
	}
	last := s.recent
	regressed = last.seq > 0 && begun >= last.at && ack.Sequence <= last.seq
	if regressed || ack.Sequence > last.seq {
		*last = receipt{ack.Sequence, now}
	}
	return regressed
}

// forget is called when a stream was deleted, or made.
func (s *sequences) forget(stream string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.recent = nil
	for key := range s.last {
		if key.stream == stream {
			delete(s.last, key)
		}
	}
}
