package queue

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"testing"
	"unsafe"

	"github.com/perigee-go/nats/core/internal/leakcheck"
)

func TestMain(m *testing.M) { os.Exit(leakcheck.Main(m)) }

// entry makes an entry whose bytes say n.
func entry(n, size int) Entry {
	b := make([]byte, size)
	copy(b, fmt.Sprint(n))
	return Make(b, size, 0, 0, 0)
}

func entries(from, n, size int) (es []Entry, total int) {
	for i := range n {
		es = append(es, entry(from+i, size))
	}
	return es, n * size
}

func TestEntry(t *testing.T) {
	if s := unsafe.Sizeof(Entry{}); unsafe.Sizeof(uintptr(0)) == 8 && s != 24 {
		t.Errorf("an Entry has %d bytes", s)
	}
	for _, header := range []string{"", "NATS/1.0\r\n\r\n"} {
		for _, data := range []string{"", "payload"} {
			for _, reply := range []string{"", "_R.1"} {
				for _, subj := range []string{"", "a.b"} {
					b := []byte(header + data + reply + subj + "behind")
					e := Make(b, len(header)+len(data), len(header), len(reply), len(subj))
					want := subj
					if subj == "" {
						want = "own"
					}
					if e.Size() != len(header)+len(data) || e.Header() != header || string(e.Data()) != data ||
						e.Reply() != reply || e.Subject("own") != want {
						t.Errorf("%q %q %q %q: %d %q %q %q %q", header, data, reply, subj,
							e.Size(), e.Header(), e.Data(), e.Reply(), e.Subject("own"))
					}
					d := e.Data()
					if cap(d) != len(d) {
						t.Errorf("the payload has a capacity of %d", cap(d))
					}
					_ = append(d, "overwrite"...)
					if !bytes.HasSuffix(b, []byte("behind")) || e.Reply() != reply {
						t.Error("appending to the payload reached what lies behind")
					}
				}
			}
		}
	}
	var zero Entry
	if zero.Data() != nil || zero.Header() != "" || zero.Reply() != "" || zero.Subject("x") != "x" || zero.Size() != 0 {
		t.Error("the zero Entry is not an empty message")
	}
	empty := Make(nil, 0, 0, 0, 0)
	if len(empty.Data()) != 0 || empty.Subject("x") != "x" {
		t.Error("no memory is not an empty message")
	}
}

// model is the obvious queue.
type model []Entry

func (m model) bytes() (n int) {
	for i := range m {
		n += m[i].Size()
	}
	return n
}

// TestModel plays a long random mix of all operations to the queue and to a
// plain slice.
func TestModel(t *testing.T) {
	for _, seed := range []uint64{1, 2, 3, rand.Uint64()} {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) { playModel(t, seed) })
	}
}

func playModel(t *testing.T, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 0))
	var q Queue
	var m model
	var taken [][]Entry // segments in somebody's hands
	var wants [][]Entry
	next := 0
	for step := range 30000 {
		// The mood changes: now filling, now emptying.
		filling := step/1500%2 == 0
		switch op := rng.IntN(100); {
		case op < 30 && filling || op < 10:
			n := 1 + rng.IntN(5)
			if rng.IntN(20) == 0 {
				n = rng.IntN(3 * SegmentLen)
			}
			es, total := entries(next, n, 8+rng.IntN(3))
			next += n
			q.Push(es, total)
			m = append(m, es...)
			clear(es) // the queue has copies
		case op < 60 && len(m) > 0:
			if p := q.Peek(); *p != m[0] {
				t.Fatalf("step %d: Peek is wrong", step)
			}
			if e := q.Pop(); e != m[0] {
				t.Fatalf("step %d: Pop is wrong", step)
			}
			m = m[1:]
		case op < 70 && len(m) > 0:
			if p := q.Peek(); *p != m[0] {
				t.Fatalf("step %d: Peek is wrong", step)
			}
		case op < 80:
			seg := q.Take()
			if len(seg) > SegmentLen || len(seg) > len(m) || (len(seg) == 0) != (len(m) == 0) {
				t.Fatalf("step %d: Take gave %d of %d", step, len(seg), len(m))
			}
			if len(seg) > 0 {
				taken = append(taken, seg)
				wants = append(wants, append([]Entry(nil), m[:len(seg)]...))
				m = m[len(seg):]
			}
		case op < 90 && len(taken) > 0:
			i := rng.IntN(len(taken))
			for j, e := range taken[i] {
				if e != wants[i][j] {
					t.Fatalf("step %d: a taken segment was changed at %d", step, j)
				}
			}
			q.Put(taken[i])
			taken = append(taken[:i], taken[i+1:]...)
			wants = append(wants[:i], wants[i+1:]...)
		case op < 95: // DropOldest: down to a limit
			for limit := rng.IntN(2000); q.Len() > limit; m = m[1:] {
				if e := q.Pop(); e != m[0] {
					t.Fatalf("step %d: Pop is wrong", step)
				}
			}
		case op == 99 && rng.IntN(20) == 0:
			if n := q.Clear(); n != len(m) {
				t.Fatalf("step %d: Clear dropped %d of %d", step, n, len(m))
			}
			m = nil
		}
		if q.Len() != len(m) {
			t.Fatalf("step %d: Len is %d, want %d", step, q.Len(), len(m))
		}
		if step%50 == 0 && q.Bytes() != m.bytes() {
			t.Fatalf("step %d: Bytes is %d, want %d", step, q.Bytes(), m.bytes())
		}
		if len(q.segs) > 2*len(m)/SegmentLen+len(taken)+70 {
			t.Fatalf("step %d: %d segments for %d entries", step, len(q.segs), len(m))
		}
	}
	for len(m) > 0 {
		if e := q.Pop(); e != m[0] {
			t.Fatal("the rest is wrong")
		}
		m = m[1:]
	}
	if q.Bytes() != 0 || q.Len() != 0 {
		t.Errorf("%d entries, %d bytes at the end", q.Len(), q.Bytes())
	}
}

