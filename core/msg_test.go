package nats

import (
	"bytes"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"unsafe"

	"github.com/perigee-go/nats/core/internal/fakeserver"
)

func TestMsg(t *testing.T) {
	if n := unsafe.Sizeof(Msg{}); unsafe.Sizeof(uintptr(0)) == 8 && n != 80 {
		t.Errorf("a Msg has %d bytes", n)
	}
	if m := NewMsg("a"); !m.Equal(Msg{Subject: "a"}) || m.Sub() != nil || m.Context() == nil {
		t.Errorf("NewMsg made %+v", m)
	}
	full := Msg{Subject: "a", Reply: "b", Header: header(t, "A", "1"), Data: []byte("d")}
	if got := full.Size(); got != len("NATS/1.0\r\nA: 1\r\n\r\nd") {
		t.Errorf("size %d", got)
	}
	same := full.Clone()
	if !full.Equal(same) || !full.Equal(full.Bind(nil)) {
		t.Error("a copy is not equal")
	}
	for name, other := range map[string]Msg{
		"subject": {Subject: "x", Reply: "b", Header: full.Header, Data: full.Data},
		"reply":   {Subject: "a", Header: full.Header, Data: full.Data},
		"header":  {Subject: "a", Reply: "b", Data: full.Data},
		"data":    {Subject: "a", Reply: "b", Header: full.Header, Data: []byte("e")},
	} {
		if full.Equal(other) {
			t.Errorf("equal in spite of another %s", name)
		}
	}
	if !(Msg{}).Equal(Msg{Data: []byte{}}) {
		t.Error("no data is not empty data")
	}
	for block, want := range map[string]string{
		"":                                    "0 ",
		"NATS/1.0\r\n\r\n":                    "0 ",
		"NATS/1.0 503\r\n\r\n":                "503 ",
		"NATS/1.0 100 Idle Heartbeat\r\n\r\n": "100 Idle Heartbeat",
		"NATS/1.0   404   No Messages  \r\nA: b\r\n\r\n": "404 No Messages",
		"NATS/1.0\r\nStatus: 503\r\n\r\n":                "0 ",
		"NATS/1.0 50\r\n\r\n":                            "0 ",
		"NATS/1.0 5033\r\n\r\n":                          "0 ",
		"NATS/1.0503\r\n\r\n":                            "0 ",
		"NATS/1.0 -12\r\n\r\n":                           "0 ",
	} {
		code, text := Msg{Header: Header{block}}.InlineStatus()
		if got := fmt.Sprintf("%d %s", code, text); got != want {
			t.Errorf("%q has status %q, want %q", block, got, want)
		}
	}
}

// TestMessageMemory: what a message holds is its holder's, to keep, to change
// and to append to; the neighbours in the slab do not notice.
func TestMessageMemory(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, s := fakeserver.One()
		nc := connect(t, n)
		sub, err := nc.SubscribeSync("a.>")
		must(t, err)
		flush(t, nc)
		const count = 200
		var all strings.Builder
		sid := s.Peer().SID("a.>")
		payload := func(i int) string { return strings.Repeat(fmt.Sprint(i%10), i*7) } // some beyond the slab's limits
		for i := range count {
			all.WriteString(fakeserver.Frame(fmt.Sprint("a.", i), sid, fmt.Sprint("r.", i), fmt.Sprintf("NATS/1.0\r\nI: %d\r\n\r\n", i), payload(i)))
		}
		s.Peer().Send(all.String())
		synctest.Wait()
		var msgs []Msg
		for range count {
			m, err := sub.Next(t.Context())
			must(t, err)
			msgs = append(msgs, m)
		}
		check := func(what string) {
			t.Helper()
			for i, m := range msgs {
				if m.Subject != fmt.Sprint("a.", i) || m.Reply != fmt.Sprint("r.", i) || m.Header.Get("I") != fmt.Sprint(i) || m.Header.Len() != 1 {
					t.Fatalf("%s: message %d is %q %q %q", what, i, m.Subject, m.Reply, m.Header.wire)
				}
			}
		}
		for i, m := range msgs {
			if string(m.Data) != payload(i) || cap(m.Data) != len(m.Data) {
				t.Fatalf("message %d has %d bytes, room for %d", i, len(m.Data), cap(m.Data))
			}
		}
		check("as it came")
		clones := make([]Msg, count)
		for i := range msgs {
			clones[i] = msgs[i].Clone()
		}
		for i := range msgs {
			for k := range msgs[i].Data {
				msgs[i].Data[k] = 0xff
			}
			_ = append(msgs[i].Data, bytes.Repeat([]byte{0xee}, 100)...)
			msgs[i].Header.Set("X", "y")
			msgs[i].Header.Del("X")
		}
		check("after the data was overwritten")
		for i := range clones {
			if string(clones[i].Data) != payload(i) || clones[i].Header.Get("I") != fmt.Sprint(i) {
				t.Fatalf("clone %d changed", i)
			}
		}
		// The read buffer is used again; nothing of it is in a message.
		for i := range 50 {
			s.Deliver(fmt.Sprint("a.", i), "zzzzz", "", strings.Repeat("z", 100_000))
		}
		synctest.Wait()
		runtime.GC()
		check("after more was read")
	})
}

// TestPublishCopies: the caller's memory is free when Publish returns, and is
// never written to.
func TestPublishCopies(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, s := fakeserver.One()
		nc := connect(t, n)
		s.Peer().StallReads(true)
		data := []byte("before")
		m := Msg{Subject: "a", Reply: "r", Header: header(t, "A", "1"), Data: data}
		must(t, nc.PublishMsg(t.Context(), m))
		must(t, nc.Publish("b", data))
		must(t, nc.PublishRequest("c", "r", data))
		copy(data, "after!")
		s.Peer().StallReads(false)
		flush(t, nc)
		for _, o := range s.Ops("PUB") {
			if string(o.Data) != "before" {
				t.Errorf("%s: %q", o.Subject, o.Data)
			}
		}
		if got := names(s.Ops("PUB")); got != "HPUB a r 18 24 | PUB b 6 | PUB c r 6" {
			t.Errorf("published %s", got)
		}
		if m.Header.Get("A") != "1" || m.Header.Len() != 1 || m.Subject != "a" {
			t.Errorf("the message was changed: %+v", m)
		}
	})
}

// TestLargeMessages: sizes around every buffer's.
func TestLargeMessages(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, s := fakeserver.One()
		nc := connect(t, n)
		sub, err := nc.SubscribeSync("a.*")
		must(t, err)
		flush(t, nc)
		var sizes []int
		for _, n := range []int{0, 1 << 10, 4 << 10, 8 << 10, 16 << 10, 256 << 10, 1 << 20} {
			for d := -64; d <= 64; d += 16 {
				sizes = append(sizes, max(n+d, 0))
			}
		}
		for i, size := range sizes {
			data := bytes.Repeat([]byte{byte(i)}, size)
			s.Deliver("a.x", "reply", "NATS/1.0\r\nA: b\r\n\r\n", string(data))
			m, err := sub.Next(t.Context())
			must(t, err)
			if !bytes.Equal(m.Data, data) || m.Subject != "a.x" || m.Reply != "reply" || m.Header.Get("A") != "b" || cap(m.Data) != len(m.Data) {
				t.Fatalf("size %d: %d bytes, %q %q", size, len(m.Data), m.Subject, m.Reply)
			}
		}
	})
}
