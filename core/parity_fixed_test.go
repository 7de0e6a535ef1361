package nats

import (
	"testing"
	"time"

	"github.com/perigee-go/nats/core/internal/fakeserver"
)

// TestOneWayToGiveCredentials: a value and a function for the same thing are a
// mistake, not a question of order.
func TestOneWayToGiveCredentials(t *testing.T) {
	t.Parallel()
	token := TokenHandler(func() string { return "t" })
	user := UserInfoHandler(func() (string, string) { return "u", "p" })
	for name, opts := range map[string][]Option{
		"token":    {Token("t"), token},
		"reversed": {token, Token("t")},
		"user":     {UserInfo("u", "p"), user},
		"mixed":    {Token("t"), user},
	} {
		if _, err := Connect(t.Context(), "a:1", opts...); err == nil {
			t.Errorf("%s: no error", name)
		} else {
			isErr(t, err, ErrInvalidOption)
		}
	}
}

// TestSetServersBeginsAnew: failed rounds over the old servers do not count
// against the new ones.
func TestSetServersBeginsAnew(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := fakeserver.New()
		a := n.Host("a:1")
		nc := connectTo(t, n, "a:1", MaxReconnects(3), ReconnectBackoff(time.Second, time.Second))
		pass(2 * time.Second)
		a.Stop()
		pass(1500 * time.Millisecond) // two rounds have failed
		b := n.Host("b:2")
		b.Refuse(true)
		must(t, nc.SetServers([]string{"nats://a:1", "nats://b:2"}))
		pass(1500 * time.Millisecond)
		if nc.Status() != StatusReconnecting {
			t.Fatalf("status %v: the old rounds were counted", nc.Status())
		}
		b.Refuse(false)
		must(t, nc.Flush(in(t, 10*time.Second)))
		if nc.ConnectedURL() != "nats://b:2" {
			t.Errorf("at %q", nc.ConnectedURL())
		}
	})
}

// TestFewerFailuresFirst: of the servers that are left, the one that failed
// less is tried earlier.
func TestFewerFailuresFirst(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := fakeserver.New()
		a, b, c := n.Host("a:1"), n.Host("b:2"), n.Host("c:3")
		b.Refuse(true)
		nc := connectTo(t, n, "b:2,a:1,c:3", DontRandomize()) // b has failed once now
		if nc.ConnectedURL() != "nats://a:1" {
			t.Fatalf("at %q", nc.ConnectedURL())
		}
		pass(2 * time.Second)
		b.Refuse(false)
		a.Stop()
		pass(time.Second)
		must(t, nc.Flush(in(t, 10*time.Second)))
		if nc.ConnectedURL() != "nats://c:3" {
			t.Errorf("at %q, and b had failed before", nc.ConnectedURL())
		}
		_ = c
	})
}

// TestConcurrencyNeedsHandler: an option that could have no effect is refused.
func TestConcurrencyNeedsHandler(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, _ := fakeserver.One()
		nc := connect(t, n)
		_, err := nc.SubscribeSync("a", Concurrency(2))
		isErr(t, err, ErrInvalidOption)
		_, err = nc.SubscribeChan("a", make(chan Msg), Concurrency(2))
		isErr(t, err, ErrInvalidOption)
		if nc.NumSubscriptions() != 0 {
			t.Error("it subscribed")
		}
	})
}