// watch pushes n entries and counts those whose memory was collected.
func watch(q *Queue, n int, freed *int) {
	for i := range n {
		b := new([64]byte)
		runtime.SetFinalizer(b, func(*[64]byte) { *freed++ })
		q.Push([]Entry{Make(b[:], 64, 0, 0, 0)}, 64)
		_ = i
	}
}

func collected(freed *int, want int) bool {
	for range 20 {
		runtime.GC()
		done := make(chan struct{})
		sentinel := new([64]byte)
		runtime.SetFinalizer(sentinel, func(*[64]byte) { close(done) })
		sentinel = nil
		runtime.GC()
		<-done // finalizers run on one goroutine, in order
		if *freed >= want {
			return true
		}
	}
	return false
}

// What was taken is not kept alive by the queue.
func TestNoReferenceStays(t *testing.T) {
	const n = 2*SegmentLen + 100
	for name, drain := range map[string]func(q *Queue){
		"Pop": func(q *Queue) {
			for q.Len() > 0 {
				q.Pop()
			}
		},
		"Take and Put": func(q *Queue) {
			for q.Len() > 0 {
				q.Put(q.Take())
			}
		},
		"Take, small segments": func(q *Queue) {
			for q.Len() > 20 {
				q.Pop()
			}
			q.Put(q.Take())
		},
		"Clear": func(q *Queue) { q.Clear() },
	} {
		t.Run(name, func(t *testing.T) {
			var q Queue
			freed := 0
			watch(&q, n, &freed)
			drain(&q)
			if !collected(&freed, n) {
				t.Errorf("%d of %d were collected", freed, n)
			}
			runtime.KeepAlive(&q)
		})
	}
	t.Run("Pop of half a segment", func(t *testing.T) {
		var q Queue
		freed := 0
		watch(&q, 100, &freed)
		for range 50 {
			q.Pop()
		}
		if !collected(&freed, 50) {
			t.Errorf("%d of 50 were collected", freed)
		}
		if freed != 50 || q.Len() != 50 {
			t.Errorf("%d were collected, %d are left", freed, q.Len())
		}
		runtime.KeepAlive(&q)
	})
}

// A queue that was busy once holds no large memory, and the list of segments
// does not grow for ever while the queue is never empty.
func TestMemoryIsGivenBack(t *testing.T) {
	var q Queue
	es, total := entries(0, 100*SegmentLen, 1)
	q.Push(es, total)
	for q.Len() > 0 {
		q.Put(q.Take())
	}
	if cap(q.spare) > keepSpare {
		t.Errorf("a spare segment of %d entries is kept", cap(q.spare))
	}
	longest := 0
	q.Push(es[:10], 10)
	for range 1000 {
		q.Push(es[:SegmentLen], SegmentLen)
		for range SegmentLen {
			q.Pop()
		}
		longest = max(longest, cap(q.segs))
	}
	if longest > 512 {
		t.Errorf("the list of segments has grown to %d", longest)
	}
}

// A queue that is emptied each time: the steady state of a quick consumer
// allocates nothing, whatever the length of its batches.
func TestSteadyStateDoesNotAllocate(t *testing.T) {
	for _, n := range []int{1, 2, 10, 42, 54, 63, 64, 65, 100, 511, 512, 513, 2000} {
		var q Queue
		es, total := entries(0, n, 8)
		for name, step := range map[string]func(){
			"Push, Pop": func() {
				q.Push(es, total)
				for q.Len() > 0 {
					q.Pop()
				}
			},
			"Push, Take, Put": func() {
				q.Push(es, total)
				for q.Len() > 0 {
					q.Put(q.Take())
				}
			},
			"Push one by one, Take, Put": func() {
				for i := range es {
					q.Push(es[i:i+1], 8)
				}
				for q.Len() > 0 {
					q.Put(q.Take())
				}
			},
		} {
			for range 10 {
				step()
			}
			// The pool may lose segments to the garbage collector and, on
			// purpose, under the race detector.
			if a := testing.AllocsPerRun(100, step); a > float64(n/SegmentLen) {
				t.Errorf("%s, %d entries: %v allocations", name, n, a)
			}
		}
	}
}

func BenchmarkPushTakePut(b *testing.B) {
	for _, n := range []int{1, 16, 64, 512} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var q Queue
			es, total := entries(0, n, 16)
			b.ReportAllocs()
			for b.Loop() {
				q.Push(es, total)
				for q.Len() > 0 {
					q.Put(q.Take())
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/msg")
		})
	}
}

func BenchmarkPushPop(b *testing.B) {
	var q Queue
	es, total := entries(0, 1, 16)
	b.ReportAllocs()
	for b.Loop() {
		q.Push(es, total)
		q.Pop()
	}
}
