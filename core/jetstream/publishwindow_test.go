package jetstream

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	nats "github.com/perigee-go/nats/core"
	"github.com/perigee-go/nats/core/internal/fakeserver"
)

// asyncRig is a stream in a scripted server, in a bubble.
type asyncRig struct {
	*JetStream
	t   *testing.T
	net *fakeserver.Net
	srv *fakeserver.Server
	nc  *nats.Conn

	mu     sync.Mutex
	stored []string // in order, each once
	ids    map[string]bool
	got    int                                                      // messages
	before func(n int, p *fakeserver.Peer, o *fakeserver.Op) answer // of a stream that does not store; the zero value: it does
}

func asynchronously(t *testing.T, f func(t *testing.T, r *asyncRig), connOpts []nats.Option, opts ...Option) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := &asyncRig{t: t, ids: map[string]bool{}}
		r.net, r.srv = fakeserver.One()
		r.srv.On("PUB", r.publish).On("HPUB", r.publish)
		connOpts = append([]nats.Option{nats.UseDialer(r.net), nats.Logger(nil), nats.ReconnectBackoff(time.Millisecond, time.Millisecond)}, connOpts...)
		nc, err := nats.Connect(t.Context(), r.srv.URL(), connOpts...)
		if err != nil {
			t.Fatal(err)
		}
		r.nc = nc
		if r.JetStream, err = New(nc, opts...); err != nil {
			t.Fatal(err)
		}
		defer func() {
			_ = nc.Close()
			synctest.Wait()
		}()
		f(t, r)
		_ = nc.Close()
		synctest.Wait()
		if n := r.PublishAsyncPending(); n != 0 { // reliability F6
			t.Errorf("%d are open at the end", n)
		}
		if st := nc.Stats(); st.OutMsgs != st.OutConfirmed+st.OutInFlight+st.OutBuffered+st.OutDropped+st.OutUnknown {
			t.Errorf("the ledger does not add up: %+v", st)
		}
	})
}

// publish is the stream.
func (r *asyncRig) publish(p *fakeserver.Peer, o *fakeserver.Op) bool {
	r.mu.Lock()
	r.got++
	var a answer
	if r.before != nil {
		a = r.before(r.got, p, o)
	}
	if a == silence {
		r.mu.Unlock()
		return true
	}
	if a == (answer{}) {
		a = r.store(o)
	}
	r.mu.Unlock()
	r.srv.Deliver(o.Reply, "", a.header, a.data)
	return true
}

var silence = answer{header: "silence"}

func (r *asyncRig) store(o *fakeserver.Op) answer {
	if _, id, ok := strings.Cut(o.Header, MsgIDHeader+": "); ok {
		if r.ids[id] {
			return answer{data: fmt.Sprintf(`{"stream":"S","seq":%d,"duplicate": true}`, slices.Index(r.stored, string(o.Data))+1)}
		}
		r.ids[id] = true
	}
	r.stored = append(r.stored, string(o.Data))
	return answer{data: fmt.Sprintf(`{"stream":"S","seq":%d}`, len(r.stored))}
}

func (r *asyncRig) contents() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.stored)
}

func (r *asyncRig) async(data string, opts ...PublishOption) *PubAckFuture {
	r.t.Helper()
	f, err := r.PublishAsync(r.t.Context(), "s", []byte(data), opts...)
	if err != nil {
		r.t.Fatal(err)
	}
	return f
}

func (r *asyncRig) wait(f *PubAckFuture) error {
	_, err := f.Wait(r.t.Context())
	return err
}

