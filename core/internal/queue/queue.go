// Package queue holds received messages until somebody takes them.
//
// It is a plain structure: whoever owns it brings the lock.
package queue

import (
	"sync"
	"unsafe"
)

// Entry is a received message, 24 bytes. It keeps lengths instead of slices:
// the message lies in one piece of memory, header block first, then payload,
// reply and, unless it equals the subscription's, the subject. The message
// itself is made by whoever takes it.
type Entry struct {
	p                  unsafe.Pointer // of the first byte; nil for an empty message
	size               uint32         // header block and payload
	header, reply, sub uint32
}

// Make describes the message in b: size bytes of header block (header of them)
// and payload, then reply and subject. b must not be used any more; its
// capacity may belong to others.
func Make(b []byte, size, header, reply, subject int) Entry {
	return Entry{unsafe.Pointer(unsafe.SliceData(b)), uint32(size), uint32(header), uint32(reply), uint32(subject)}
}

// Size is the length of header block and payload.
func (e *Entry) Size() int { return int(e.size) }

// Data is the payload. Its capacity ends with it: appending never reaches what
// lies behind.
func (e *Entry) Data() []byte {
	if e.p == nil {
		return nil
	}
	return unsafe.Slice((*byte)(e.p), int(e.size))[e.header:e.size:e.size]
}

// Header is the header block, or empty. Nobody else has a way to its bytes, so
// they are as immutable as a string's must be.
func (e *Entry) Header() string {
	if e.header == 0 {
		return ""
	}
	return unsafe.String((*byte)(e.p), int(e.header))
}

// Reply is the reply subject, or empty.
func (e *Entry) Reply() string {
	if e.reply == 0 {
		return ""
	}
	return unsafe.String((*byte)(unsafe.Add(e.p, int(e.size))), int(e.reply))
}

// Subject is the message's subject, own unless the message brought another.
func (e *Entry) Subject(own string) string {
	if e.sub == 0 {
		return own
	}
	return unsafe.String((*byte)(unsafe.Add(e.p, int(e.size)+int(e.reply))), int(e.sub))
}

// SegmentLen is the most entries that are taken at a time.
const SegmentLen = 512

// keepSpare is the largest segment kept for the next push: a queue that was
// busy once does not hold memory for ever.
const keepSpare = 64

// segments keeps whole segments for all queues: a busy one goes through many.
var segments = sync.Pool{New: func() any { return new([SegmentLen]Entry) }}

// Queue is a first-in-first-out of entries in segments, so that a worker can
// take many at once and none is ever moved.
type Queue struct {
	segs  [][]Entry // oldest first, from head on; only the last one grows
	head  int
	pos   int // entries of segs[head] that Pop took
	n     int
	bytes int
	spare []Entry
}

// Len is the number of entries.
func (q *Queue) Len() int { return q.n }

// Bytes is the sum of their sizes.
func (q *Queue) Bytes() int { return q.bytes }

// Push appends entries, whose sizes sum up to bytes.
func (q *Queue) Push(es []Entry, bytes int) {
	q.n += len(es)
	q.bytes += bytes
	for len(es) > 0 {
		last := len(q.segs) - 1
		if last < q.head || len(q.segs[last]) == SegmentLen {
			q.segs = append(q.segs, q.spare[:0])
			q.spare = nil
			last++
		}
		seg := q.segs[last]
		k := min(len(es), SegmentLen-len(seg))
		if n := len(seg) + k; n > cap(seg) {
			var larger []Entry
			if n > keepSpare {
				larger = segments.Get().(*[SegmentLen]Entry)[:0]
			} else { // of a length that Put takes back; append might round it up
				larger = make([]Entry, 0, min(keepSpare, max(2*n, 8)))
			}
			larger = append(larger, seg...)
			clear(seg)
			if cap(seg) > cap(q.spare) { // at most keepSpare: whole ones do not grow
				q.spare = seg[:0]
			}
			seg = larger
		}
		q.segs[last] = append(seg, es[:k]...)
		es = es[k:]
	}
}

// Take removes the oldest segment. It is the caller's until Put.
func (q *Queue) Take() []Entry {
	if q.n == 0 {
		return nil
	}
	seg := q.segs[q.head][q.pos:]
	q.next()
	q.n -= len(seg)
	for i := range seg {
		q.bytes -= int(seg[i].size)
	}
	return seg
}

// Put gives a taken segment back, which may then be used again.
func (q *Queue) Put(seg []Entry) {
	switch {
	case cap(seg) <= keepSpare:
		clear(seg)
		q.spare = seg[:0]
	case cap(seg) == SegmentLen:
		clear(seg)
		segments.Put((*[SegmentLen]Entry)(seg[:SegmentLen]))
	}
}

// Peek returns the oldest entry, which stays; the queue must not be empty.
func (q *Queue) Peek() *Entry { return &q.segs[q.head][q.pos] }

// Pop removes the oldest entry; the queue must not be empty.
func (q *Queue) Pop() Entry {
	seg := q.segs[q.head]
	e := seg[q.pos]
	seg[q.pos] = Entry{}
	q.n--
	q.bytes -= int(e.size)
	if q.pos++; q.pos == len(seg) {
		q.next()
		q.Put(seg[:0])
	}
	return e
}

// next moves on from the oldest segment.
func (q *Queue) next() {
	q.segs[q.head] = nil
	q.pos = 0
	if q.head++; q.head == len(q.segs) {
		q.segs, q.head = q.segs[:0], 0
	} else if q.head > 32 && q.head*2 > len(q.segs) {
		n := copy(q.segs, q.segs[q.head:])
		clear(q.segs[n:])
		q.segs, q.head = q.segs[:n], 0
	}
}

// Clear drops everything and the memory, and returns how many entries that
// were.
func (q *Queue) Clear() int {
	n := q.n
	*q = Queue{}
	return n
}
