package basic

import (
	"fmt"
	"testing"

	nats "github.com/perigee-go/nats/core"
	"github.com/perigee-go/nats/core/test/internal/ledger"
)

// A header that a user calls Status says nothing to the client: with every
// number there is, with and without a payload, messages go through every call
// that takes some, and a reply is a reply.
//
// reliability B20, E6
func TestStatusOfAUser(t *testing.T) {
	t.Parallel()
	srv := ledger.Run(t)
	nc := ledger.Connect(t, srv.URL())
	pulled, err := nc.SubscribeSync("status")
	if err != nil {
		t.Fatal(err)
	}
	handled, fed := make(chan nats.Msg, 1), make(chan nats.Msg, 1)
	if _, err := nc.Subscribe("status", func(m nats.Msg) { handled <- m }); err != nil {
		t.Fatal(err)
	}
	if _, err := nc.SubscribeChan("status", fed); err != nil {
		t.Fatal(err)
	}
	if _, err := nc.Subscribe("svc", func(m nats.Msg) { _ = m.RespondMsg(nats.Msg{Header: m.Header, Data: m.Data}) }); err != nil {
		t.Fatal(err)
	}
	for code := 100; code < 600; code++ {
		h, err := nats.NewHeader("Status", fmt.Sprint(code), "Description", "Consumer Deleted")
		if err != nil {
			t.Fatal(err)
		}
		for _, data := range [][]byte{nil, []byte("x")} {
			sent := nats.Msg{Subject: "status", Header: h, Data: data}
			if err := nc.PublishMsg(t.Context(), sent); err != nil {
				t.Fatal(err)
			}
			next, err := pulled.Next(t.Context())
			if err != nil {
				t.Fatal(code, err)
			}
			for by, m := range map[string]nats.Msg{"Next": next, "handler": recv(t, handled), "channel": recv(t, fed)} {
				if !m.Equal(sent) || m.Header.Get("Status") != fmt.Sprint(code) {
					t.Errorf("%d, by %s: %v %q", code, by, m.Header, m.Data)
				}
			}
			sent.Subject = "svc"
			m, err := nc.RequestMsg(t.Context(), sent)
			if err != nil || m.Header.Get("Status") != fmt.Sprint(code) || string(m.Data) != string(data) {
				t.Errorf("%d as a reply: %v %v", code, m.Header, err)
			}
		}
	}
	if st := nc.Stats(); st.NoResponders != 0 || st.Answered != 1000 {
		t.Errorf("%+v", st)
	}
}