// TestPublishAsyncKeepsOrder: the stream has no leader for a while, and a publish
// is refused with others behind it. reliability F5
func TestPublishAsyncKeepsOrder(t *testing.T) {
	asynchronously(t, func(t *testing.T, r *asyncRig) {
		r.before = func(n int, _ *fakeserver.Peer, _ *fakeserver.Op) answer {
			if n >= 4 && n <= 12 { // as long as the leader is missing
				return nobody
			}
			return answer{}
		}
		var all []*PubAckFuture
		var want []string
		for i := range 20 {
			data := string(rune('A' + i))
			all = append(all, r.async(data))
			want = append(want, data)
			if i == 7 {
				synctest.Wait()
			}
		}
		for _, f := range all {
			if err := r.wait(f); err != nil {
				t.Error(err)
			}
		}
		if got := r.contents(); !slices.Equal(got, want) {
			t.Errorf("stored %v", got)
		}
	}, nil, RetryAttempts(-1))
	asynchronously(t, func(t *testing.T, r *asyncRig) { // and one behind it is stored already
		var reply string
		r.before = func(n int, _ *fakeserver.Peer, o *fakeserver.Op) answer {
			switch n {
			case 2:
				reply = o.Reply
				return silence
			case 3: // and now it says that it did not hear the other
				r.srv.Deliver(reply, "", nobody.header, "")
			}
			return answer{}
		}
		a, b, c := r.async("A"), r.async("B"), r.async("C")
		if errA, errC := r.wait(a), r.wait(c); errA != nil || errC != nil {
			t.Error(errA, errC)
		}
		if err := r.wait(b); !errors.Is(err, ErrNoStreamResponse) || errors.Is(err, nats.ErrOutcomeUnknown) {
			t.Errorf("the refused one: %v", err)
		}
		if got := r.contents(); !slices.Equal(got, []string{"A", "C"}) {
			t.Errorf("stored %v", got)
		}
	}, nil, RetryAttempts(-1))
}

// TestPublishAsyncSubjectWithoutStream: all that wait for the same are told
// together.
func TestPublishAsyncSubjectWithoutStream(t *testing.T) {
	asynchronously(t, func(t *testing.T, r *asyncRig) {
		r.before = func(int, *fakeserver.Peer, *fakeserver.Op) answer { return nobody }
		var all []*PubAckFuture
		for range 100 {
			all = append(all, r.async("x"))
		}
		took := elapsed(func() {
			for _, f := range all {
				if err := r.wait(f); !errors.Is(err, ErrNoStreamResponse) || !errors.Is(err, nats.ErrNoResponders) {
					t.Fatal(err)
				}
			}
		})
		if took > 2*time.Second {
			t.Errorf("it took %v", took)
		}
	}, nil)
}

