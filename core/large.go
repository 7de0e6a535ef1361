package nats

import (
	"github.com/perigee-go/nats/core/internal/queue"
	"github.com/perigee-go/nats/core/internal/wire"
)

// Room implements link.Sink: large messages that somebody may keep have memory
// of their own. Handlers on the reader borrow, and replies are copied.
func (d *receiver) Room(buf []byte, pos int, f *wire.Frame) (extra int, own bool) {
	s := d.nc.reg.dir.Load().find(f.SID)
	if s == nil || s.kind >= kindReader || d.role.Load() != alone {
		return 0, false
	}
	if at := pos + f.Subject; string(buf[at:at+f.SubjectLen]) != s.subject {
		extra = f.SubjectLen
	}
	return extra + f.ReplyLen, true
}

// Large implements link.Sink: the message keeps the memory it was read into.
func (d *receiver) Large(line, body []byte, f *wire.Frame) {
	d.msgs++
	d.bytes += uint64(f.Size)
	s := d.nc.reg.dir.Load().find(f.SID)
	if s == nil || s.max.Load() > 0 && s.received.Load() >= s.max.Load() {
		d.orphaned++
		d.finish()
		return
	}
	n, size, dropped := 1, f.Size, uint64(0)
	if !s.fits(1, f.Size) {
		d.raws = append(d.raws[:0], raw{size: uint32(f.Size), next: -1})
		_, n, size, _, dropped = d.overflow(s, 0, 1)
		d.raws = d.raws[:0]
	}
	d.entries = d.entries[:0]
	if n > 0 {
		at := f.Size
		at += copy(body[at:], line[f.Reply:f.Reply+f.ReplyLen])
		own := copy(body[at:], line[f.Subject:f.Subject+f.SubjectLen])
		d.entries = append(d.entries, queue.Make(body, f.Size, f.HeaderLen, f.ReplyLen, own))
	}
	d.handOver(s, n, size, dropped)
	d.finish()
}
