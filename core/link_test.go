package nats

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perigee-go/nats/core/internal/fakeserver"
)

// TestLink: what is published on a Link leaves on it or never, and it tells which;
// what others published beside it stays for the next link.
func TestLink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, s := fakeserver.One()
		s.Capacity(512)
		nc, err := Connect(t.Context(), s.URL(), UseDialer(n), Logger(nil), ReconnectBackoff(time.Millisecond, time.Millisecond))
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			_ = nc.Close()
			synctest.Wait()
		}()
		l, changed := nc.Link()
		if _, err := l.Left(); l == nil || err != nil {
			t.Fatal("no link, or it has ended")
		}
		at, err := l.PublishMsg(t.Context(), Msg{Subject: "s", Data: []byte("arrives")})
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		s.Peer().StallReads(true)
		var stuck []uint64
		for range 20 {
			p, err := l.PublishMsg(t.Context(), Msg{Subject: "s", Data: make([]byte, 100)})
			if err != nil {
				t.Fatal(err)
			}
			stuck = append(stuck, p)
			if err := nc.Publish("other", nil); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		s.Peer().Cut()
		<-changed
		<-l.Ended()
		left, err := l.Left()
		if !errors.Is(err, ErrDisconnected) || at >= left || stuck[len(stuck)-1] < left || !slices.IsSorted(stuck) {
			t.Errorf("%v: left up to %d; the first at %d, the last at %d", err, left, at, stuck[len(stuck)-1])
		}
		if _, err := l.PublishMsg(t.Context(), Msg{Subject: "s"}); !errors.Is(err, ErrDisconnected) || !SafeToRetry(err) {
			t.Errorf("after its end: %v", err)
		}
		before := len(s.Payloads("s"))
		if err := nc.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := len(s.Payloads("s")); got != before {
			t.Errorf("%d came on the next link", got-before)
		}
		if len(s.Payloads("other")) == 0 {
			t.Error("what is not bound to the link did not come on the next")
		}
		next, _ := nc.Link()
		if next == l || next == nil {
			t.Fatal("no next link")
		}
		_ = nc.Close()
		<-next.Ended()
		if _, err := next.Left(); !errors.Is(err, ErrClosed) {
			t.Errorf("closed: %v", err)
		}
		if l, changed := nc.Link(); l != nil || changed == nil {
			t.Error("a link of a closed connection")
		}
		if _, err := next.PublishMsg(context.Background(), Msg{Subject: "s"}); !SafeToRetry(err) {
			t.Errorf("after the end: %v", err)
		}
	})
}
