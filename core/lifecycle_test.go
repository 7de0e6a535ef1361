package nats

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perigee-go/nats/core/internal/fakeserver"
)

// TestHalfOpenLink: a link that is dead without a sign is found within 30 s.
func TestHalfOpenLink(t *testing.T) {
	for _, busy := range []bool{false, true} {
		t.Run(fmt.Sprintf("busy=%v", busy), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				n, s := fakeserver.One()
				var lost time.Time
				log := &eventLog{hook: func(_ *Conn, e Event) {
					if _, ok := e.(Disconnected); ok {
						lost = time.Now()
					}
				}}
				nc := connect(t, n, log.option())
				pass(123 * time.Second)
				if len(of[Disconnected](log)) != 0 {
					t.Fatal("an idle link was taken for dead")
				}
				p := s.Peer()
				p.StallWrites(true)
				start := time.Now()
				if busy {
					for range 100 {
						must(t, nc.Publish("a", nil))
						<-time.After(300 * time.Millisecond)
					}
				} else {
					pass(30 * time.Second)
				}
				synctest.Wait()
				e := one[Disconnected](t, log)
				isErr(t, e.Err, ErrStaleConnection)
				if d := lost.Sub(start); d > 30*time.Second || d < 10*time.Second {
					t.Errorf("found after %v", d)
				}
				must(t, nc.Flush(in(t, time.Minute)))
			})
		})
	}
}

// TestNoFalseAlarm: a link that works is never taken for dead, whatever it is
// busy with.
func TestNoFalseAlarm(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, s := fakeserver.One()
		log := &eventLog{}
		nc := connect(t, n, log.option())
		s.On("PING", func(p *fakeserver.Peer, _ *fakeserver.Op) bool {
			go func() {
				<-time.After(9 * time.Second) // a server with a lot to do
				p.Send("PONG\r\n")
			}()
			return true
		})
		var got collector
		_, err := nc.Subscribe("a", got.handle)
		must(t, err)
		for i := range 600 {
			must(t, nc.Publish("a", []byte{byte(i)}))
			<-time.After(time.Second)
		}
		pass(20 * time.Second)
		if got.len() != 600 || len(of[Disconnected](log)) != 0 || nc.Stats().OutConfirmed != 600 {
			t.Errorf("%d messages, events %v, %+v", got.len(), log.kinds(), nc.Stats())
		}
		s.On("PING", nil)
		pass(20 * time.Second) // the last of those PONGs
	})
}

func TestPingSettings(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, s := fakeserver.One()
		log := &eventLog{}
		connect(t, n, log.option(), PingInterval(time.Second), MaxPingsOutstanding(3))
		s.Peer().StallWrites(true)
		pass(3900 * time.Millisecond)
		if len(of[Disconnected](log)) != 0 {
			t.Error("too early")
		}
		pass(200 * time.Millisecond)
		one[Disconnected](t, log)
	})
	bubble(t, func(t *testing.T) {
		n, s := fakeserver.One()
		log := &eventLog{}
		nc := connect(t, n, log.option(), PingInterval(0))
		pings := len(s.Ops("PING"))
		s.Peer().StallWrites(true)
		pass(time.Hour)
		if len(of[Disconnected](log)) != 0 || len(s.Ops("PING")) != pings {
			t.Errorf("keep-alive is off, and %v, %d PINGs", log.kinds(), len(s.Ops("PING"))-pings)
		}
		s.Peer().StallWrites(false)
		flush(t, nc)
	})
}

// TestConfirmation: what was written is asked about within a second, so that
// the books close on a quiet connection.
func TestConfirmation(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, _ := fakeserver.One()
		nc := connect(t, n)
		for range 10 {
			must(t, nc.Publish("a", []byte("x")))
		}
		synctest.Wait()
		if st := nc.Stats(); st.OutInFlight != 10 || st.OutConfirmed != 0 {
			t.Errorf("books %+v", st)
		}
		pass(1100 * time.Millisecond)
		if st := nc.Stats(); st.OutInFlight != 0 || st.OutConfirmed != 10 || st.OutBytes != 10 {
			t.Errorf("books %+v", st)
		}
	})
}

