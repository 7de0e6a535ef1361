package jetstream_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	nats "github.com/perigee-go/nats/core"
	"github.com/perigee-go/nats/core/jetstream"
	"github.com/perigee-go/nats/core/test/internal/ledger"
	"github.com/perigee-go/nats/orbit/natstest"
)

// inMemory makes stream S with count messages, and consumer C. Not on disk: a
// server may still be removing the files of the old stream when the new one comes.
func inMemory(t testing.TB, js *jetstream.JetStream, count int) *jetstream.Consumer {
	t.Helper()
	c := worker(t, js, jetstream.ConsumerConfig{})
	fill(t, js, "s.a", count)
	return c
}

// A remake is what somebody else does to stream S or its consumer C while a
// session of the consumer runs.
type remake struct {
	stream bool // it is another one, too
	do     func(t testing.TB, js *jetstream.JetStream)
}

func makeStream(t testing.TB, js *jetstream.JetStream, cfg jetstream.StreamConfig) {
	t.Helper()
	if err := js.DeleteStream(t.Context(), "S"); err != nil {
		t.Fatal(err)
	}
	cfg.Name, cfg.Subjects = "S", []string{"s.>"}
	if _, err := js.CreateStream(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
}

func makeConsumer(t testing.TB, js *jetstream.JetStream, cfg jetstream.ConsumerConfig) {
	t.Helper()
	cfg.Durable = "C"
	if _, err := js.CreateConsumer(t.Context(), "S", cfg); err != nil {
		t.Fatal(err)
	}
}

var remakes = map[string]remake{
	"the same stream": {true, func(t testing.TB, js *jetstream.JetStream) {
		makeStream(t, js, jetstream.StreamConfig{Storage: jetstream.MemoryStorage})
		makeConsumer(t, js, jetstream.ConsumerConfig{})
	}},
	"with another configuration": {true, func(t testing.TB, js *jetstream.JetStream) {
		makeStream(t, js, jetstream.StreamConfig{Storage: jetstream.FileStorage, MaxMsgs: 1000, AllowDirect: true})
		makeConsumer(t, js, jetstream.ConsumerConfig{AckWait: time.Minute, MaxAckPending: 10, FilterSubject: "s.new"})
	}},
	"the same consumer": {false, func(t testing.TB, js *jetstream.JetStream) {
		if err := js.DeleteConsumer(t.Context(), "S", "C"); err != nil {
			t.Fatal(err)
		}
		makeConsumer(t, js, jetstream.ConsumerConfig{DeliverPolicy: jetstream.DeliverNewPolicy})
	}},
}

// told is an ErrorHandler that keeps what it hears.
type told struct {
	mu      sync.Mutex
	all     []error
	another chan struct{} // a slot
}

func newTold() *told { return &told{another: make(chan struct{}, 1)} }

func (o *told) option() jetstream.PullOption {
	return jetstream.ErrorHandler(func(err error) {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.all = append(o.all, err)
		if errors.Is(err, jetstream.ErrConsumerRecreated) {
			select {
			case o.another <- struct{}{}:
			default:
			}
		}
	})
}

// wait returns the word of another consumer.
func (o *told) wait(t testing.TB) error {
	t.Helper()
	select {
	case <-o.another:
	case <-time.After(20 * time.Second):
		o.mu.Lock()
		defer o.mu.Unlock()
		t.Fatalf("nothing was told of another consumer: %v", o.all)
	}
	return o.last()
}

func (o *told) last() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	var word error
	for _, err := range o.all {
		if errors.Is(err, jetstream.ErrConsumerRecreated) {
			word = err
		}
	}
	return word
}

// takeNew takes until the messages of the new stream have come.
func takeNew(t testing.TB, rec *jetstream.Receiver, want ...string) {
	t.Helper()
	for len(want) > 0 {
		m, err := rec.Next(in(t, 20*time.Second))
		if err != nil {
			t.Fatalf("%v, %q did not come", err, want)
		}
		want = slices.DeleteFunc(want, func(s string) bool { return s == string(m.Data) })
		if strings.HasPrefix(string(m.Data), "new") {
			if err := m.Ack(); err != nil {
				t.Error(err)
			}
		}
	}
}

// A session whose consumer, or whose stream with all its consumers, is made anew
// while it has no pull at the server goes on with the new one, and says so.
func TestRecreated(t *testing.T) {
	for name, re := range remakes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			js, srv := run(t)
			other := handle(t, srv.URL())
			c := inMemory(t, js, 4)
			heard := newTold()
			// All that it may read ahead is here: it has nothing to ask for.
			rec, err := c.Receiver(jetstream.MaxMessages(4), heard.option())
			if err != nil {
				t.Fatal(err)
			}
			defer rec.Stop()
			eventually(t, c, "it has all", func(i *jetstream.ConsumerInfo) bool { return i.Delivered.Consumer == 4 && i.NumWaiting == 0 })
			re.do(t, other)
			publish(t, other, "s.new", "new 1")
			publish(t, other, "s.new", "new 2")
			takeNew(t, rec, "0", "3", "new 1", "new 2")
			word := heard.wait(t)
			if errors.Is(word, jetstream.ErrStreamRecreated) != re.stream || !strings.Contains(word.Error(), `"C" of stream "S"`) {
				t.Errorf("told %v", word)
			}
			eventually(t, c, "the new one is served", func(i *jetstream.ConsumerInfo) bool {
				return i.NumAckPending == 0 && i.NumPending == 0 && i.Delivered.Consumer == 2
			})
		})
	}
}

