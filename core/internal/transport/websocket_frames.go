package transport

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
)

const (
	opClose = 8 // and above: control frames

	frameFin      = 0x80
	frameDeflated = 0x40
	frameMasked   = 0x80
)

// frameHead is the head of a WebSocket frame.
type frameHead struct {
	size          int // of the head itself
	payload       int64
	op            byte
	fin, deflated bool
}

var (
	errMasked  = errors.New("the server masks its frames")
	errTooLong = errors.New("a frame has an impossible length")
)

// parseHead reads the head at the start of b; ok is false while b is too short.
func parseHead(b []byte) (h frameHead, ok bool, err error) {
	if len(b) < 2 {
		return h, false, nil
	}
	h = frameHead{size: 2, payload: int64(b[1] &^ frameMasked), op: b[0] & 0xf, fin: b[0]&frameFin != 0, deflated: b[0]&frameDeflated != 0}
	if b[1]&frameMasked != 0 {
		return h, false, errMasked
	}
	switch h.payload {
	case 126:
		h.size += 2
	case 127:
		h.size += 8
	}
	if len(b) < h.size {
		return h, false, nil
	}
	switch h.size {
	case 4:
		h.payload = int64(binary.BigEndian.Uint16(b[2:]))
	case 10:
		if h.payload = int64(binary.BigEndian.Uint64(b[2:])); h.payload < 0 {
			return h, false, errTooLong
		}
	}
	return h, true, nil
}

// frames stands between the WebSocket library and the connection. It reads and
// writes many frames with one system call, and knows where frames end: the
// library waits for as many bytes as it was asked for, so it has to be asked for
// what is there.
type frames struct {
	under net.Conn
	tls   *TLSConn // under, if it is ours
	raw   net.Conn // what under stands on; closing it never waits
	out   outgoing

	// The reader's.
	in       []byte
	r, w     int
	upgraded bool
	head     int   // bytes of a frame's head that the library has still to get
	left     int64 // of its payload
	control  bool  // the frame is one
	fin      bool  // the last data frame ends its message
	zip      bool  // it says that its message is compressed
	given    int64 // payload of data frames that the library got
	later    error // of the connection, behind what is in
	err      error // what ended reading
}

func newFrames(raw net.Conn, over *TLSConn) *frames {
	f := &frames{under: raw, tls: over, raw: raw, in: make([]byte, minRecords)}
	f.out.to = raw.Write
	if over != nil {
		f.under, f.out.to = over, over.WriteAll
	}
	return f
}

// Write is called by the library, with its own lock held for each frame.
func (f *frames) Write(p []byte) (int, error) { return f.out.Write(p) }

func (f *frames) Close() error { return f.raw.Close() }

// Read is called by the library. It gets the head of a frame with one Read and
// the payload with others, so that it never holds bytes of the next frame.
func (f *frames) Read(p []byte) (int, error) {
	if !f.upgraded {
		return 0, io.EOF // it wants to know what else a refusal said
	}
	for {
		have := f.in[f.r:f.w]
		switch {
		case f.head > 0:
			n := copy(p[:min(len(p), f.head)], have)
			f.head -= n
			f.r += n
			return n, nil
		case f.left > 0 && len(have) > 0:
			n := copy(p[:min(int64(len(p)), f.left)], have)
			f.left -= int64(n)
			f.r += n
			if !f.control {
				f.given += int64(n)
			}
			return n, nil
		case f.left == 0:
			h, ok, err := parseHead(have)
			if err != nil {
				f.err = &FrameError{err}
				return 0, f.err
			}
			if ok {
				f.head, f.left, f.control = h.size, h.payload, h.op >= opClose
				if !f.control {
					f.fin, f.zip = h.fin, h.deflated
				}
				continue
			}
		}
		if err := f.fill(); err != nil {
			return 0, err
		}
	}
}

// buffered is how much of the present frame's payload lies here.
func (f *frames) buffered() int64 { return min(f.left, int64(f.w-f.r)) }

// fill reads what has arrived, at least one byte.
func (f *frames) fill() error {
	f.w = copy(f.in, f.in[f.r:f.w]) // less than a head, or than an answer to the upgrade
	f.r = 0
	if f.w == len(f.in) {
		f.in = append(f.in, make([]byte, len(f.in))...)
	}
	got, err := 0, f.later
	for got == 0 && err == nil {
		got, err = f.read()
	}
	f.w += got
	if got == 0 {
		f.err = err
		return err
	}
	f.later = err
	if f.w == len(f.in) && len(f.in) < maxRecords {
		f.in = append(f.in, make([]byte, len(f.in))...)
	}
	return nil
}

// read is one read of the connection; of TLS, all records that have arrived.
func (f *frames) read() (got int, err error) {
	room := f.in[f.w:]
	got, err = f.under.Read(room)
	for n := got; n > 0 && err == nil && f.tls != nil && got < len(room); got += n {
		n, err = f.tls.ReadMore(room[got:])
	}
	return got, err
}

// ready reports whether data, or what is wrong with it, can be had without
// waiting for the connection. The library stands between two frames.
func (f *frames) ready() bool {
	b := f.in[f.r:f.w]
	for {
		h, ok, err := parseHead(b)
		if !ok {
			return err != nil
		}
		rest := b[h.size:]
		whole := int64(len(rest)) >= h.payload
		switch {
		case h.op == opClose:
			return whole
		case h.op > opClose:
			if !whole {
				return false
			}
			rest = rest[h.payload:]
		case h.deflated:
			return whole && h.fin // else inflating may have to wait
		case h.payload > 0:
			return len(rest) > 0
		case h.fin:
			return true
		}
		b = rest
	}
}

// shrink gives back memory that a quiet connection does not need.
func (f *frames) shrink() {
	if len(f.in) > minRecords && f.w-f.r <= minRecords {
		in := make([]byte, minRecords)
		f.w = copy(in, f.in[f.r:f.w])
		f.r = 0
		f.in = in
	}
	f.out.shrink()
	if f.tls != nil {
		f.tls.Shrink()
	}
}
