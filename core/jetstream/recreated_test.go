package jetstream

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perigee-go/nats/core/internal/fakeserver"
)

// A consumerWorld is what a scripted server says of stream S and consumer C.
type consumerWorld struct {
	consumer, stream string // when they were made
	refuse           bool   // info of the consumer
	silent           bool   // about the stream
	pull             answer
}

func (w *consumerWorld) script(subject, _ string) answer {
	switch {
	case strings.HasPrefix(subject, "CONSUMER.MSG.NEXT"):
		return w.pull
	case strings.HasPrefix(subject, "CONSUMER.INFO") && !w.refuse:
		return answer{data: fmt.Sprintf(`{"stream_name":"S","name":"C","created":%q,"config":{},"delivered":{"consumer_seq":5}}`, w.consumer)}
	case strings.HasPrefix(subject, "STREAM.INFO") && !w.silent:
		return answer{data: fmt.Sprintf(`{"config":{"name":"S"},"created":%q,"state":{}}`, w.stream)}
	}
	return answer{}
}

// infos are how often the consumer was asked for.
func (r *rig) infos() (n int) {
	for _, s := range r.subjects() {
		if strings.HasPrefix(s, "CONSUMER.INFO") {
			n++
		}
	}
	return n
}

// What a session makes of numbers that begin again. The server's word on when
// consumer and stream were made decides, on any version of it.
func TestNumbersBeginAgain(t *testing.T) {
	const first, second = "2026-01-01T00:00:00Z", "2026-01-02T00:00:00.5Z"
	for name, c := range map[string]struct {
		then             func(w *consumerWorld)
		consumer, stream int // how often told
	}{
		"a reset":            {func(*consumerWorld) {}, 0, 0},
		"another consumer":   {func(w *consumerWorld) { w.consumer = second }, 1, 0},
		"another stream":     {func(w *consumerWorld) { w.consumer, w.stream = second, second }, 1, 1},
		"no word of streams": {func(w *consumerWorld) { w.consumer, w.silent = second, true }, 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			w := &consumerWorld{consumer: first, stream: first}
			scripted(t, w.script, func(t *testing.T, r *rig) {
				cons, err := r.Consumer(t.Context(), "S", "C")
				if err != nil {
					t.Fatal(err)
				}
				var told errorLog
				rec, err := cons.Receiver(told.option())
				if err != nil {
					t.Fatal(err)
				}
				defer rec.Stop()
				synctest.Wait()
				pull := r.wantPulls(t, 1)
				r.message(pull, 6, "")
				c.then(w)
				for n := range 3 {
					r.message(pull, n+1, "")
				}
				pass(10 * time.Second) // for an answer that does not come
				if c1, c2 := told.of(ErrConsumerRecreated), told.of(ErrStreamRecreated); c1 != c.consumer || c2 != c.stream {
					t.Errorf("told %d times of a consumer and %d times of a stream, want %d and %d", c1, c2, c.consumer, c.stream)
				}
				if n := r.infos(); n != 2 {
					t.Errorf("the consumer was asked for %d times, want 2", n)
				}
				for range 4 {
					if _, err := rec.Next(t.Context()); err != nil {
						t.Error(err)
					}
				}
				if created := cons.CachedInfo().Created.Format(time.RFC3339Nano); created != w.consumer {
					t.Errorf("the handle has a consumer of %s", created)
				}
			})
		})
	}
}

// Header fields prove nothing: whoever publishes can write them.
func TestIdentityInAMessage(t *testing.T) {
	const made = "2026-01-01T00:00:00Z"
	w := &consumerWorld{consumer: made, stream: made}
	scripted(t, w.script, func(t *testing.T, r *rig) {
		cons, err := r.Consumer(t.Context(), "S", "C")
		if err != nil {
			t.Fatal(err)
		}
		var told errorLog
		rec, err := cons.Receiver(told.option())
		if err != nil {
			t.Fatal(err)
		}
		defer rec.Stop()
		synctest.Wait()
		pull := r.wantPulls(t, 1)
		for n := range 3 {
			r.message(pull, 6+n, fmt.Sprintf("NATS/1.0\r\nNats-Stream-Identity: %d\r\n\r\n", n))
		}
		if told.of(ErrConsumerRecreated) > 0 {
			t.Error("believed it")
		}
		if n := r.infos(); n != 1 {
			t.Errorf("the consumer was asked for %d times", n)
		}
	})
}

// A user who may not ask for the consumer is not made to ask again and again.
func TestNumbersBeginAgainUnasked(t *testing.T) {
	const made = "2026-01-01T00:00:00Z"
	w := &consumerWorld{consumer: made, stream: made}
	scripted(t, w.script, func(t *testing.T, r *rig) {
		cons, err := r.Consumer(t.Context(), "S", "C")
		if err != nil {
			t.Fatal(err)
		}
		w.refuse = true
		var told errorLog
		rec, err := cons.Receiver(told.option())
		if err != nil {
			t.Fatal(err)
		}
		defer rec.Stop()
		synctest.Wait()
		pull := r.wantPulls(t, 1)
		r.message(pull, 1, "")
		r.srv.Peer().Err(`Permissions Violation for Publish to "$JS.API.CONSUMER.INFO.S.C"`)
		for n := range 20 {
			pass(time.Minute)
			r.message(pull, 1+n%3, "")
		}
		if told.of(ErrConsumerRecreated) > 0 {
			t.Error("told without a proof")
		}
		if n := r.infos(); n != 2 {
			t.Errorf("the consumer was asked for %d times, want 2", n)
		}
	})
}

// Nobody answers for a moment, and then there is another consumer.
func TestAnotherAfterNobody(t *testing.T) {
	const first, second = "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"
	w := &consumerWorld{consumer: first, stream: first}
	scripted(t, w.script, func(t *testing.T, r *rig) {
		cons, err := r.Consumer(t.Context(), "S", "C")
		if err != nil {
			t.Fatal(err)
		}
		*w = consumerWorld{consumer: second, stream: first, pull: answer{header: noResponders}}
		var told errorLog
		rec, err := cons.Receiver(told.option())
		if err != nil {
			t.Fatal(err)
		}
		defer rec.Stop()
		pass(10 * time.Millisecond)
		told.want(t, 2, ErrConsumerRecreated)
		if told.of(ErrStreamRecreated) > 0 {
			t.Error("the stream is the same")
		}
	})
}

// A fetch and a Next are over before it matters, and ask for nothing.
func TestNumbersOfAFetch(t *testing.T) {
	const made = "2026-01-01T00:00:00Z"
	w := &consumerWorld{consumer: made, stream: made}
	scripted(t, w.script, func(t *testing.T, r *rig) {
		cons, err := r.Consumer(t.Context(), "S", "C")
		if err != nil {
			t.Fatal(err)
		}
		r.srv.On("PUB", func(_ *fakeserver.Peer, o *fakeserver.Op) bool {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.asked = append(r.asked, *o)
			if strings.Contains(o.Subject, "MSG.NEXT") {
				r.srv.Deliver(o.Reply, "$JS.ACK.S.C.1.1.1.0.0", "", "data")
			}
			return true
		})
		for range 3 {
			if _, err := cons.Next(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		for _, err := range cons.Fetch(t.Context(), 1) {
			if err != nil {
				t.Fatal(err)
			}
		}
		if n := r.infos(); n != 1 {
			t.Errorf("the consumer was asked for %d times, want once", n)
		}
	})
}
