package scenario

import (
	"bytes"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/perigee-go/nats/tools/bench/internal/driver"
	"github.com/perigee-go/nats/tools/bench/internal/peers"
	"github.com/perigee-go/nats/tools/bench/internal/wire"
)

// blockTime is how long the callbacks of the block scenarios take.
const blockTime = 10 * time.Millisecond

// keepEvery is which payloads the retain scenarios keep.
const keepEvery = 100

// receiving is one connection that takes what the firehose sends, or the blaster
// behind a TLS server.
type receiving struct {
	*run
	nc        driver.Conn
	payload   []byte
	window    int
	step      int64 // after how many messages the sender gets new credits
	credits   []byte
	receivers []driver.Receiver

	// Callbacks may run on many goroutines, so the counter is atomic; that costs
	// every client the same.
	got, total atomic.Int64
	done       chan struct{}

	mu   sync.Mutex
	kept [][]byte // of the retain scenarios
}

func runReceive(r *run) error {
	nc, err := r.connect(r.Peers.Firehose)
	if err != nil {
		return err
	}
	defer nc.Close()
	in := &receiving{run: r, nc: nc, payload: wire.Payload(r.Size), window: Window(r.Size), done: make(chan struct{}, 1)}
	in.step = int64(in.window / 4)
	in.credits = strconv.AppendInt(nil, in.step, 10)
	if err := in.subscribe(); err != nil {
		return err
	}
	count := max(in.count()/r.Width, 1) * r.Width
	if err := in.receive(max(count/10/r.Width, 1) * r.Width); err != nil {
		return err
	}
	in.mu.Lock()
	in.kept = nil
	in.mu.Unlock()
	if err := r.measure(count, func() error { return in.receive(count) }); err != nil {
		return err
	}
	if r.Kind == "retain" {
		in.addRetained()
	}
	return nil
}

func (in *receiving) count() int {
	if in.Kind == "block" {
		// One goroutine a subscription takes a second for 100 rounds.
		return int(float64(in.Width) * max(200*in.Scale, 3))
	}
	return Count(in.Size, 3, in.Scale)
}

func (in *receiving) subscribe() error {
	headerKey := ""
	if in.Frame == FrameHdrRead {
		headerKey = wire.HeaderKey
	}
	for i := range in.Width {
		subject := peers.FeedSubject(i)
		var rc driver.Receiver
		var err error
		switch in.Kind {
		case "sync":
			rc, err = in.nc.SubscribeSync(subject)
		case "chan":
			rc, err = in.nc.SubscribeChan(subject, in.window+1)
		case "block":
			err = in.nc.Subscribe(subject, headerKey, in.blockThenTake)
		default:
			err = in.nc.Subscribe(subject, headerKey, in.take)
		}
		if err != nil {
			return err
		}
		if rc != nil {
			in.receivers = append(in.receivers, rc)
		}
	}
	return in.nc.Flush()
}

func (in *receiving) blockThenTake(b []byte) {
	time.Sleep(blockTime)
	in.take(b)
}

// take counts a message, checks every size and some contents, and gives the
// sender credits.
func (in *receiving) take(b []byte) {
	if len(b) != in.Size {
		panic("a payload of the wrong size")
	}
	k := in.got.Add(1)
	if k&1023 == 0 && !bytes.Equal(b, in.payload) {
		panic("a wrong payload")
	}
	if k%keepEvery == 0 && in.Kind == "retain" {
		in.mu.Lock()
		in.kept = append(in.kept, b)
		in.mu.Unlock()
	}
	if k%in.step == 0 {
		if err := in.nc.Publish(peers.CreditSubject, in.credits); err != nil {
			panic(err)
		}
	}
	if k == in.total.Load() {
		in.done <- struct{}{}
	}
}

// receive orders n messages and returns when all were taken.
func (in *receiving) receive(n int) error {
	in.got.Store(0)
	in.total.Store(int64(n))
	kind := in.Frame
	if kind == FrameHdrRead {
		kind = wire.KindHdr
	}
	order := peers.Order{Count: n, Size: in.Size, Kind: kind, Window: in.window, Subs: in.Width}
	if err := in.nc.Publish(peers.StartSubject, []byte(order.String())); err != nil {
		return err
	}
	if len(in.receivers) == 1 { // as a program would: no goroutine for it
		if err := in.receivers[0].Receive(n, in.take); err != nil {
			return err
		}
		return wait(in.done, in.got.Load, n)
	}
	for _, rc := range in.receivers {
		go func() { _ = rc.Receive(n/in.Width, in.take) }() // a failure shows as a message that is missing
	}
	return wait(in.done, in.got.Load, n)
}

// addRetained measures how much memory is given back when the kept payloads go.
func (in *receiving) addRetained() {
	if len(in.kept) == 0 {
		return // too few messages
	}
	with := heapAlloc()
	kept := float64(len(in.kept))
	in.kept = nil
	in.result.Add("held-B/msg", max(0, float64(with)-float64(heapAlloc()))/kept)
}

// heapAlloc is the live heap after a collection.
func heapAlloc() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