// The same while the client is away.
func TestRecreatedWhileDisconnected(t *testing.T) {
	for name, re := range remakes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := natstest.Run(t, natstest.JetStream())
			proxy := natstest.RunProxy(t, srv.URL())
			events, handler := ledger.NewEvents()
			js, err := jetstream.New(ledger.Connect(t, proxy.URL(), handler, quick()))
			if err != nil {
				t.Fatal(err)
			}
			other := handle(t, srv.URL())
			inMemory(t, other, 2)
			c, err := js.Consumer(t.Context(), "S", "C")
			if err != nil {
				t.Fatal(err)
			}
			heard := newTold()
			rec, err := c.Receiver(heard.option())
			if err != nil {
				t.Fatal(err)
			}
			defer rec.Stop()
			takeNew(t, rec, "0", "1")
			if err := proxy.Refuse(true); err != nil {
				t.Fatal(err)
			}
			proxy.CutNow()
			ledger.WaitN[nats.Disconnected](t, events, 1)
			re.do(t, other)
			publish(t, other, "s.new", "new 1")
			if err := proxy.Refuse(false); err != nil {
				t.Fatal(err)
			}
			takeNew(t, rec, "new 1")
			if word := heard.wait(t); errors.Is(word, jetstream.ErrStreamRecreated) != re.stream {
				t.Errorf("told %v", word)
			}
		})
	}
}

// With a pull at the server the server says that its consumer is gone, and that
// is the end, whatever is made after.
func TestRecreatedUnderAPull(t *testing.T) {
	t.Parallel()
	js, srv := run(t)
	other := handle(t, srv.URL())
	c := inMemory(t, js, 0)
	heard := newTold()
	run, err := c.Consume(func(*jetstream.Msg) {}, heard.option())
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, c, "it pulls", func(i *jetstream.ConsumerInfo) bool { return i.NumWaiting == 1 })
	remakes["the same stream"].do(t, other)
	select {
	case <-run.Done():
	case <-time.After(10 * time.Second):
		t.Fatal("it goes on")
	}
	if err := run.Err(); !errors.Is(err, jetstream.ErrConsumerDeleted) || heard.last() != nil {
		t.Errorf("ended with %v, told %v", err, heard.all)
	}
}

