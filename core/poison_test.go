package nats

import (
	"errors"
	"testing"
	"time"

	"github.com/perigee-go/nats/core/internal/fakeserver"
)

// TestMessageTheNextServerRefuses: a message that was accepted for one server
// and is too large for the next is not sent to it for ever.
func TestMessageTheNextServerRefuses(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, s := fakeserver.One()
		s.Capacity(10_000)
		log := &eventLog{}
		nc := connect(t, n, log.option())
		s.Refuse(true)
		lose(s)
		must(t, nc.Publish("small", nil))
		must(t, nc.Publish("big", make([]byte, 100_000)))
		must(t, nc.Publish("small", nil))
		s.SetInfo("max_payload", 50_000)
		// The server closes when it has read the line of the large one.
		s.Script(func(p *fakeserver.Peer) {
			if p.Greet() != nil {
				return
			}
			for {
				o, err := p.NextUnless(50_000)
				if errors.Is(err, fakeserver.ErrTooLarge) {
					p.Err("Maximum Payload Violation")
					p.Close()
				}
				if err != nil {
					return
				}
				p.Do(o)
			}
		})
		s.Refuse(false)
		pass(time.Minute)
		if nc.Status() != StatusConnected || nc.Stats().Reconnects > 3 {
			t.Errorf("status %v, %+v", nc.Status(), nc.Stats())
		}
		if got := len(s.Payloads("small")); got != 2 {
			t.Errorf("%d small ones arrived", got)
		}
		if st := nc.Stats(); st.OutConfirmed != 2 || st.OutDropped != 1 {
			t.Errorf("books %+v", st)
		}
		isErr(t, one[AsyncError](t, log).Err, ErrMaxPayload)
	})
}
