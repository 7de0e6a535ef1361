package basic

import (
	"errors"
	"fmt"
	"testing"

	nats "github.com/perigee-go/nats/core"
	"github.com/perigee-go/nats/core/test/internal/ledger"
	"github.com/perigee-go/nats/orbit/natstest"
)

// Payload and header of exactly the server's limit arrive whole. One byte more
// is refused by every call, and the server never hears of it.
func TestMaxPayloadToTheByte(t *testing.T) {
	t.Parallel()
	for _, max := range []int{200, 64 << 10, 1 << 20, 3 << 20} {
		t.Run(fmt.Sprint(max), func(t *testing.T) {
			t.Parallel()
			srv := ledger.Run(t, natstest.MaxPayload(max))
			nc := ledger.Connect(t, srv.URL())
			if got := nc.ServerInfo().MaxPayload; got != int64(max) {
				t.Errorf("the server takes %d, ServerInfo says %d", max, got)
			}
			h, err := nats.NewHeader("Some", "header")
			if err != nil {
				t.Fatal(err)
			}
			sub, err := nc.SubscribeSync("to.>")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := nc.Subscribe("echo", func(m nats.Msg) { _ = m.RespondMsg(nats.Msg{Header: m.Header, Data: m.Data}) }); err != nil {
				t.Fatal(err)
			}
			data := make([]byte, max+1)
			for i := range data {
				data[i] = byte(i * 11)
			}
			for _, hdr := range []nats.Header{{}, h} {
				room := max - nats.Msg{Header: hdr}.Size()
				whole := nats.Msg{Subject: "to.all", Reply: "r", Header: hdr, Data: data[:room]}
				if err := nc.PublishMsg(t.Context(), whole); err != nil {
					t.Fatal(err)
				}
				if m, err := sub.Next(t.Context()); err != nil || !m.Equal(whole) {
					t.Errorf("%d of %d bytes came: %v", m.Size(), max, err)
				}
				m, err := nc.RequestMsg(t.Context(), nats.Msg{Subject: "echo", Header: hdr, Data: data[:room]})
				if err != nil || m.Size() != max || string(m.Data) != string(data[:room]) {
					t.Errorf("%d of %d bytes came back: %v", m.Size(), max, err)
				}
				before := nc.Stats().OutMsgs
				big := data[:room+1]
				_, requestErr := nc.RequestMsg(t.Context(), nats.Msg{Subject: "echo", Header: hdr, Data: big})
				for call, err := range map[string]error{
					"PublishMsg": nc.PublishMsg(t.Context(), nats.Msg{Subject: "to.all", Header: hdr, Data: big}),
					"RequestMsg": requestErr,
				} {
					if !errors.Is(err, nats.ErrMaxPayload) || !nats.SafeToRetry(err) {
						t.Errorf("%s of %d bytes: %v", call, max+1, err)
					}
				}
				if nc.Stats().OutMsgs != before {
					t.Error("it was accepted")
				}
			}
			flush(t, nc)
			if st := sub.Stats(); st.Received != 2 || nc.Stats().Connects != 1 {
				t.Errorf("%+v, %+v", st, nc.Stats())
			}
		})
	}
}

// What one request, one publish and a Reconnect add to the counters, to the
// message and the byte.
func TestCountersOfARequest(t *testing.T) {
	t.Parallel()
	srv := ledger.Run(t)
	nc, other := ledger.Connect(t, srv.URL()), ledger.Connect(t, srv.URL(), nats.Name("other"))
	if _, err := other.Subscribe("svc", func(m nats.Msg) { _ = m.Respond([]byte("seven b")) }); err != nil {
		t.Fatal(err)
	}
	sub, err := nc.SubscribeSync("own")
	if err != nil {
		t.Fatal(err)
	}
	flush(t, nc, other)
	if st := nc.Stats(); st.OutMsgs+st.InMsgs+st.OutBytes+st.InBytes != 0 || st.Connects != 1 || st.Reconnects != 0 {
		t.Errorf("at the start: %+v", st)
	}
	if _, err := nc.Request(t.Context(), "svc", []byte("four")); err != nil {
		t.Fatal(err)
	}
	if err := nc.Publish("own", []byte("one")); err != nil {
		t.Fatal(err)
	}
	if _, err := sub.Next(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := nc.Reconnect(t.Context()); err != nil {
		t.Fatal(err)
	}
	st := nc.Stats()
	if st.OutMsgs != 2 || st.OutBytes != 7 || st.InMsgs != 2 || st.InBytes != 10 || st.InReplies != 1 || st.InDelivered != 1 {
		t.Errorf("messages: %+v", st)
	}
	if st.Requests != 1 || st.Answered != 1 || st.Connects != 2 || st.Reconnects != 1 || st.OutConfirmed != 2 {
		t.Errorf("requests and links: %+v", st)
	}
}
