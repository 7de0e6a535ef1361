package jetstream

import (
	"encoding/json"
	"errors"
	"fmt"
	"sync"

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
	mu    sync.Mutex
	clock uint64
	last  map[streamKey]receipt
}

type streamKey struct{ domain, stream string }

type receipt struct{ seq, at uint64 }

// begin is called when a publish begins.
func (s *sequences) begin() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.clock
}

// acked takes a receipt of a publish that began at begun, and reports whether it
// is impossible.
func (s *sequences) acked(begun uint64, ack PubAck) (regressed bool) {
	if ack.Duplicate {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clock++
	key := streamKey{ack.Domain, ack.Stream}
	last, known := s.last[key]
	regressed = known && begun >= last.at && ack.Sequence <= last.seq
	if regressed || !known || ack.Sequence > last.seq {
		if s.last == nil {
			s.last = make(map[streamKey]receipt)
		}
		s.last[key] = receipt{ack.Sequence, s.clock}
	}
	return regressed
}

// forget is called when a stream was deleted, or made.
func (s *sequences) forget(stream string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key := range s.last {
		if key.stream == stream {
			delete(s.last, key)
		}
	}
}
