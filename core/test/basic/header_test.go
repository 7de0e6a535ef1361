package basic

import (
	"slices"
	"testing"

	nats "github.com/perigee-go/nats/core"
	"github.com/perigee-go/nats/core/test/internal/ledger"
)

// Several values of a name, names that differ in case, and an empty value come
// back as they were sent, with a payload and without.
func TestHeaderRoundTrip(t *testing.T) {
	t.Parallel()
	srv := ledger.Run(t)
	a, b := ledger.Connect(t, srv.URL()), ledger.Connect(t, srv.URL(), nats.Name("b"))
	sub, err := a.SubscribeSync("h")
	if err != nil {
		t.Fatal(err)
	}
	flush(t, a)
	h, err := nats.NewHeader("Many", "1", "Other", "x: y", "Many", "2", "many", "3", "Empty", "")
	if err != nil {
		t.Fatal(err)
	}
	for _, data := range [][]byte{nil, []byte("data")} {
		if err := b.PublishMsg(t.Context(), nats.Msg{Subject: "h", Header: h, Data: data}); err != nil {
			t.Fatal(err)
		}
		m, err := sub.Next(t.Context())
		if err != nil || string(m.Data) != string(data) {
			t.Fatalf("%q, %v", m.Data, err)
		}
		got := m.Header.Values("Many")
		if !slices.Equal(got, []string{"1", "2"}) || m.Header.Get("many") != "3" || m.Header.Get("Other") != "x: y" {
			t.Errorf("with %d bytes: Many is %q; %v", len(data), got, m.Header)
		}
		if n := m.Header.Len(); n != 5 {
			t.Errorf("with %d bytes: %d fields, sent 5: %v", len(data), n, m.Header)
		}
	}
}
