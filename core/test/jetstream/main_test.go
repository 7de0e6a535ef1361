package jetstream_test

import (
	"os"
	"testing"

	nats "github.com/perigee-go/nats/core"
	"github.com/perigee-go/nats/core/jetstream"
	"github.com/perigee-go/nats/core/test/internal/ledger"
	"github.com/perigee-go/nats/orbit/natstest"
)

func TestMain(m *testing.M) { os.Exit(natstest.Main(m)) }

// run starts a server with JetStream and makes a handle to it.
func run(t testing.TB, opts ...jetstream.Option) (*jetstream.JetStream, *natstest.Server) {
	t.Helper()
	srv := natstest.Run(t, natstest.JetStream())
	return handle(t, srv.URL(), opts...), srv
}

// handle connects to a server and makes a handle.
func handle(t testing.TB, url string, opts ...jetstream.Option) *jetstream.JetStream {
	t.Helper()
	js, err := jetstream.New(ledger.Connect(t, url), opts...)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

// create makes a stream in memory.
func create(t testing.TB, js *jetstream.JetStream, cfg jetstream.StreamConfig) *jetstream.Stream {
	t.Helper()
	cfg.Storage = jetstream.MemoryStorage
	s, err := js.CreateStream(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// publish stores a message and returns its sequence.
func publish(t testing.TB, js *jetstream.JetStream, subject, data string, opts ...jetstream.PublishOption) uint64 {
	t.Helper()
	ack, err := js.Publish(t.Context(), subject, []byte(data), opts...)
	if err != nil {
		t.Fatal(err)
	}
	return ack.Sequence
}

func header(t testing.TB, nameValues ...string) nats.Header {
	t.Helper()
	h, err := nats.NewHeader(nameValues...)
	if err != nil {
		t.Fatal(err)
	}
	return h
}
