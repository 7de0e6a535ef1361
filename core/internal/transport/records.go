package transport

import (
	"crypto/tls"
	"errors"
	"net"
)

const (
	minRecords = 8 << 10
	maxRecords = 128 << 10
	// recordHeader is the length of a TLS record's header; its last two bytes
	// are the length of what follows.
	recordHeader = 5
)

// TLSConn is TLS over a connection, with fewer system calls than the records
// that it sends and receives.
type TLSConn struct {
	*tls.Conn
	records *records
}

// ReadMore is Read if a whole record has arrived, and never waits for the peer:
// it returns 0 if there is nothing more for now. For the reader only.
func (c *TLSConn) ReadMore(p []byte) (int, error) {
	if !c.records.ready() {
		return 0, nil
	}
	// The record may be one of TLS's own, behind which Read would wait.
	c.records.noWait = true
	n, err := c.Read(p)
	c.records.noWait = false
	if errors.Is(err, errNothing) {
		err = nil
	}
	return n, err
}

// errNothing ends a Read that would have waited. TLS takes a temporary error of
// the connection for what it is, and goes on with the next Read.
var errNothing net.Error = nothing{}

type nothing struct{}

func (nothing) Error() string   { return "nothing more has arrived" }
func (nothing) Timeout() bool   { return true }
func (nothing) Temporary() bool { return true }

// Shrink gives back memory that a quiet connection does not need. For the
// reader only, after a Read.
func (c *TLSConn) Shrink() { c.records.shrink() }

// WriteAll writes b and hands all its records to the kernel at once. For one
// writer. After an error nobody knows what the peer can read.
func (c *TLSConn) WriteAll(b []byte) (int, error) {
	c.records.out.hold()
	n, err := c.Write(b)
	if ferr := c.records.out.flush(); err == nil {
		err = ferr
	}
	if err != nil {
		return 0, err
	}
	return n, nil
}

// records stands between TLS and the connection. TLS reads a record's header
// and then the rest, and writes record by record; here many are read and
// written with one system call.
type records struct {
	net.Conn

	// The reader's.
	in     []byte
	r, w   int
	left   int // of the record that TLS is reading; it is never given a part of the next
	noWait bool

	out outgoing
}

func newRecords(c net.Conn) *records {
	return &records{Conn: c, in: make([]byte, minRecords), out: outgoing{to: c.Write}}
}

func (c *records) Read(p []byte) (int, error) {
	for {
		avail := c.w - c.r
		if c.left == 0 && avail >= recordHeader {
			c.left = c.next()
		}
		if c.left > 0 && avail > 0 {
			n := copy(p[:min(len(p), c.left)], c.in[c.r:c.w])
			c.r += n
			c.left -= n
			return n, nil
		}
		if c.noWait {
			return 0, errNothing
		}
		c.w = copy(c.in, c.in[c.r:c.w]) // less than a header
		c.r = 0
		n, err := c.Conn.Read(c.in[c.w:])
		if n == 0 {
			return 0, err
		}
		if c.w += n; c.w == len(c.in) && len(c.in) < maxRecords {
			c.in = append(c.in, make([]byte, len(c.in))...)
		}
	}
}

// next is the length of the record at the start of what was read.
func (c *records) next() int {
	return recordHeader + int(c.in[c.r+3])<<8 + int(c.in[c.r+4])
}

func (c *records) ready() bool {
	avail := c.w - c.r
	return c.left == 0 && avail >= recordHeader && avail >= c.next() || c.left > 0 && avail >= c.left
}

func (c *records) shrink() {
	if len(c.in) > minRecords && c.w-c.r <= minRecords {
		in := make([]byte, minRecords)
		c.w = copy(in, c.in[c.r:c.w])
		c.r = 0
		c.in = in
	}
	c.out.shrink()
}

// Write is called by TLS, under its own lock for outgoing records. The reader
// may be the caller, when the peer wants new keys.
func (c *records) Write(p []byte) (int, error) { return c.out.Write(p) }
