package jetstream_test

import (
	"errors"
	"testing"

	nats "github.com/perigee-go/nats/core"
	"github.com/perigee-go/nats/core/jetstream"
	"github.com/perigee-go/nats/core/test/internal/ledger"
	"github.com/perigee-go/nats/orbit/natstest"
)

// A user may be limited to a consumer's filter by the subject of the request, as
// long as the filter has no wildcards; for those the right to the consumer's name
// is needed, and enough.
func TestCreateConsumerPermissions(t *testing.T) {
	t.Parallel()
	const create = "$JS.API.CONSUMER.CREATE.S."
	srv := natstest.Run(t, natstest.JetStream(), natstest.Users(
		natstest.User{Name: "admin", Password: "a"},
		natstest.User{Name: "user", Password: "u", Permissions: natstest.Permissions{
			Publish:   []string{create + "filtered.s.>", create + "named"},
			Subscribe: []string{"_INBOX.>"},
		}},
	))
	connect := func(name, password string) *jetstream.JetStream {
		js, err := jetstream.New(ledger.Connect(t, srv.URL(), nats.UserInfo(name, password)))
		if err != nil {
			t.Fatal(err)
		}
		return js
	}
	if _, err := connect("admin", "a").CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s.>"}}); err != nil {
		t.Fatal(err)
	}
	s := connect("user", "u").StreamHandle("S")
	for _, c := range []struct {
		name, filter string
		permitted    bool
	}{
		{"filtered", "s.a", true},
		{"filtered", "", false},
		{"filtered", "s.*", false},
		{"named", "s.a", false},
		{"named", "", true},
		{"named", "s.*", true},
	} {
		_, err := s.CreateOrUpdateConsumer(t.Context(), jetstream.ConsumerConfig{Durable: c.name, FilterSubject: c.filter})
		var refused *nats.PermissionError
		if c.permitted && err != nil || !c.permitted && !errors.As(err, &refused) {
			t.Errorf("%s of %q: %v", c.name, c.filter, err)
		}
	}
}
