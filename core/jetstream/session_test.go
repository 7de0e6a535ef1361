package jetstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	nats "github.com/perigee-go/nats/core"
	"github.com/perigee-go/nats/core/internal/fakeserver"
)

func silent(string, string) answer { return answer{} }

// pass lets fake time go by.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// pulls are the pull requests so far.
func (r *rig) pulls() (all []fakeserver.Op) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, o := range r.asked {
		if o.Subject == "$JS.API.CONSUMER.MSG.NEXT.S.C" {
			all = append(all, o)
		}
	}
	return all
}

// wantPulls checks how many there were, and returns the last.
func (r *rig) wantPulls(t testing.TB, n int) fakeserver.Op {
	t.Helper()
	all := r.pulls()
	if len(all) != n {
		t.Fatalf("%d pulls, want %d: %v", len(all), n, all)
	}
	return all[n-1]
}

// verdicts are the acknowledgements so far.
func (r *rig) verdicts() (all []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, o := range r.asked {
		if strings.HasPrefix(o.Subject, ackPrefix) {
			all = append(all, string(o.Data))
		}
	}
	return all
}

// message sends a message of the consumer to the session of a pull.
func (r *rig) message(pull fakeserver.Op, n int, header string) {
	r.messageWith(pull, fmt.Sprintf("$JS.ACK.S.C.1.%d.%d.0.0", n, n), header)
}

func (r *rig) messageWith(pull fakeserver.Op, ack, header string) {
	p := r.srv.Peer()
	inbox := pull.Reply[:strings.LastIndexByte(pull.Reply, '.')] + ".*"
	p.Msg("orders.new", p.SID(inbox), ack, header, "data")
	synctest.Wait()
}

func (r *rig) status(pull fakeserver.Op, text string) {
	r.srv.Deliver(pull.Reply, "", "NATS/1.0 "+text+"\r\n\r\n", "")
	synctest.Wait()
}

const rest = "\r\nNats-Pending-Messages: 500\r\nNats-Pending-Bytes: 0"

// errorLog is an ErrorHandler.
type errorLog struct {
	mu  sync.Mutex
	all []error
}

func (l *errorLog) option() PullOption {
	return ErrorHandler(func(err error) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.all = append(l.all, err)
	})
}

func (l *errorLog) want(t testing.TB, n int, target error) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.all) != n || n > 0 && !errors.Is(l.all[n-1], target) {
		t.Errorf("told %v, want %d times, and at the end %v", l.all, n, target)
	}
}

// of counts those that are target.
func (l *errorLog) of(target error) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, err := range l.all {
		if errors.Is(err, target) {
			n++
		}
	}
	return n
}