// A handle that is older than the stream: its next session says so. A second one
// knows.
func TestRecreatedSinceTheHandleWasMade(t *testing.T) {
	t.Parallel()
	js, _ := run(t)
	c := inMemory(t, js, 2)
	for m, err := range c.Fetch(t.Context(), 2) {
		if err != nil {
			t.Fatal(err)
		}
		if err := m.AckSync(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.Info(t.Context()); err != nil {
		t.Fatal(err)
	}
	remakes["the same stream"].do(t, js)
	publish(t, js, "s.a", "new 1")
	for _, want := range []bool{true, false} {
		heard := newTold()
		rec, err := c.Receiver(heard.option())
		if err != nil {
			t.Fatal(err)
		}
		if want {
			takeNew(t, rec, "new 1")
			if word := heard.wait(t); !errors.Is(word, jetstream.ErrStreamRecreated) {
				t.Errorf("told %v", word)
			}
		} else {
			publish(t, js, "s.a", "new 2")
			takeNew(t, rec, "new 2")
			if err := heard.last(); err != nil {
				t.Errorf("told again: %v", err)
			}
		}
		if err := rec.Drain(in(t, 10*time.Second)); err != nil {
			t.Error(err)
		}
	}
}

// Restarts, a reset, a change of configuration: the consumer is the one that it
// was, and nobody is alarmed.
func TestNotRecreated(t *testing.T) {
	t.Parallel()
	js, srv := run(t)
	c := onDisk(t, js, 20, jetstream.ConsumerConfig{AckWait: time.Second})
	heard := newTold()
	rec, err := c.Receiver(heard.option(), jetstream.MaxMessages(10))
	if err != nil {
		t.Fatal(err)
	}
	defer rec.Stop()
	take := func(n int) {
		t.Helper()
		for range n {
			m, err := rec.Next(in(t, 20*time.Second))
			if err != nil {
				t.Fatal(err)
			}
			if err := m.Ack(); err != nil {
				t.Error(err)
			}
		}
	}
	take(10)
	if _, err := js.UpdateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s.>"}, MaxMsgs: 1000}); err != nil {
		t.Fatal(err)
	}
	if _, err := js.UpdateConsumer(t.Context(), "S", jetstream.ConsumerConfig{Durable: "C", AckWait: 2 * time.Second}); err != nil {
		t.Fatal(err)
	}
	take(5)
	if _, err := js.StreamHandle("S").ResetConsumer(t.Context(), "C", 1); err != nil {
		t.Fatal(err)
	}
	take(20) // numbers begin again
	for range 2 {
		srv.Kill()
		if err := srv.Restart(); err != nil {
			t.Fatal(err)
		}
		if _, err := js.Publish(in(t, 20*time.Second), "s.a", []byte("more"), jetstream.RetryAttempts(-1)); err != nil {
			t.Fatal(err)
		}
		take(1)
	}
	if err := heard.last(); err != nil {
		t.Errorf("told %v", err)
	}
}

// In a cluster, with several calls of the handler at a time.
func TestRecreatedInCluster(t *testing.T) {
	t.Parallel()
	cluster := natstest.RunCluster(t, 3)
	js, err := jetstream.New(ledger.Connect(t, cluster.URL(), quick()))
	if err != nil {
		t.Fatal(err)
	}
	c := replicated(t, js, jetstream.ConsumerConfig{})
	const first = 200
	fill(t, js, "s.a", first)
	ctx := in(t, time.Minute)
	heard := newTold()
	gate, news := make(chan struct{}), make(chan struct{}, 100)
	run, err := c.Consume(func(m *jetstream.Msg) {
		if string(m.Data) == "new" {
			news <- struct{}{}
			_ = m.Ack()
			return
		}
		select {
		case <-gate:
		case <-ctx.Done():
		}
	}, jetstream.Concurrency(4), jetstream.MaxMessages(first), heard.option())
	if err != nil {
		t.Fatal(err)
	}
	defer run.Stop()
	eventually(t, c, "it has all", func(i *jetstream.ConsumerInfo) bool { return i.Delivered.Consumer == first && i.NumWaiting == 0 })
	if err := js.DeleteStream(ctx, "S"); err != nil {
		t.Fatal(err)
	}
	replicated(t, js, jetstream.ConsumerConfig{})
	close(gate)
	// Those that overtake each other among the first may have raised a doubt, and
	// the next one has to wait.
	more := time.NewTicker(20 * time.Millisecond)
	defer more.Stop()
	for word := error(nil); word == nil; word = heard.last() {
		if _, err := js.Publish(ctx, "s.a", []byte("new"), jetstream.RetryAttempts(-1)); err != nil {
			t.Fatal(err)
		}
		select {
		case <-news:
		case <-run.Done():
			t.Fatal(run.Err())
		case <-ctx.Done():
			t.Fatal("nothing was told")
		}
		<-more.C
	}
	if word := heard.last(); !errors.Is(word, jetstream.ErrStreamRecreated) {
		t.Errorf("told %v", word)
	}
	if err := run.Drain(context.WithoutCancel(ctx)); err != nil {
		t.Error(err)
	}
}

// Servers put the identity of a stream into two answers only, and only where
// streams copy from others: it is no help for consuming. It is a hash of when the
// stream was made, which every server tells. If this fails a newer server tells
// more, and the reason in docs/parity.tsv is to be looked at.
func TestIdentityHeaderOfTheServer(t *testing.T) {
	t.Parallel()
	js, _ := run(t)
	s := create(t, js, jetstream.StreamConfig{Name: "S", Subjects: []string{"s.>"}, AllowDirect: true})
	publish(t, js, "s.a", "x")
	ask := func(subject, body string) nats.Msg {
		t.Helper()
		m := nats.Msg{Subject: js.APISubject(subject), Data: []byte(body), Header: header(t, "Nats-Stream-Identity", "x")}
		reply, err := js.Conn().RequestMsg(in(t, 10*time.Second), m)
		if err != nil {
			t.Fatalf("%s: %v", subject, err)
		}
		if strings.Contains(string(reply.Data), `"error"`) {
			t.Fatalf("%s: %s", subject, reply.Data)
		}
		return reply
	}
	for _, r := range []struct{ subject, body string }{
		{"CONSUMER.CREATE.S.C", `{"stream_name":"S","config":{"durable_name":"C","ack_policy":"explicit"}}`},
		{"CONSUMER.INFO.S.C", ""},
		{"STREAM.INFO.S", ""},
		{"DIRECT.GET.S", `{"seq":1}`},
	} {
		reply := ask(r.subject, r.body)
		if got := reply.Header.Get("Nats-Stream-Identity"); got != "" {
			t.Errorf("the answer of %s has the identity %q", r.subject, got)
		}
	}
	for m, err := range s.ConsumerHandle("C").Fetch(t.Context(), 1) {
		if err != nil || m.Header.Len() > 0 {
			t.Errorf("a message has the header %v, %v", m.Header, err)
		}
	}
	identity := ask("CONSUMER.RESET.S.C", "").Header.Get("Nats-Stream-Identity")
	if identity == "" {
		t.Error("a reset does not tell it any more")
	}
	if err := js.DeleteStream(t.Context(), s.Name()); err != nil {
		t.Fatal(err)
	}
	create(t, js, jetstream.StreamConfig{Name: "S", Subjects: []string{"s.>"}})
	makeConsumer(t, js, jetstream.ConsumerConfig{})
	if again := ask("CONSUMER.RESET.S.C", "").Header.Get("Nats-Stream-Identity"); again == identity {
		t.Error("the stream that was made anew has the same")
	}
}
