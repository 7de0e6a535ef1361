package basic

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	nats "github.com/perigee-go/nats/core"
	"github.com/perigee-go/nats/core/test/internal/ledger"
	"github.com/perigee-go/nats/orbit/natstest"
)

// The tests in the files parity_*_test.go prove rows of docs/parity.tsv that no
// other test does.

// The server's list shows who we are.
func TestParityName(t *testing.T) {
	t.Parallel()
	srv := ledger.Run(t)
	nc := ledger.Connect(t, srv.URL(), nats.Name("billing 7"))
	flush(t, nc)
	list, err := srv.Embedded().Connz(nil)
	if err != nil || len(list.Conns) != 1 {
		t.Fatalf("%+v, %v", list, err)
	}
	c := list.Conns[0]
	if c.Name != "billing 7" || c.Lang != "go" || c.Version != nats.Version || nc.Name() != "billing 7" {
		t.Errorf("name %q, language %q, version %q; Conn.Name %q", c.Name, c.Lang, c.Version, nc.Name())
	}
	info := nc.ServerInfo()
	if info.ClientID != c.Cid || info.ClientIP != c.IP || info.ID != srv.ID() || info.Name != srv.Name() || info.JetStream {
		t.Errorf("the server sees %d at %s: %+v", c.Cid, c.IP, info)
	}
	if !info.AtLeast("2.10.0") || info.AtLeast("99.0.0") || info.MaxPayload != 1<<20 || !info.Headers {
		t.Errorf("%+v", info)
	}
	if nc.RemoteAddr().String() != srv.Addr() || nc.LocalAddr().String() != fmt.Sprintf("%s:%d", c.IP, c.Port) {
		t.Errorf("from %v to %v; the server sees %s:%d", nc.LocalAddr(), nc.RemoteAddr(), c.IP, c.Port)
	}
	js := ledger.Connect(t, ledger.Run(t, natstest.JetStream()).URL())
	if info := js.ServerInfo(); !info.JetStream || info.APILevel < 1 {
		t.Errorf("with JetStream: %+v", info)
	}
}