// TestWriteStall: a peer that takes nothing ends the link after WriteTimeout;
// every call obeys its own bound meanwhile, and nothing is lost.
func TestWriteStall(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, s := fakeserver.One()
		s.Capacity(1000)
		log := &eventLog{}
		nc := connect(t, n, log.option(), WriteTimeout(4*time.Second), WriteBufferSize(5000))
		p := s.Peer()
		p.StallReads(true)
		start := time.Now()
		for i := range 20 { // some wait for room
			must(t, nc.Publish("a", fmt.Appendf(nil, "%0900d", i)))
		}
		if d := time.Since(start); d < 3900*time.Millisecond || d > 4100*time.Millisecond {
			t.Errorf("publishers waited for %v", d)
		}
		synctest.Wait()
		isErr(t, one[Disconnected](t, log).Err, ErrStaleConnection)
		must(t, nc.Flush(in(t, time.Minute)))
		// The first lay with the kernel, whole, when the link died.
		got := s.Payloads("a")
		if len(got) != 19 || nc.Stats().OutUnknown != 1 {
			t.Errorf("%d of 20 arrived; %+v", len(got), nc.Stats())
		}
		for i, g := range got {
			if want := fmt.Sprintf("%0900d", i+1); g != want {
				t.Errorf("message %d is ...%s", i, g[len(g)-10:])
			}
		}

		p = s.Peer()
		p.StallReads(true)
		must(t, nc.Publish("a", make([]byte, 4000)))
		synctest.Wait() // the writer has it
		must(t, nc.Publish("a", make([]byte, 4000)))
		for name, f := range map[string]func(context.Context) error{
			"Flush":   nc.Flush,
			"RTT":     func(ctx context.Context) error { _, err := nc.RTT(ctx); return err },
			"Request": func(ctx context.Context) error { _, err := nc.Request(ctx, "a", make([]byte, 2000)); return err },
			"PublishMsg": func(ctx context.Context) error {
				return nc.PublishMsg(ctx, Msg{Subject: "a", Data: make([]byte, 4000)})
			},
		} {
			begin := time.Now()
			err := f(in(t, 200*time.Millisecond))
			if d := time.Since(begin); !errors.Is(err, errDeadline) || d > 200*time.Millisecond {
				t.Errorf("%s: after %v, %v", name, d, err)
			}
		}
		begin := time.Now()
		_, _, _ = nc.Status(), nc.Stats(), nc.Servers()
		if time.Since(begin) != 0 {
			t.Error("Status waits for a write")
		}
		err := nc.Close()
		if d := time.Since(begin); d > 2100*time.Millisecond {
			t.Errorf("Close took %v", d)
		}
		var loss *LossError
		if !errors.As(err, &loss) || loss.Unsent+loss.Unknown == 0 {
			t.Errorf("Close says %v", err)
		}
	})
}

// TestSlowPeerIsNotDead: a peer that takes bytes slowly is waited for.
func TestSlowPeerIsNotDead(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, s := fakeserver.One()
		s.Capacity(300_000)
		log := &eventLog{}
		nc := connect(t, n, log.option(), WriteTimeout(2*time.Second))
		p := s.Peer()
		p.StallReads(true)
		done := make(chan struct{})
		go func() {
			defer close(done)
			for range 20 {
				if err := nc.Publish("a", make([]byte, 200_000)); err != nil {
					t.Error(err)
				}
			}
		}()
		for range 40 {
			pass(time.Second)
			p.StallReads(false)
			synctest.Wait()
			p.StallReads(true)
		}
		<-done
		p.StallReads(false)
		must(t, nc.Flush(t.Context()))
		if len(of[Disconnected](log)) != 0 || len(s.Payloads("a")) != 20 {
			t.Errorf("%d arrived, events %v", len(s.Payloads("a")), log.all())
		}
	})
}

// TestPongOfTheOldLink: a flush is answered by its own link only.
func TestPongOfTheOldLink(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, s := fakeserver.One()
		nc := connect(t, n)
		pass(2 * time.Second)
		s.On("PING", func(p *fakeserver.Peer, _ *fakeserver.Op) bool { return p == s.Peers()[0] })
		done := make(chan error, 1)
		go func() { done <- nc.Flush(t.Context()) }()
		synctest.Wait()
		lose(s)
		isErr(t, <-done, ErrDisconnected)
		if errors.Is(nc.Err(), ErrClosed) || nc.Status() != StatusConnected {
			t.Errorf("status %v", nc.Status())
		}
		s.Peer().Send("PONG\r\nPONG\r\n") // of nobody
		flush(t, nc)
	})
}

// TestServerPing: PONGs go out while handlers block.
func TestServerPing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, s := fakeserver.One()
		nc := connect(t, n)
		block := make(chan struct{})
		_, err := nc.Subscribe("a", func(Msg) { <-block })
		must(t, err)
		flush(t, nc)
		feed(s, "a", 0, 3)
		s.Broadcast("PING\r\nPING\r\n")
		synctest.Wait()
		if got := len(s.Ops("PONG")); got != 2 {
			t.Errorf("%d PONGs", got)
		}
		close(block)
	})
}

// TestReadsAtAnySplit delivers a session byte by byte.
func TestReadsAtAnySplit(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, s := fakeserver.One()
		log := &eventLog{}
		nc := connect(t, n, log.option())
		sub, err := nc.SubscribeSync("a.*")
		must(t, err)
		flush(t, nc)
		p, sid := s.Peer(), s.Peer().SID("a.*")
		session := fakeserver.Frame("a.b", sid, "r", "NATS/1.0\r\nA: b\r\n\r\n", "one") + "PING\r\n" +
			"msg\ta.c  " + fmt.Sprint(sid) + "  3\r\ntwo\r\n" + "INFO {\"max_payload\":4096}\r\n+OK\r\n" +
			fakeserver.Frame("a.d", sid, "", "", "") + "-ERR 'odd'\r\nPONG\r\n"
		for _, b := range []byte(session) {
			p.Send(string(b))
			synctest.Wait()
		}
		var got []string
		for range 3 {
			m, err := sub.Next(in(t, time.Second))
			must(t, err)
			got = append(got, m.Subject+m.Reply+m.Header.Get("A")+string(m.Data))
		}
		if fmt.Sprint(got) != "[a.brbone a.ctwo a.d]" || nc.ServerInfo().MaxPayload != 4096 || len(of[AsyncError](log)) != 1 {
			t.Errorf("got %v, %+v, %v", got, nc.ServerInfo(), log.all())
		}
		if nc.ServerInfo().Name != "server:4222" {
			t.Error("what INFO left out is forgotten")
		}
		isErr(t, nc.Publish("a", make([]byte, 5000)), ErrMaxPayload)
	})
}
