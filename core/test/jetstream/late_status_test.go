package jetstream_test

import (
	"testing"
	"time"

	"github.com/perigee-go/nats/core/jetstream"
	"github.com/perigee-go/nats/core/test/internal/ledger"
	"github.com/perigee-go/nats/orbit/natstest"
)

// A consumer with replicas says that the bytes of a pull are used up before the
// last of its messages come. None is left behind: with MaxDeliver 1 it would not
// come again.
func TestFetchBytesReplicated(t *testing.T) { // reliability G3, G9
	t.Parallel()
	cluster := natstest.RunCluster(t, 3)
	nc := ledger.Connect(t, cluster.URL())
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	c := replicated(t, js, jetstream.ConsumerConfig{MaxDeliver: 1, MaxAckPending: -1})
	const n = 200
	fill(t, js, "s.a", n)
	eventually(t, c, "all stored", func(i *jetstream.ConsumerInfo) bool { return i.NumPending == n })
	seen := make(map[string]bool)
	for range n {
		if len(seen) == n {
			break
		}
		for m, err := range c.Fetch(t.Context(), 50, jetstream.MaxBytes(700), jetstream.MaxWait(2*time.Second)) {
			if err != nil {
				t.Fatal(err)
			}
			if seen[string(m.Data)] {
				t.Errorf("%s came again", m.Data)
			}
			seen[string(m.Data)] = true
			if err := m.Ack(); err != nil {
				t.Fatal(err)
			}
		}
		if info, err := c.Info(t.Context()); err == nil && info.NumPending == 0 {
			break
		}
	}
	if len(seen) != n {
		t.Errorf("%d of %d messages came", len(seen), n)
	}
}