// An embedded server is reached without a socket, over reconnects too.
func TestParityInProcess(t *testing.T) {
	t.Parallel()
	srv := ledger.Run(t, natstest.UserPassword("joe", "pw"))
	nc := ledger.Connect(t, "nats://joe:pw@is.not.dialed.invalid:1", nats.InProcess(srv))
	sub, err := nc.SubscribeSync("a")
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := nc.Publish("a", []byte("x")); err != nil {
			t.Fatal(err)
		}
		if m, err := sub.Next(t.Context()); err != nil || string(m.Data) != "x" {
			t.Error(m, err)
		}
		if a := nc.RemoteAddr(); a == nil || a.Network() == "tcp" {
			t.Errorf("over %v", a)
		}
		if err := nc.Reconnect(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	_, err = nats.Connect(t.Context(), "nats://joe:wrong@x", nats.InProcess(srv), nats.Logger(nil))
	if !errors.Is(err, nats.ErrAuthorization) {
		t.Errorf("with a wrong password: %v", err)
	}
}

// Wildcards, a queue group and NoEcho in one subscription: the others' messages
// once, and none of one's own.
func TestParityQueueWildcardNoEcho(t *testing.T) {
	t.Parallel()
	srv := ledger.Run(t)
	a := ledger.Connect(t, srv.URL(), nats.NoEcho(), nats.Name("a"))
	b := ledger.Connect(t, srv.URL(), nats.NoEcho(), nats.Name("b"))
	from := make(chan string, 100)
	for range 3 {
		if _, err := a.Subscribe("jobs.*.>", func(m nats.Msg) { from <- string(m.Data) }, nats.Queue("workers")); err != nil {
			t.Fatal(err)
		}
	}
	flush(t, a)
	for i := range 10 {
		for _, nc := range []*nats.Conn{a, b} {
			for _, subject := range []string{fmt.Sprintf("jobs.%d.x.y", i), "jobs.x"} {
				if err := nc.Publish(subject, []byte(nc.Name())); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	flush(t, a, b, a)
	if err := a.Barrier(t.Context()); err != nil {
		t.Fatal(err)
	}
	close(from)
	n := 0
	for name := range from {
		if n++; name != "b" {
			t.Errorf("a message of %s came", name)
		}
	}
	if n != 10 {
		t.Errorf("%d messages for 10", n)
	}
}

// Messages and bytes in both directions, and links.
func TestParityStats(t *testing.T) {
	t.Parallel()
	srv := ledger.Run(t)
	nc := ledger.Connect(t, srv.URL())
	sub, err := nc.SubscribeSync("a")
	if err != nil {
		t.Fatal(err)
	}
	h, err := nats.NewHeader("A", "b")
	if err != nil {
		t.Fatal(err)
	}
	var bytes uint64
	for i := range 10 {
		m := nats.Msg{Subject: "a", Header: h, Data: make([]byte, 10*i)}
		bytes += uint64(m.Size())
		if err := nc.PublishMsg(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	flush(t, nc)
	st := nc.Stats()
	if st.OutMsgs != 10 || st.OutBytes != bytes || st.InMsgs != 10 || st.InBytes != bytes || st.OutConfirmed != 10 {
		t.Errorf("10 messages, %d bytes: %+v", bytes, st)
	}
	if s := sub.Stats(); s.Received != 10 || s.PendingMsgs != 10 || s.PendingBytes != int(bytes) || s.Delivered != 0 {
		t.Errorf("%+v", s)
	}
	if _, err := sub.Next(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s := sub.Stats(); s.Delivered != 1 || s.PendingMsgs != 9 || s.MaxPendingMsgs != 10 {
		t.Errorf("after one: %+v", s)
	}
	if err := nc.Reconnect(t.Context()); err != nil {
		t.Fatal(err)
	}
	if st := nc.Stats(); st.Connects != 2 || st.Reconnects != 1 {
		t.Errorf("%+v", st)
	}
}

// What is published with a reply subject and headers arrives with them, and a
// reply goes where the publisher says.
func TestParityPublishRequest(t *testing.T) {
	t.Parallel()
	srv := ledger.Run(t)
	nc, svc := ledger.Connect(t, srv.URL()), ledger.Connect(t, srv.URL(), nats.Name("svc"))
	if _, err := svc.Subscribe("svc", func(m nats.Msg) { _ = m.Respond([]byte("re " + m.Header.Get("A") + string(m.Data))) }); err != nil {
		t.Fatal(err)
	}
	inbox := nc.NewInbox()
	sub, err := nc.SubscribeSync(inbox)
	if err != nil {
		t.Fatal(err)
	}
	flush(t, nc, svc)
	h, err := nats.NewHeader("A", "b")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(
		nc.PublishRequest("svc", inbox, []byte("1")),
		nc.PublishMsg(t.Context(), nats.Msg{Subject: "svc", Reply: inbox, Header: h, Data: []byte("2")}),
	); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"re 1", "re b2"} {
		if m, err := sub.Next(t.Context()); err != nil || string(m.Data) != want || m.Subject != inbox {
			t.Errorf("%q on %q, want %q: %v", m.Data, m.Subject, want, err)
		}
	}
}

// everything is a helper as others may write it: several replies to one
// request, from exported names only.
func everything(ctx context.Context, nc *nats.Conn, subject string, n int) ([]nats.Msg, error) {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, nc.RequestTimeout())
		defer cancel()
	}
	op := &nats.Operation{Kind: nats.OpRequest, Conn: nc, Subject: subject}
	if t := nc.Tracer(); t != nil {
		ctx = t.Start(ctx, op)
	}
	inbox := nc.NewInbox()
	sub, err := nc.SubscribeSync(inbox, nats.AutoUnsubscribe(n))
	if err != nil {
		return nil, err
	}
	defer sub.Unsubscribe()
	remove := nc.OnDrain(func(ctx context.Context) error { return sub.Drain(ctx) })
	defer remove()
	if err := nc.PublishRequest(subject, inbox, nil); err != nil {
		return nil, err
	}
	replies, err := nats.Collect(sub.Messages(ctx))
	if t := nc.Tracer(); t != nil {
		t.End(ctx, op, err)
	}
	return replies, err
}

type countingTracer struct{ started, ended atomic.Int64 }

func (c *countingTracer) Start(ctx context.Context, op *nats.Operation) context.Context {
	if op.Kind == nats.OpRequest {
		c.started.Add(1)
	}
	return ctx
}

func (c *countingTracer) End(_ context.Context, op *nats.Operation, _ error) {
	if op.Kind == nats.OpRequest {
		c.ended.Add(1)
	}
}

func TestParityHelper(t *testing.T) {
	t.Parallel()
	srv := ledger.Run(t)
	tracer := &countingTracer{}
	nc := ledger.Connect(t, srv.URL(), nats.UseTracer(tracer), nats.RequestTimeout(time.Second))
	for i := range 3 {
		if _, err := nc.Subscribe("all", func(m nats.Msg) { _ = m.Respond(fmt.Append(nil, i)) }); err != nil {
			t.Fatal(err)
		}
	}
	flush(t, nc)
	replies, err := everything(t.Context(), nc, "all", 3)
	if err != nil || len(replies) != 3 {
		t.Errorf("%d replies, %v", len(replies), err)
	}
	// One more than there are: the time is the connection's.
	if replies, err = everything(t.Context(), nc, "all", 4); !errors.Is(err, context.DeadlineExceeded) || len(replies) != 3 {
		t.Errorf("%d replies, %v", len(replies), err)
	}
	if s, e := tracer.started.Load(), tracer.ended.Load(); s != 2 || e != 2 {
		t.Errorf("traced %d and %d", s, e)
	}
	// A shutdown includes it.
	failed := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		replies, err := everything(ctx, nc, "all", 4)
		if len(replies) != 3 {
			err = errors.Join(err, fmt.Errorf("%d replies", len(replies)))
		}
		failed <- err
	}()
	for st := nc.Stats(); st.InDelivered < 3*3+2*3+3; st = nc.Stats() {
		flush(t, nc)
	}
	if err := nc.Drain(t.Context()); err != nil {
		t.Error(err)
	}
	if err := recv(t, failed); err != nil {
		t.Error(err)
	}
}

// One connection serves goroutines that do everything at the same time.
func TestParitySharedConnection(t *testing.T) {
	t.Parallel()
	srv := ledger.Run(t)
	nc := ledger.Connect(t, srv.URL())
	if _, err := nc.Subscribe("echo", func(m nats.Msg) { _ = m.Respond(m.Data) }); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			subject := fmt.Sprintf("own.%d", g)
			for i := range 50 {
				sub, err := nc.SubscribeSync(subject)
				if err != nil {
					t.Error(err)
					return
				}
				want := fmt.Sprint(i)
				if err := nc.Publish(subject, []byte(want)); err != nil {
					t.Error(err)
				}
				if m, err := sub.Next(t.Context()); err != nil || string(m.Data) != want || m.Subject != subject {
					t.Errorf("%q on %s, %v", m.Data, m.Subject, err)
				}
				if m, err := nc.Request(t.Context(), "echo", []byte(subject+want)); err != nil || string(m.Data) != subject+want {
					t.Errorf("%q, %v", m.Data, err)
				}
				if err := errors.Join(sub.Unsubscribe(), nc.Flush(t.Context())); err != nil {
					t.Error(err)
				}
				_, _, _, _ = nc.Stats(), nc.Servers(), nc.Status(), nc.ServerInfo()
			}
		})
	}
	wg.Wait()
	if err := nc.Barrier(t.Context()); err != nil { // the last answers came before their handlers returned
		t.Fatal(err)
	}
	if st := nc.Stats(); st.Answered != 400 || st.InDelivered != 800 || nc.NumSubscriptions() != 1 {
		t.Errorf("%d subscriptions, %+v", nc.NumSubscriptions(), st)
	}
	ledger.SameSubscriptions(t, srv, nc, "echo", muxOf(srv, nc))
}

