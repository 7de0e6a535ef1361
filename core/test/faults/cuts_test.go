package faults

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	nats "github.com/perigee-go/nats/core"
	"github.com/perigee-go/nats/core/internal/figure"
	"github.com/perigee-go/nats/core/test/internal/ledger"
	"github.com/perigee-go/nats/orbit/natstest"
)

// Links are cut at chosen bytes, either way, in the middle of the handshake,
// too, while several goroutines publish. Another connection watches what
// arrives. Nothing comes twice, and no more is missing than the ledger calls
// unknown. A publisher's messages leave in its order. They arrive in it, too, but
// for those of unknown fate: the server may act on the last bytes of a link when
// the next one is at work.
func TestFigure04LossIsTold(t *testing.T) {
	seed := figure.Seed(4)
	var sum cutSums
	t.Run("over", func(t *testing.T) {
		for _, over := range []struct {
			name        string
			conns, cuts int // connections, and cuts of each
			url         func(*natstest.Server) string
			server      []natstest.Option
		}{
			{"TCP", 20, figure.Size(40, 400), (*natstest.Server).URL, nil},
			{"TLS", 5, figure.Size(20, 200), (*natstest.Server).URL, []natstest.Option{natstest.TLS()}},
			{"WebSocket", 5, figure.Size(20, 200), (*natstest.Server).WebSocketURL, []natstest.Option{natstest.WebSocket()}},
		} {
			t.Run(over.name, func(t *testing.T) {
				t.Parallel()
				srv := ledger.Run(t, over.server...)
				w := watch(t, srv)
				var wg sync.WaitGroup
				for i := range over.conns {
					v := newVictim(t, srv, over.url(srv), fmt.Sprintf("cut.%s.%d", over.name, i), over.name == "TCP")
					v.proxy.CutWithReset(i%2 == 1)
					wg.Go(func() { v.suffer(over.cuts, rand.New(rand.NewPCG(seed, uint64(i)))) })
					w.victims = append(w.victims, v)
				}
				wg.Wait()
				sum.add(w.settle())
			})
		}
	})
	t.Logf("seed %d: %d accepted = %d confirmed + %d unknown, of which %d arrived; %d came back, %d were seen to leave", seed,
		sum.accepted, sum.confirmed, sum.unknown, sum.unknown-sum.missing, sum.echoed, sum.left)
	figure.Print(t, 4, "0", "%d of %d messages lost in silence by %d cuts; %d are missing, %d have a fate told to be unknown",
		sum.silent, sum.accepted, sum.cuts, sum.missing, sum.unknown)
	figure.Print(t, 5, "0", "%d of %d messages out of their publisher's order, %d twice, by %d cuts",
		sum.late, sum.accepted, sum.twice, sum.cuts)
}

// cutSums is what the cuts of all connections did.
type cutSums struct {
	mu                                 sync.Mutex
	cuts, accepted, confirmed, unknown uint64
	missing, silent, echoed, left      uint64
	late, twice                        int
}

func (s *cutSums) add(o *cutSums) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cuts += o.cuts
	s.accepted += o.accepted
	s.confirmed += o.confirmed
	s.unknown += o.unknown
	s.missing += o.missing
	s.silent += o.silent
	s.echoed += o.echoed
	s.left += o.left
	s.late += o.late
	s.twice += o.twice
}

// books are kept of what comes from numbered publishers. The handler is their
// only writer; look after a Barrier.
type books struct {
	publishers map[string]*series
}

// series is what came of one publisher.
type series struct {
	seen        []bool
	last        uint64
	twice, late int
}

func (b *books) handle(m nats.Msg) {
	s := b.publishers[m.Subject]
	if s == nil {
		s = &series{}
		b.publishers[m.Subject] = s
	}
	n := binary.BigEndian.Uint64(m.Data)
	for uint64(len(s.seen)) <= n {
		s.seen = append(s.seen, false)
	}
	switch {
	case s.seen[n]:
		s.twice++
	case n < s.last:
		s.late++
	}
	s.seen[n], s.last = true, max(s.last, n)
}

// count is how many messages came of publishers below subject.
func (b *books) count(subject string) (came uint64, late, twice int) {
	for name, s := range b.publishers {
		if !strings.HasPrefix(name, subject+".") {
			continue
		}
		for _, ok := range s.seen {
			if ok {
				came++
			}
		}
		late += s.late
		twice += s.twice
	}
	return came, late, twice
}