// Every status is answered at once: by another pull, or by the end.
func TestSessionAnswersStatuses(t *testing.T) {
	for status, c := range map[string]struct{ told, end error }{
		"408 Request Timeout" + rest:                {},
		"408 Interest Expired" + rest:               {},
		"404 No Messages":                           {},
		"409 Batch Completed" + rest:                {},
		"409 Leadership Change":                     {told: ErrConsumerLeadershipChanged},
		"409 Server Shutdown" + rest:                {told: ErrServerShutdown},
		"409 Exceeded MaxWaiting":                   {told: ErrMaxWaiting},
		"409 Exceeded MaxRequestBatch of 300":       {told: ErrBatchTooLarge},
		"409 Exceeded MaxRequestExpires of 2s":      {told: ErrBatchTooLarge},
		"409 Message Size Exceeds MaxBytes" + rest:  {told: ErrMaxBytesExceeded},
		"409 Whatever Comes Next" + rest:            {told: ErrInvalidResponse},
		"423 Nats-Wrong-Pin-Id" + rest:              {told: ErrPinIDMismatch},
		"503":                                       {told: ErrNoLeader},
		"409 Consumer Deleted":                      {end: ErrConsumerDeleted},
		"409 Consumer is push based":                {end: ErrNotPullConsumer},
		"400 Bad Request - heartbeat value too big": {end: ErrBadRequest},
		"412 Required Api Level":                    {end: ErrRequiredAPILevel},
	} {
		t.Run(status, func(t *testing.T) {
			scripted(t, silent, func(t *testing.T, r *rig) {
				var told errorLog
				rec, err := r.StreamHandle("S").ConsumerHandle("C").Receiver(told.option())
				if err != nil {
					t.Fatal(err)
				}
				defer rec.Stop()
				synctest.Wait()
				r.status(r.wantPulls(t, 1), status)
				if c.end != nil {
					if _, err := rec.Next(t.Context()); !errors.Is(err, c.end) {
						t.Errorf("ended with %v, want %v", err, c.end)
					}
					pass(time.Minute)
					r.wantPulls(t, 1)
					return
				}
				pass(100 * time.Millisecond)
				r.wantPulls(t, 2)
				n := 0
				if c.told != nil {
					n = 1
				}
				told.want(t, n, c.told)
				r.message(r.wantPulls(t, 2), 1, "")
				if _, err := rec.Next(t.Context()); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestPullRequest(t *testing.T) {
	type body struct {
		Batch     int           `json:"batch"`
		Expires   time.Duration `json:"expires"`
		MaxBytes  int           `json:"max_bytes"`
		Heartbeat time.Duration `json:"idle_heartbeat"`
		NoWait    bool          `json:"no_wait"`
	}
	for name, c := range map[string]struct {
		do   func(ctx context.Context, c *Consumer)
		want body
	}{
		"receiver": {func(_ context.Context, c *Consumer) {
			rec, _ := c.Receiver()
			pass(time.Second)
			rec.Stop()
		}, body{Batch: 500, Expires: 500 * time.Millisecond}},
		"receiver of bytes": {func(_ context.Context, c *Consumer) {
			rec, _ := c.Receiver(MaxBytes(1000), Heartbeat(-1), Expiry(2*time.Second))
			pass(time.Second)
			rec.Stop()
		}, body{Batch: 1_000_000, MaxBytes: 1000, Expires: 2 * time.Second}},
		"fetch": {func(ctx context.Context, c *Consumer) {
			for range c.Fetch(ctx, 7) {
			}
		}, body{Batch: 7, Expires: 30 * time.Second, Heartbeat: 5 * time.Second}},
		"short fetch": {func(ctx context.Context, c *Consumer) {
			for range c.Fetch(ctx, 7, MaxWait(time.Second), MaxBytes(99)) {
			}
		}, body{Batch: 7, Expires: time.Second, MaxBytes: 99}},
		"now": {func(ctx context.Context, c *Consumer) {
			for range c.Fetch(ctx, 7, NoWait()) {
			}
		}, body{Batch: 7, NoWait: true}},
		"next": {func(ctx context.Context, c *Consumer) { _, _ = c.Next(ctx, MaxWait(2*time.Second)) }, body{Batch: 1, Expires: 2 * time.Second}},
		"next with a deadline": {func(ctx context.Context, c *Consumer) {
			ctx, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			for range c.Fetch(ctx, 3) {
			}
		}, body{Batch: 3, Expires: time.Second, Heartbeat: 500 * time.Millisecond}},
	} {
		t.Run(name, func(t *testing.T) {
			scripted(t, silent, func(t *testing.T, r *rig) {
				c.do(t.Context(), r.StreamHandle("S").ConsumerHandle("C"))
				synctest.Wait()
				var got body
				if err := json.Unmarshal(r.pulls()[0].Data, &got); err != nil || got != c.want {
					t.Errorf("%+v %v, want %+v", got, err, c.want)
				}
			})
		})
	}
}

func TestSessionSilence(t *testing.T) {
	scripted(t, silent, func(t *testing.T, r *rig) {
		var told errorLog
		rec, err := r.StreamHandle("S").ConsumerHandle("C").Receiver(told.option(), Heartbeat(5*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		defer rec.Stop()
		synctest.Wait()
		r.status(r.wantPulls(t, 1), "404 No Messages")
		pass(100 * time.Millisecond)
		pull := r.wantPulls(t, 2)
		for range 3 {
			pass(4 * time.Second)
			r.status(pull, "100 Idle Heartbeat")
		}
		pass(9 * time.Second)
		r.wantPulls(t, 2)
		told.want(t, 0, nil)
		pass(1100 * time.Millisecond)
		r.wantPulls(t, 3)
		told.want(t, 1, ErrNoHeartbeat)
	})
}

// By default a pull that is lost while messages wait at the server is missed
// sooner; with ErrorOnMissingHeartbeat the session has the usual heartbeats.
func TestSessionSilenceWithMessages(t *testing.T) {
	scripted(t, silent, func(t *testing.T, r *rig) {
		var told errorLog
		c := r.StreamHandle("S").ConsumerHandle("C")
		rec, err := c.Receiver(told.option(), MaxMessages(1))
		if err != nil {
			t.Fatal(err)
		}
		defer rec.Stop()
		synctest.Wait()
		r.messageWith(r.wantPulls(t, 1), "$JS.ACK.S.C.1.1.1.0.7", "")
		if _, err := rec.Next(t.Context()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if p := r.wantPulls(t, 2); !strings.Contains(string(p.Data), `"idle_heartbeat":1000000000`) {
			t.Errorf("%s", p.Data)
		}
		pass(3200 * time.Millisecond) // when the message came is noted after a second
		r.wantPulls(t, 3)
		told.want(t, 1, ErrNoHeartbeat)
	})
	scripted(t, silent, func(t *testing.T, r *rig) {
		rec, err := r.StreamHandle("S").ConsumerHandle("C").Receiver(ErrorOnMissingHeartbeat(), MaxMessages(1))
		if err != nil {
			t.Fatal(err)
		}
		defer rec.Stop()
		synctest.Wait()
		r.messageWith(r.wantPulls(t, 1), "$JS.ACK.S.C.1.1.1.0.7", "")
		if _, err := rec.Next(t.Context()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if p := r.wantPulls(t, 2); !strings.Contains(string(p.Data), `"idle_heartbeat":5000000000`) {
			t.Errorf("%s", p.Data)
		}
	})
}

func TestSilenceEnds(t *testing.T) {
	scripted(t, silent, func(t *testing.T, r *rig) {
		var err error
		took := elapsed(func() {
			for _, e := range r.StreamHandle("S").ConsumerHandle("C").Messages(t.Context(), ErrorOnMissingHeartbeat()) {
				err = e
			}
		})
		if !errors.Is(err, ErrNoHeartbeat) || took > 10*time.Second {
			t.Errorf("%v after %v", err, took)
		}
	})
}

// A new link is pulled on at once, and only once; without one nothing is asked.
func TestSessionReconnects(t *testing.T) { // reliability G1
	scripted(t, silent, func(t *testing.T, r *rig) {
		rec, err := r.StreamHandle("S").ConsumerHandle("C").Receiver()
		if err != nil {
			t.Fatal(err)
		}
		defer rec.Stop()
		synctest.Wait()
		r.status(r.wantPulls(t, 1), "404 No Messages")
		pass(100 * time.Millisecond)
		for i := range 5 {
			pull := r.wantPulls(t, 2+i)
			r.message(pull, i+1, "")
			r.srv.Refuse(true)
			r.srv.Peer().Cut()
			pass(time.Minute)
			r.wantPulls(t, 2+i)
			r.srv.Refuse(false)
			pass(10 * time.Second) // of which the connection needs 5 at most
			n := len(r.pulls())
			if n < 3+i {
				t.Fatal("no pull on the new link")
			}
			var first struct{ Batch int }
			if err := json.Unmarshal(r.pulls()[2+i].Data, &first); err != nil || first.Batch != 500-i-1 {
				t.Errorf("pull for %d, %d wait here", first.Batch, i+1)
			}
			r.mu.Lock() // forget those that the silence of this server brings
			kept := r.asked[:0]
			seen := 0
			for _, o := range r.asked {
				if o.Subject != "$JS.API.CONSUMER.MSG.NEXT.S.C" || seen < 3+i {
					kept = append(kept, o)
					seen++
				}
			}
			r.asked = kept
			r.mu.Unlock()
			r.status(r.pulls()[2+i], "100 Idle Heartbeat")
		}
	})
}

// A pull that is not permitted ends the session, and does not look like a
// server that has nothing to say.
func TestSessionPermissions(t *testing.T) {
	for name, text := range map[string]string{
		"pull":  `Permissions Violation for Publish to "$JS.API.CONSUMER.MSG.NEXT.S.C"`,
		"inbox": `Permissions Violation for Subscription to "INBOX"`,
	} {
		t.Run(name, func(t *testing.T) {
			scripted(t, silent, func(t *testing.T, r *rig) {
				rec, err := r.StreamHandle("S").ConsumerHandle("C").Receiver()
				if err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				inbox := r.wantPulls(t, 1).Reply
				r.srv.Peer().Err(strings.Replace(text, "INBOX", inbox[:strings.LastIndexByte(inbox, '.')]+".*", 1))
				var refused *nats.PermissionError
				took := elapsed(func() { _, err = rec.Next(t.Context()) })
				if !errors.As(err, &refused) || took > 100*time.Millisecond {
					t.Errorf("%v after %v", err, took)
				}
			})
		})
	}
}

// Who waits when the session ends is told at once.
func TestNextAtTheEnd(t *testing.T) { // reliability G5
	for name, end := range map[string]func(r *rig, rec *Receiver){
		"stop":  func(_ *rig, rec *Receiver) { rec.Stop() },
		"drain": func(_ *rig, rec *Receiver) { _ = rec.Drain(context.Background()) },
		"close": func(r *rig, _ *Receiver) { _ = r.Conn().Close() },
	} {
		t.Run(name, func(t *testing.T) {
			scripted(t, silent, func(t *testing.T, r *rig) {
				rec, err := r.StreamHandle("S").ConsumerHandle("C").Receiver()
				if err != nil {
					t.Fatal(err)
				}
				const takers = 3
				got := make(chan error, takers)
				for range takers {
					go func() { _, err := rec.Next(context.Background()); got <- err }()
				}
				synctest.Wait()
				start := time.Now()
				end(r, rec)
				for range takers {
					if err := <-got; !errors.Is(err, ErrConsumptionEnded) && !errors.Is(err, nats.ErrClosed) {
						t.Error(err)
					}
				}
				// Drain waits for what may be on its way.
				if took := time.Since(start); took > 300*time.Millisecond || name != "drain" && took > 100*time.Millisecond {
					t.Errorf("after %v", took)
				}
				if _, err := rec.Next(context.Background()); err == nil {
					t.Error("a message after the end")
				}
				rec.Stop() // again, and after anything
				synctest.Wait()
				if n := len(r.sessions.all); n != 0 {
					t.Errorf("%d sessions are left", n)
				}
			})
		})
	}
}

// What is on its way when a fetch is given up is handed back.
func TestLateArrivals(t *testing.T) { // reliability G13
	scripted(t, silent, func(t *testing.T, r *rig) {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() {
			var last error
			for _, err := range r.StreamHandle("S").ConsumerHandle("C").Fetch(ctx, 10) {
				last = err
			}
			done <- last
		}()
		synctest.Wait()
		pull := r.wantPulls(t, 1)
		r.srv.On("UNSUB", func(*fakeserver.Peer, *fakeserver.Op) bool {
			r.srv.On("UNSUB", nil)
			r.messageNow(pull, 1)
			r.messageNow(pull, 2)
			return false
		})
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		pass(time.Second)
		if got := r.verdicts(); len(got) != 2 || got[0] != "-NAK" {
			t.Errorf("verdicts %q", got)
		}
		if n := len(r.srv.Peer().Subs()); n != 0 {
			t.Errorf("%d subscriptions are left", n)
		}
	})
}

// messageNow is message from a hook.
func (r *rig) messageNow(pull fakeserver.Op, n int) {
	p := r.srv.Peer()
	inbox := pull.Reply[:strings.LastIndexByte(pull.Reply, '.')] + ".*"
	p.Msg("orders.new", p.SID(inbox), fmt.Sprintf("$JS.ACK.S.C.1.%d.%d.0.0", n, n), "", "data")
}

// What the inbox gets that is no message of a consumer is told and dropped; a
// message is one, whatever its headers say.
func TestForged(t *testing.T) { // reliability G17
	scripted(t, silent, func(t *testing.T, r *rig) {
		var told errorLog
		rec, err := r.StreamHandle("S").ConsumerHandle("C").Receiver(told.option())
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		pull := r.wantPulls(t, 1)
		for i, ack := range []string{"", "inbox", "$JS.ACK.S.C", "$JS.ACK.S.C.1.2.3.4.x", "$JS.ACK.S.C.1.2.3.4.5.6"} {
			r.messageWith(pull, ack, "")
			told.want(t, i+1, ErrNotJSMessage)
			if n := r.Stats().PullDropped; n != uint64(i+1) {
				t.Errorf("%d are counted, want %d", n, i+1)
			}
		}
		r.message(pull, 1, "NATS/1.0 409 Consumer Deleted\r\n\r\n")
		r.message(pull, 2, "NATS/1.0\r\nStatus: 409\r\n\r\n")
		for range 2 {
			if _, err := rec.Next(t.Context()); err != nil {
				t.Error(err)
			}
		}
		// A status of a pull that was never sent.
		other := pull
		other.Reply = strings.TrimSuffix(other.Reply, ".1") + ".77"
		r.status(other, "409 Consumer Deleted")
		told.want(t, 6, ErrNotJSMessage)
		r.message(pull, 3, "")
		if _, err := rec.Next(t.Context()); err != nil {
			t.Error(err)
		}
		rec.Stop()
		synctest.Wait()
		if n := r.Stats().PullDropped; n != 6 {
			t.Errorf("%d are counted, want 6", n)
		}
		if st := r.Conn().Stats(); st.InDelivered+st.InDropped+st.InOrphaned+st.InReplies+st.InPending != st.InMsgs {
			t.Errorf("the ledger does not add up: %+v", st)
		}
	})
}

// A consumer that nobody answers for is looked for: that it is gone is the end,
// that it cannot be asked is not.
func TestNobodyAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		info answer
		end  error
	}{
		"gone":   {answer{data: `{"error":{"code":404,"err_code":10014,"description":"consumer not found"}}`}, ErrConsumerNotFound},
		"stream": {answer{data: `{"error":{"code":404,"err_code":10059,"description":"stream not found"}}`}, ErrStreamNotFound},
		"there":  {answer{data: `{"stream_name":"S","name":"C","config":{}}`}, nil},
		"silent": {answer{}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			script := func(subject, _ string) answer {
				switch {
				case strings.HasPrefix(subject, "CONSUMER.MSG.NEXT"):
					return answer{header: noResponders}
				case strings.HasPrefix(subject, "CONSUMER.INFO"):
					return c.info
				}
				return answer{}
			}
			scripted(t, script, func(t *testing.T, r *rig) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				var err error
				took := elapsed(func() { _, err = r.StreamHandle("S").ConsumerHandle("C").Next(ctx) })
				if c.end == nil {
					if !errors.Is(err, context.DeadlineExceeded) {
						t.Errorf("ended with %v", err)
					}
					if n := len(r.pulls()); n < 20 || n > 60 {
						t.Errorf("%d pulls in a minute", n)
					}
				} else if !errors.Is(err, ErrConsumerDeleted) || !errors.Is(err, c.end) || took > 3*time.Second {
					t.Errorf("%v after %v", err, took)
				}
				for _, err := range r.StreamHandle("S").ConsumerHandle("C").Fetch(t.Context(), 5, MaxWait(4*time.Second)) {
					if want := c.end; want == nil && !errors.Is(err, ErrNoLeader) || want != nil && !errors.Is(err, want) {
						t.Errorf("fetch: %v", err)
					}
				}
			})
		})
	}
}

// The tracer hears of pulls and of acknowledgements.
func TestConsumingIsTraced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, s := fakeserver.One()
		r := &rig{net: n, srv: s}
		s.On("PUB", func(_ *fakeserver.Peer, o *fakeserver.Op) bool {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.asked = append(r.asked, *o)
			return true
		})
		var tr kinds
		nc, err := nats.Connect(t.Context(), "nats://server:4222", nats.UseDialer(n), nats.UseTracer(&tr))
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		r.JetStream, _ = New(nc)
		rec, err := r.StreamHandle("S").ConsumerHandle("C").Receiver()
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		r.message(r.wantPulls(t, 1), 1, "")
		m, err := rec.Next(t.Context())
		if err != nil || m.Context().Value(traced{}) == nil {
			t.Fatalf("%v %v", m, err)
		}
		if err := m.Ack(); err != nil {
			t.Error(err)
		}
		tr.mu.Lock()
		defer tr.mu.Unlock()
		if tr.n[nats.OpPull] != 1 || tr.n[nats.OpAck] != 1 || tr.names != "S C S C " {
			t.Errorf("%v %q", tr.n, tr.names)
		}
	})
}

// kinds is a Tracer that counts.
type kinds struct {
	mu    sync.Mutex
	n     map[nats.OperationKind]int
	names string
}

type traced struct{}

func (k *kinds) Start(ctx context.Context, op *nats.Operation) context.Context {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.n == nil {
		k.n = make(map[nats.OperationKind]int)
	}
	k.n[op.Kind]++
	if op.Kind == nats.OpPull || op.Kind == nats.OpAck {
		k.names += op.Stream + " " + op.Consumer + " "
	}
	return context.WithValue(ctx, traced{}, true)
}

func (k *kinds) End(context.Context, *nats.Operation, error) {}

// unsubs notes when the server is told that the subscription ends, and how many
// messages had been handed back by then.
type unsubs struct {
	at    time.Time
	naked int
}

func (r *rig) noteUnsub() *unsubs {
	u := &unsubs{naked: -1}
	r.srv.On("UNSUB", func(*fakeserver.Peer, *fakeserver.Op) bool {
		u.at, u.naked = time.Now(), len(r.verdicts())
		return false
	})
	return u
}

// Drain keeps the subscription while messages come.
func TestDrainWaitsForWhatComes(t *testing.T) {
	scripted(t, silent, func(t *testing.T, r *rig) {
		rec, err := r.StreamHandle("S").ConsumerHandle("C").Receiver()
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		pull, unsub := r.wantPulls(t, 1), r.noteUnsub()
		short, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		if err := rec.Drain(short); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("with a short context: %v", err)
		}
		drained := make(chan error, 1)
		go func() { drained <- rec.Drain(t.Context()) }()
		for i := range 5 {
			pass(100 * time.Millisecond)
			r.message(pull, i+1, "")
		}
		last := time.Now()
		pass(time.Second)
		if wait := unsub.at.Sub(last); unsub.naked != 0 || wait < 100*time.Millisecond || wait > 250*time.Millisecond {
			t.Errorf("unsubscribed %v after the last message, %d handed back", wait, unsub.naked)
		}
		for range 5 {
			if _, err := rec.Next(t.Context()); err != nil {
				t.Error(err)
			}
		}
		if err := <-drained; err != nil {
			t.Error(err)
		}
		if _, err := rec.Next(t.Context()); !errors.Is(err, ErrConsumptionEnded) {
			t.Error(err)
		}
	})
}

// Stop hands back what it has, and what still comes, when the server knows that
// it goes: else that would be delivered to its own pulls again. An idle one goes
// at once.
func TestStopHandsBackLast(t *testing.T) {
	scripted(t, silent, func(t *testing.T, r *rig) {
		rec, err := r.StreamHandle("S").ConsumerHandle("C").Receiver()
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		pull, unsub := r.wantPulls(t, 1), r.noteUnsub()
		r.message(pull, 1, "")
		r.message(pull, 2, "")
		stopped := make(chan struct{})
		go func() { rec.Stop(); close(stopped) }()
		pass(10 * time.Millisecond)
		r.message(pull, 3, "")
		last := time.Now()
		<-stopped
		if took := time.Since(last); took > 25*time.Millisecond {
			t.Errorf("stopped after %v", took)
		}
		pass(time.Millisecond)
		if unsub.at.IsZero() || unsub.naked != 0 {
			t.Errorf("unsubscribed at %v, %d were handed back", unsub.at, unsub.naked)
		}
		if got := r.verdicts(); len(got) != 3 || got[2] != "-NAK" {
			t.Errorf("verdicts %q", got)
		}
	})
	scripted(t, silent, func(t *testing.T, r *rig) {
		rec, err := r.StreamHandle("S").ConsumerHandle("C").Receiver()
		if err != nil {
			t.Fatal(err)
		}
		pass(100 * time.Millisecond)
		if took := elapsed(rec.Stop); took > 0 {
			t.Errorf("stopped after %v", took)
		}
	})
}