// muxOf is the subject that the replies of all requests come on.
func muxOf(srv *natstest.Server, nc *nats.Conn) string {
	subs := srv.Subscriptions(nc.Name())
	i := slices.IndexFunc(subs, func(s string) bool { return strings.HasPrefix(s, "_INBOX.") })
	if i < 0 {
		return "none"
	}
	return subs[i]
}

// A reply subject and a time of its own for one request.
func TestParityRequestMsg(t *testing.T) {
	t.Parallel()
	srv := ledger.Run(t)
	nc := ledger.Connect(t, srv.URL(), nats.CustomInboxPrefix("mine"))
	replies := make(chan string, 10)
	if _, err := nc.Subscribe("svc", func(m nats.Msg) {
		replies <- m.Reply
		if len(m.Data) > 0 {
			_ = m.Respond(m.Data)
		}
	}); err != nil {
		t.Fatal(err)
	}
	m, err := nc.RequestMsg(t.Context(), nats.Msg{Subject: "svc", Reply: "answers.here", Data: []byte("x")})
	if err != nil || m.Subject != "answers.here" || recv(t, replies) != "answers.here" {
		t.Errorf("%q, %v", m.Subject, err)
	}
	if _, err := nc.Request(t.Context(), "svc", []byte("x")); err != nil || !strings.HasPrefix(recv(t, replies), "mine.") {
		t.Error(err)
	}
	start := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = nc.RequestMsg(ctx, nats.Msg{Subject: "svc", Reply: "answers.here"})
	if d := time.Since(start); !errors.Is(err, context.DeadlineExceeded) || d < 50*time.Millisecond || d > 2*time.Second {
		t.Errorf("after %v: %v", d, err)
	}
	if i := nc.NewInbox(); !strings.HasPrefix(i, "mine.") {
		t.Errorf("inbox %q", i)
	}
}
