package limits

import (
	"bytes"
	"testing"
	"testing/iotest"

	"github.com/perigee-go/nats/tools/bench/internal/wire"
)

func TestScannerCountsMessages(t *testing.T) {
	stream := []byte(wire.Pong)
	for _, kind := range []string{wire.KindMsg, wire.KindHdr, wire.KindJS} {
		stream = wire.AppendDelivery(stream, kind, "fh.subject.0000", "1", wire.Payload(200))
		stream = append(stream, wire.Ping...)
	}
	s := newScanner(200)
	in := iotest.OneByteReader(bytes.NewReader(stream))
	found := 0
	for range stream {
		n, err := s.next(in)
		if err != nil {
			t.Fatal(err)
		}
		found += n
	}
	if found != 3 {
		t.Errorf("found %d messages, want 3", found)
	}
}
