package jetstream

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	nats "github.com/perigee-go/nats/core"
	"github.com/perigee-go/nats/core/internal/fakeserver"
)

// rig is a handle over a scripted server, in a bubble of fake time.
type rig struct {
	*JetStream
	net *fakeserver.Net
	srv *fakeserver.Server

	mu    sync.Mutex
	asked []fakeserver.Op // all but what is not for JetStream
}

// answer is what a script says to a request: data, or a whole header block in
// front of it. The zero value is silence.
type answer struct{ header, data string }

// scripted runs f over a server that answers requests as script says. A subject
// is without the API prefix if it has it.
func scripted(t *testing.T, script func(subject, body string) answer, f func(t *testing.T, r *rig), opts ...Option) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		n, s := fakeserver.One()
		s.SetInfo("jetstream", true).SetInfo("api_lvl", 5)
		r := &rig{net: n, srv: s}
		s.On("PUB", func(p *fakeserver.Peer, o *fakeserver.Op) bool {
			r.mu.Lock()
			r.asked = append(r.asked, *o)
			r.mu.Unlock()
			a := script(withoutPrefix(o.Subject), string(o.Data))
			if a != (answer{}) {
				s.Deliver(o.Reply, "", a.header, a.data)
			}
			return true
		})
		nc, err := nats.Connect(t.Context(), "nats://server:4222", nats.UseDialer(n), nats.Logger(nil))
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			_ = nc.Close()
			synctest.Wait()
		}()
		if r.JetStream, err = New(nc, opts...); err != nil {
			t.Fatal(err)
		}
		f(t, r)
	})
}

// withoutPrefix takes the default API prefix off, or that of the domain d.
func withoutPrefix(subject string) string {
	return strings.TrimPrefix(strings.TrimPrefix(subject, "$JS.API."), "$JS.d.API.")
}

// subjects are those of the requests so far, without the API prefix.
func (r *rig) subjects() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []string
	for _, o := range r.asked {
		all = append(all, withoutPrefix(o.Subject))
	}
	return all
}

// last is the last request.
func (r *rig) last() fakeserver.Op {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.asked) == 0 {
		return fakeserver.Op{}
	}
	return r.asked[len(r.asked)-1]
}

func jsonAnswer(t testing.TB, v any) answer {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return answer{data: string(data)}
}

// each answers with one after the other, and silence when there are no more.
func each(answers ...answer) func(subject, body string) answer {
	return func(string, string) answer {
		if len(answers) == 0 {
			return answer{}
		}
		a := answers[0]
		answers = slices.Delete(answers, 0, 1)
		return a
	}
}

// noContext is what callers must not give.
var noContext context.Context

const noResponders = "NATS/1.0 503\r\nNats-Subject: somewhere\r\n\r\n"

// elapsed is how long f takes.
func elapsed(f func()) time.Duration {
	start := time.Now()
	f()
	return time.Since(start)
}