// watcher sees what arrives at a server.
type watcher struct {
	t       *testing.T
	nc      *nats.Conn
	books   books
	victims []*victim
}

func watch(t *testing.T, srv *natstest.Server) *watcher {
	w := &watcher{t: t, books: books{publishers: map[string]*series{}}}
	w.nc = ledger.Connect(t, srv.URL(), append(trust(srv), nats.Name("watcher"))...)
	if _, err := w.nc.Subscribe("cut.>", w.books.handle, nats.PendingLimits(-1, -1)); err != nil {
		t.Fatal(err)
	}
	if err := w.nc.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	return w
}

// trust is what a client of srv needs to know of its certificate.
func trust(srv *natstest.Server) []nats.Option {
	if srv.CAFile() == "" {
		return nil
	}
	return []nats.Option{nats.RootCAs(srv.CAFile())}
}

// settle holds what arrived against the victims' ledgers.
func (w *watcher) settle() *cutSums {
	w.t.Helper()
	if err := w.nc.Flush(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	if err := w.nc.Barrier(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	sum := &cutSums{}
	for _, v := range w.victims {
		st := v.nc.Stats()
		ledger.Sums(w.t, st)
		came, late, twice := w.books.count(v.subject)
		_, lateBack, twiceBack := v.back.count(v.subject)
		one := &cutSums{
			cuts: v.cuts, accepted: st.OutMsgs, confirmed: st.OutConfirmed, unknown: st.OutUnknown,
			missing: st.OutMsgs - came, echoed: st.InMsgs, twice: twice + twiceBack,
			late: max(0, max(late, lateBack)-int(st.OutUnknown)),
		}
		if v.wire != nil {
			left, late, twice := v.wire.count(v.subject)
			if left < came {
				w.t.Errorf("%s: %d arrived, only %d were seen to leave", v.subject, came, left)
			}
			one.left, one.late, one.twice = left, one.late+late, one.twice+twice
		}
		if one.missing > st.OutUnknown {
			one.silent = one.missing - st.OutUnknown
		}
		if one.silent != 0 || one.late != 0 || one.twice != 0 {
			w.t.Errorf("%s: %d lost in silence, %d out of order, %d twice: %+v", v.subject, one.silent, one.late, one.twice, st)
		}
		if st.OutMsgs != v.published.Load() || st.OutConfirmed+st.OutUnknown != st.OutMsgs || st.OutUnknown != v.told.Load() {
			w.t.Errorf("%s: %d published, events told of %d unknown: %+v", v.subject, v.published.Load(), v.told.Load(), st)
		}
		sum.add(one)
	}
	return sum
}

// victim is a connection whose links are cut.
type victim struct {
	t         *testing.T
	nc        *nats.Conn
	proxy     *natstest.Proxy
	subject   string
	cuts      uint64
	published atomic.Uint64
	told      atomic.Uint64 // unknown, by the events
	back      books         // what the server sent back
	wire      *wireBooks    // what left; nil if nobody but the server can read it
}

func newVictim(t *testing.T, srv *natstest.Server, url, subject string, legible bool) *victim {
	t.Helper()
	v := &victim{t: t, proxy: natstest.RunProxy(t, url), subject: subject, back: books{publishers: map[string]*series{}}}
	if legible {
		v.wire = &wireBooks{books: books{publishers: map[string]*series{}}}
		v.proxy.Record(natstest.ClientToServer)
	}
	opts := append(trust(srv), nats.Name(subject), nats.ReconnectBackoff(0, time.Millisecond),
		nats.UseDialer(narrow{}), nats.EventHandler(func(_ *nats.Conn, e nats.Event) {
			if e, ok := e.(nats.Disconnected); ok {
				v.told.Add(uint64(e.Unknown))
			}
		}))
	v.nc = ledger.Connect(t, v.proxy.URL(), opts...)
	if _, err := v.nc.Subscribe(subject+".0", v.back.handle, nats.PendingLimits(-1, -1)); err != nil {
		t.Fatal(err)
	}
	return v
}

// narrow dials connections that take little at a time, so that writes leave in
// part, too.
type narrow struct{}

func (narrow) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return conn, conn.(*net.TCPConn).SetWriteBuffer(4 << 10)
}

// suffer cuts the links while three goroutines publish.
func (v *victim) suffer(cuts int, random *rand.Rand) {
	stop := make(chan struct{})
	var publishing sync.WaitGroup
	for g := range 3 {
		publishing.Go(func() { v.publish(fmt.Sprint(v.subject, ".", g), g > 0, stop) })
	}
	for v.cuts < uint64(cuts) && !v.t.Failed() {
		v.cut(random)
	}
	close(stop)
	publishing.Wait()
	v.flushed()
	if err := v.nc.Barrier(v.t.Context()); err != nil {
		v.t.Error(err)
	}
	v.look(true)
}

// look reads what has left since the last time, or to the end.
func (v *victim) look(last bool) {
	if v.wire == nil {
		return
	}
	v.proxy.Stall(natstest.ClientToServer) // nothing leaves between the two calls
	b := v.proxy.Recorded(natstest.ClientToServer)
	v.proxy.Record(natstest.ClientToServer)
	v.proxy.Resume(natstest.ClientToServer)
	v.wire.read(b, last)
}

// wireBooks are kept of the whole messages among the bytes of one link after the
// other.
type wireBooks struct {
	books
	rest []byte // the end may be part of a message
}

// whole reports whether b is the end of a message: a number, zeros, CR LF.
func whole(b []byte) bool {
	zeros, ok := bytes.CutSuffix(b[8:], []byte("\r\n"))
	return ok && bytes.Count(zeros, []byte{0}) == len(zeros)
}

var pubLine = regexp.MustCompile(`PUB (cut\.\S+) (\d+)\r\n`)

func (w *wireBooks) read(b []byte, last bool) {
	b = append(w.rest, b...)
	for {
		at := pubLine.FindSubmatchIndex(b)
		if at == nil {
			w.rest = bytes.Clone(b[max(0, len(b)-100):]) // half a line, perhaps
			return
		}
		size, _ := strconv.Atoi(string(b[at[4]:at[5]]))
		end := at[1] + size
		if len(b) < end+2 && !last {
			w.rest = bytes.Clone(b[at[0]:])
			return
		}
		if len(b) < end+2 || !whole(b[at[1]:end+2]) { // its link was cut within
			b = b[at[1]:]
			continue
		}
		w.handle(nats.Msg{Subject: string(b[at[2]:at[3]]), Data: b[at[1]:end]})
		b = b[end+2:]
	}
}

// publish sends numbered messages, some at a time, so that most are confirmed
// before the next cut. A large one is more than the kernel takes in one go.
func (v *victim) publish(subject string, large bool, stop <-chan struct{}) {
	for n := uint64(0); ; n++ {
		size := n % 40
		if large && n%100 == 7 {
			size = 256 << 10
		}
		data := binary.BigEndian.AppendUint64(nil, n)
		if err := v.nc.Publish(subject, append(data, make([]byte, size)...)); err != nil {
			v.t.Error(err)
			return
		}
		v.published.Add(1)
		if n%20 != 19 {
			continue
		}
		select {
		case <-stop:
			return
		default:
			_ = v.nc.Flush(v.t.Context()) // a link that is lost meanwhile is what this is about
		}
	}
}

// cut cuts the present link, and sometimes the next one in its first bytes.
func (v *victim) cut(random *rand.Rand) {
	way, far := natstest.ServerToClient, int64(1000)
	if random.IntN(2) == 0 {
		way, far = natstest.ClientToServer, []int64{4 << 10, 128 << 10}[random.IntN(2)]
	}
	done := []<-chan struct{}{v.proxy.CutIn(way, 1+random.Int64N(far))}
	if random.IntN(4) == 0 {
		done = append(done, v.proxy.CutAfter(way, 1+random.Int64N(1000)))
	}
	before := v.proxy.Accepted()
	limit := time.NewTimer(2 * time.Minute)
	defer limit.Stop()
	for _, c := range done {
		select {
		case <-c:
			v.cuts++
		case <-limit.C:
			v.t.Errorf("%s: the link is not cut: %+v", v.subject, v.nc.Stats())
			return
		}
	}
	v.look(false)
	for v.proxy.Accepted() < before+len(done) && v.t.Context().Err() == nil {
		v.flushed() // on the old link: its PONG had come before the cut
	}
	v.flushed()
}

// flushed returns when a Flush succeeded.
func (v *victim) flushed() {
	for v.nc.Flush(v.t.Context()) != nil && v.t.Context().Err() == nil {
	}
}