// TestPublishAsyncWindow: no more than the window is open, and who waits for room
// waits under his context.
func TestPublishAsyncWindow(t *testing.T) {
	asynchronously(t, func(t *testing.T, r *asyncRig) {
		held := make(chan struct{})
		r.before = func(int, *fakeserver.Peer, *fakeserver.Op) answer {
			select {
			case <-held:
				return answer{}
			default:
				return silence
			}
		}
		for i := range 10 {
			r.async(fmt.Sprint(i))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var f *PubAckFuture
		var err error
		took := elapsed(func() { f, err = r.PublishAsync(ctx, "s", nil) })
		if f != nil || !errors.Is(err, context.DeadlineExceeded) || !nats.SafeToRetry(err) || took != time.Second {
			t.Errorf("%v after %v", err, took)
		}
		if r.PublishAsyncPending() != 10 {
			t.Errorf("%d are open", r.PublishAsyncPending())
		}
		close(held)
		f, err = r.PublishAsync(t.Context(), "s", nil) // the others time out
		if err != nil || r.wait(f) != nil {
			t.Error(err)
		}
	}, nil, PublishAsyncMaxPending(10), AckTimeout(3*time.Second))
}

// TestPublishAsyncSomeRoom: one free place is enough, if no more come.
func TestPublishAsyncSomeRoom(t *testing.T) {
	asynchronously(t, func(t *testing.T, r *asyncRig) {
		var first string
		r.before = func(n int, _ *fakeserver.Peer, o *fakeserver.Op) answer {
			if n == 1 {
				first = o.Reply
			}
			return silence
		}
		for i := range 10 {
			r.async(fmt.Sprint(i))
		}
		synctest.Wait()
		time.AfterFunc(time.Second, func() { r.srv.Deliver(first, "", "", `{"stream":"S","seq":1}`) })
		if took := elapsed(func() { r.async("more") }); took > time.Second+hesitation {
			t.Errorf("waited %v", took)
		}
	}, nil, PublishAsyncMaxPending(10))
}

// TestPublishAsyncFromHandler: the handler publishes with the window full, waits
// for futures and asks for numbers. reliability F3
func TestPublishAsyncFromHandler(t *testing.T) {
	var r *asyncRig
	var told []string
	handler := func(m nats.Msg, ack PubAck, err error) {
		if err != nil || ack.Stream != "S" {
			r.t.Errorf("%+v, %v", ack, err)
		}
		told = append(told, string(m.Data))
		if len(m.Data) < 3 {
			f, err := r.PublishAsync(context.Background(), "s", append(m.Data, '+'))
			if err != nil {
				r.t.Error(err)
			} else if _, err := f.Wait(context.Background()); err != nil {
				r.t.Error(err)
			}
			_ = r.PublishAsyncPending()
		}
	}
	asynchronously(t, func(t *testing.T, rig *asyncRig) {
		r = rig
		for range 30 {
			r.async("x")
		}
		for len(r.contents()) < 90 {
			if err := r.WaitPublished(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if err := r.WaitPublished(t.Context()); err != nil || len(told) != 90 {
			t.Errorf("told of %d, %v", len(told), err)
		}
	}, nil, PublishAsyncMaxPending(2), PublishAsyncHandler(func(m nats.Msg, a PubAck, err error) { handler(m, a, err) }))
}

// TestPublishAsyncSlowHandler: who publishes waits when a window of news waits for
// the handler, so that they do not pile up.
func TestPublishAsyncSlowHandler(t *testing.T) {
	release := make(chan struct{})
	asynchronously(t, func(t *testing.T, r *asyncRig) {
		release = make(chan struct{})
		n := 0
		for ; n < 100; n++ {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			_, err := r.PublishAsync(ctx, "s", nil)
			cancel()
			if err != nil {
				break
			}
			synctest.Wait()
		}
		if n != 4 {
			t.Errorf("published %d ahead of the handler", n)
		}
		close(release)
		if err := r.WaitPublished(t.Context()); err != nil {
			t.Error(err)
		}
		r.async("x")
	}, nil, PublishAsyncMaxPending(4), PublishAsyncHandler(func(nats.Msg, PubAck, error) { <-release }))
}

// TestPublishAsyncToldBeforeCompletion: errors are told at once, and before
// WaitPublished returns. reliability F7
func TestPublishAsyncToldBeforeCompletion(t *testing.T) {
	var mu sync.Mutex
	var told []time.Duration
	var start time.Time
	asynchronously(t, func(t *testing.T, r *asyncRig) {
		r.before = func(n int, _ *fakeserver.Peer, _ *fakeserver.Op) answer {
			return []answer{wrongSeq, silence, {}}[min(n-1, 2)]
		}
		start = time.Now()
		for range 3 {
			r.async("x")
		}
		if err := r.WaitPublished(t.Context()); err != nil {
			t.Error(err)
		}
		mu.Lock()
		defer mu.Unlock()
		if !slices.Equal(told, []time.Duration{0, 0, 5 * time.Second}) {
			t.Errorf("told after %v", told)
		}
	}, nil, PublishAsyncHandler(func(nats.Msg, PubAck, error) {
		mu.Lock()
		defer mu.Unlock()
		told = append(told, time.Since(start))
	}))
}

// TestPublishAsyncEndsWithTheConn: every future settles. reliability F1
func TestPublishAsyncEndsWithTheConn(t *testing.T) {
	for _, end := range []string{"close", "drain", "lost"} {
		asynchronously(t, func(t *testing.T, r *asyncRig) {
			r.before = func(int, *fakeserver.Peer, *fakeserver.Op) answer { return silence }
			f := r.async("left")
			synctest.Wait()
			var unsent *PubAckFuture
			if end == "lost" {
				r.srv.Refuse(true)
				r.srv.Peer().Cut()
				synctest.Wait()
				if err := r.wait(f); !errors.Is(err, nats.ErrOutcomeUnknown) || !errors.Is(err, nats.ErrDisconnected) || nats.SafeToRetry(err) {
					t.Errorf("of a lost link: %v", err)
				}
				unsent = r.async("never left")
			}
			if end == "drain" {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				if err := r.nc.Drain(ctx); err == nil {
					t.Error("the drain says nothing of the open publish")
				}
			} else {
				_ = r.nc.Close()
			}
			synctest.Wait()
			if err := r.wait(f); !errors.Is(err, nats.ErrOutcomeUnknown) || end == "close" && !errors.Is(err, nats.ErrClosed) {
				t.Errorf("%s: %v", end, err)
			}
			if unsent != nil {
				if err := r.wait(unsent); !errors.Is(err, nats.ErrClosed) || !nats.SafeToRetry(err) {
					t.Errorf("what never left: %v", err)
				}
			}
			if err := r.WaitPublished(t.Context()); err != nil {
				t.Error(err)
			}
			if _, err := r.PublishAsync(t.Context(), "s", nil); !errors.Is(err, nats.ErrClosed) || !nats.SafeToRetry(err) {
				t.Errorf("after the end: %v", err)
			}
		}, nil)
	}
}

// TestPublishAsyncDrainWaits: a drain waits for receipts.
func TestPublishAsyncDrainWaits(t *testing.T) {
	asynchronously(t, func(t *testing.T, r *asyncRig) {
		r.before = func(_ int, _ *fakeserver.Peer, o *fakeserver.Op) answer {
			a := r.store(o)
			time.AfterFunc(2*time.Second, func() { r.srv.Deliver(o.Reply, "", "", a.data) })
			return silence
		}
		f := r.async("x")
		var err error
		if took := elapsed(func() { err = r.nc.Drain(t.Context()) }); err != nil || took < 2*time.Second || took > 3*time.Second {
			t.Errorf("%v after %v", err, took)
		}
		if err := r.wait(f); err != nil {
			t.Error(err)
		}
	}, nil)
}

// TestPublishAsyncOverCuts: links are cut before and after the stream has a
// message; with ids everything is stored once and in order. reliability F8
func TestPublishAsyncOverCuts(t *testing.T) {
	for _, named := range []bool{true, false} {
		var opts []Option
		if named {
			opts = append(opts, AutoMsgID())
		}
		opts = append(opts, PublishAsyncMaxPending(16), AckTimeout(time.Minute))
		asynchronously(t, func(t *testing.T, r *asyncRig) {
			cut := map[*fakeserver.Peer]bool{} // which reads on for a moment
			r.before = func(n int, p *fakeserver.Peer, o *fakeserver.Op) answer {
				switch {
				case cut[p]:
					return silence
				case n%53 == 0: // when it has the message
					r.store(o)
				case n%37 != 0: // or before
					return answer{}
				}
				cut[p] = true
				p.Cut()
				return silence
			}
			var all []*PubAckFuture
			for i := range 500 {
				all = append(all, r.async(fmt.Sprintf("%03d", i)))
			}
			if err := r.WaitPublished(t.Context()); err != nil {
				t.Fatal(err)
			}
			got := r.contents()
			if !slices.IsSorted(got) || len(slices.Compact(slices.Clone(got))) != len(got) {
				for i := range got[1:] {
					if got[i] >= got[i+1] {
						t.Errorf("with ids %v: stored out of order, or twice: %v", named, got[max(0, i-3):min(len(got), i+8)])
					}
				}
			}
			unknown := 0
			for i, f := range all {
				_, err, ok := f.Result()
				_, there := slices.BinarySearch(got, fmt.Sprintf("%03d", i))
				switch {
				case !ok:
					t.Errorf("%d is not settled", i)
				case errors.Is(err, nats.ErrOutcomeUnknown) && !named:
					unknown++
				case err != nil:
					t.Errorf("%d: %v", i, err)
				case !there:
					t.Errorf("%d was told to be stored, and is not", i)
				}
			}
			if !named && unknown == 0 {
				t.Error("no outcome is unknown")
			}
			if named && len(got) != 500 {
				t.Errorf("%d are stored", len(got))
			}
		}, nil, opts...)
	}
}

// TestPublishAsyncWhileDisconnected: what WhenDisconnected says holds.
func TestPublishAsyncWhileDisconnected(t *testing.T) {
	for policy, want := range map[nats.DisconnectedPolicy]error{
		nats.DisconnectedBuffer: nil, nats.DisconnectedBlock: nil, nats.DisconnectedFail: nats.ErrDisconnected,
	} {
		asynchronously(t, func(t *testing.T, r *asyncRig) {
			if err := r.wait(r.async("before")); err != nil {
				t.Fatal(err)
			}
			r.srv.Refuse(true)
			r.srv.Peer().Cut()
			synctest.Wait()
			time.AfterFunc(time.Second, func() { r.srv.Refuse(false) })
			start := time.Now()
			f, err := r.PublishAsync(t.Context(), "s", []byte("meanwhile"))
			if !errors.Is(err, want) || err != nil && !nats.SafeToRetry(err) {
				t.Fatalf("%d: %v", policy, err)
			}
			if waited := time.Since(start) >= time.Second; waited != (policy == nats.DisconnectedBlock) {
				t.Errorf("%d: waited %v", policy, time.Since(start))
			}
			if want == nil {
				if err := r.wait(f); err != nil {
					t.Errorf("%d: %v", policy, err)
				}
			}
			if _, err := r.PublishAsync(t.Context(), "no such subject", nil); !errors.Is(err, nats.ErrBadSubject) && !errors.Is(err, nats.ErrDisconnected) {
				t.Errorf("%d: %v", policy, err)
			}
		}, []nats.Option{nats.WhenDisconnected(policy)})
	}
	asynchronously(t, func(t *testing.T, r *asyncRig) {
		r.srv.Refuse(true)
		r.srv.Peer().Cut()
		synctest.Wait()
		var bad *nats.SubjectError
		if _, err := r.PublishAsync(t.Context(), "no such subject", nil); !errors.As(err, &bad) {
			t.Error(err)
		}
		if _, err := r.PublishAsync(t.Context(), "s", make([]byte, 2<<20)); !errors.Is(err, nats.ErrMaxPayload) || !nats.SafeToRetry(err) {
			t.Error(err)
		}
		f := r.async("never leaves")
		if err := r.wait(f); !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, nats.ErrDisconnected) || !nats.SafeToRetry(err) {
			t.Errorf("%v", err)
		}
	}, nil)
}

// TestPublishAsyncLeavesTheCallersMessage: data may be changed at once, and the
// message is not written to. reliability F4, F10
func TestPublishAsyncLeavesTheCallersMessage(t *testing.T) {
	asynchronously(t, func(t *testing.T, r *asyncRig) {
		r.before = func(n int, _ *fakeserver.Peer, _ *fakeserver.Op) answer {
			if n == 1 {
				return nobody
			}
			return answer{}
		}
		data := []byte("invoice-0001")
		m := nats.Msg{Subject: "s", Reply: "mine", Data: data}
		m.Header.Set("A", "b")
		before := m.Clone()
		f, err := r.PublishMsgAsync(t.Context(), m, MsgID("1"), ExpectLastSequence(0))
		if err != nil {
			t.Fatal(err)
		}
		if !m.Equal(before) {
			t.Errorf("the message is %+v now", m)
		}
		synctest.Wait()
		copy(data, "invoice-9999")
		if err := r.wait(f); err != nil {
			t.Fatal(err)
		}
		if got := r.contents(); !slices.Equal(got, []string{"invoice-0001"}) {
			t.Errorf("stored %v", got)
		}
		if sent := f.Msg(); string(sent.Data) != "invoice-0001" || sent.Header.Get(MsgIDHeader) != "1" || sent.Header.Get("A") != "b" {
			t.Errorf("the future's message is %+v", sent)
		}
	}, nil)
}

// TestPublishAsyncNotPermitted: a publish, and the inbox for receipts.
func TestPublishAsyncNotPermitted(t *testing.T) {
	asynchronously(t, func(t *testing.T, r *asyncRig) {
		r.before = func(_ int, p *fakeserver.Peer, _ *fakeserver.Op) answer {
			p.Err(`Permissions Violation for Publish to "s"`)
			return silence
		}
		var refused *nats.PermissionError
		if err := r.wait(r.async("x")); !errors.As(err, &refused) || errors.Is(err, nats.ErrOutcomeUnknown) {
			t.Errorf("%v", err)
		}
	}, nil)
	asynchronously(t, func(t *testing.T, r *asyncRig) {
		r.before = func(int, *fakeserver.Peer, *fakeserver.Op) answer { return silence }
		f := r.async("x")
		synctest.Wait()
		p := r.srv.Peer()
		p.Err(`Permissions Violation for Subscription to "` + p.Subs()[0].Subject + `"`)
		if err := r.wait(f); !errors.Is(err, nats.ErrPermission) || !errors.Is(err, nats.ErrOutcomeUnknown) {
			t.Errorf("%v", err)
		}
		if err := r.wait(r.async("again")); err == nil {
			t.Error("stored")
		}
	}, nil)
}

// TestPublishAsyncRegressed is ErrStreamRegressed, once. reliability F11
func TestPublishAsyncRegressed(t *testing.T) {
	asynchronously(t, func(t *testing.T, r *asyncRig) {
		seqs := []int{7, 8, 8, 9}
		r.before = func(n int, _ *fakeserver.Peer, _ *fakeserver.Op) answer {
			return answer{data: fmt.Sprintf(`{"stream":"S","seq":%d}`, seqs[n-1])}
		}
		for i, seq := range seqs {
			ack, err := r.async("x").Wait(t.Context())
			if errors.Is(err, ErrStreamRegressed) != (i == 2) || ack.Sequence != uint64(seq) {
				t.Errorf("%d: %+v, %v", i, ack, err)
			}
		}
	}, nil)
}

// TestPublishAsyncForged: what is no answer to an open publish is passed over.
func TestPublishAsyncForged(t *testing.T) {
	asynchronously(t, func(t *testing.T, r *asyncRig) {
		r.before = func(_ int, _ *fakeserver.Peer, o *fakeserver.Op) answer {
			inbox := o.Reply[:strings.LastIndexByte(o.Reply, '.')+1]
			for _, token := range []string{"X", "0", "zzz", "fvvvvvvvvvvvv", "1"} {
				r.srv.Deliver(inbox+token, "", "", `{"stream":"EVIL","seq":1}`)
			}
			return answer{}
		}
		for range 3 {
			if ack, err := r.async("x").Wait(t.Context()); err != nil || ack.Stream != "S" {
				t.Errorf("%+v, %v", ack, err)
			}
		}
	}, nil)
}

// TestFutures are those that nothing publishes.
func TestFutures(t *testing.T) {
	f, settle := NewPubAckFuture(nats.Msg{Subject: "s"})
	if _, _, ok := f.Result(); ok || f.Msg().Subject != "s" {
		t.Error("settled at once")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := f.Wait(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	done := f.Done()
	settle(PubAck{Stream: "S", Sequence: 1, Value: "5"}, nil)
	settle(PubAck{}, errors.New("again"))
	<-done
	<-f.Done()
	if ack, err := f.Wait(ctx); err != nil || ack != (PubAck{Stream: "S", Sequence: 1, Value: "5"}) {
		t.Errorf("%+v, %v", ack, err)
	}
	for _, nobody := range []*PubAckFuture{nil, {}} {
		<-nobody.Done()
		_ = nobody.Msg()
		if _, err, ok := nobody.Result(); err == nil || !ok {
			t.Error("nobody's future has a receipt")
		}
		if _, err := nobody.Wait(t.Context()); err == nil {
			t.Error("nobody's future has a receipt")
		}
	}
	if _, err := f.Wait(noContext); err == nil {
		t.Error("a nil context")
	}
}
