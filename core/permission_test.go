package nats

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/perigee-go/nats/core/internal/fakeserver"
)

// TestSubscriptionRefused finds the subscription that an -ERR is about, in all
// forms of its text, and ends that one only.
func TestSubscriptionRefused(t *testing.T) {
	for _, c := range []struct {
		name string
		text string // with the sid for %d
		want int    // index of the one that ends
	}{
		{"subject", `Permissions Violation for Subscription to "a.*"`, 0},
		{"queue", `Permissions Violation for Subscription to "a.*" using queue "q"`, 2},
		{"sid", `Permissions Violation for Subscription to "a.*" (sid "%d")`, 1},
		{"queue and sid", `Permissions Violation for Subscription to "a.*" using queue "q" (sid "%d")`, 3},
		{"case", `permissions violation for subscription to "a.*"`, 0},
		{"tokens", `Permissions Violation for Subscription to "a.*", too many tokens`, 0},
		{"escapes", `Permissions Violation for Subscription to "a.\u00e9"`, 4},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				n, s := fakeserver.One()
				log := &eventLog{}
				nc := connect(t, n, log.option())
				var subs []*Subscription
				for i, subj := range []string{"a.*", "a.*", "a.*", "a.*", "a.é"} {
					var opts []SubOption
					if i == 2 || i == 3 {
						opts = append(opts, Queue("q"))
					}
					sub, err := nc.SubscribeSync(subj, opts...)
					must(t, err)
					subs = append(subs, sub)
				}
				flush(t, nc)
				text := c.text
				if c.want == 1 || c.want == 3 {
					text = fmt.Sprintf(text, subs[c.want].sid)
				}
				waiting := make(chan error, 1)
				go func() { _, err := subs[c.want].Next(t.Context()); waiting <- err }()
				synctest.Wait()
				s.Peer().RemoveSub(subs[c.want].sid)
				s.Peer().Err(text)
				flush(t, nc)
				var pe *PermissionError
				if err := <-waiting; !errors.As(err, &pe) || pe.Operation != "subscription" || pe.Subject != subs[c.want].Subject() {
					t.Errorf("Next gave %v", err)
				}
				if c.want == 2 || c.want == 3 {
					if pe.Queue != "q" {
						t.Errorf("error %+v", pe)
					}
				}
				for i, sub := range subs {
					if over := sub.Err() != nil; over != (i == c.want) || sub.Stats().Active == over {
						t.Errorf("subscription %d: %v, %+v", i, sub.Err(), sub.Stats())
					}
				}
				if e := one[SubscriptionEnded](t, log); e.Subscription != subs[c.want] || !errors.Is(e.Err, ErrPermission) {
					t.Errorf("event %+v", e)
				}
				if es := of[AsyncError](log); len(es) != 0 || nc.LastError() == nil {
					t.Errorf("told twice: %v; LastError %v", es, nc.LastError())
				}
				// The next link has the others.
				lose(s)
				flush(t, nc)
				if got := len(s.Peer().Subs()); got != 4 {
					t.Errorf("%d subscriptions on the next link", got)
				}
			})
		})
	}
}

// TestRefusalOfNobody: an -ERR about what is not there is told and does no harm.
func TestRefusalOfNobody(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, s := fakeserver.One()
		log := &eventLog{}
		nc := connect(t, n, log.option())
		sub, err := nc.SubscribeSync("a")
		must(t, err)
		flush(t, nc)
		for _, text := range []string{
			`Permissions Violation for Subscription to "b"`, `Permissions Violation for Subscription to "a" (sid "99")`,
			`Permissions Violation for Subscription to `, `Permissions Violation for Subscription to "a`,
			`Permissions Violation for Publish to a`, `Permissions Violation`, `(sid "1")`, ``,
			`Permissions Violation for Subscription to "a" using queue "q"`,
		} {
			s.Peer().Err(text)
		}
		flush(t, nc)
		if es := of[AsyncError](log); len(es) != 9 || sub.Err() != nil {
			t.Errorf("%d events: %v; %v", len(es), log.all(), sub.Err())
		}
	})
}

func TestMaximumSubscriptions(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, s := fakeserver.One()
		log := &eventLog{}
		nc := connect(t, n, log.option())
		s.On("SUB", func(p *fakeserver.Peer, _ *fakeserver.Op) bool { p.Err("maximum subscriptions exceeded"); return true })
		_, err := nc.SubscribeSync("a")
		must(t, err)
		flush(t, nc)
		told := false
		for _, e := range log.all() {
			switch e := e.(type) {
			case AsyncError:
				told = told || errors.Is(e.Err, ErrMaxSubscriptions)
			case SubscriptionEnded:
				told = told || errors.Is(e.Err, ErrMaxSubscriptions)
			}
		}
		if !told || nc.Status() != StatusConnected {
			t.Errorf("status %v, events %v", nc.Status(), log.all())
		}
	})
}
