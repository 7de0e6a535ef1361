//go:build unix

package transport

import (
	"net"
	"syscall"
)

// Prompt writes to a connection what the kernel takes at once, and never waits.
// It must not be used by two at a time, nor while somebody else writes.
type Prompt struct {
	conn syscall.RawConn
	once func(fd uintptr) bool
	b    []byte
	n    int
}

// NewPrompt returns nil if conn is not the kernel's own: what wraps a connection
// may do more to bytes than pass them on.
func NewPrompt(conn net.Conn) *Prompt {
	var c syscall.Conn
	switch t := conn.(type) {
	case *net.TCPConn:
		c = t
	case *net.UnixConn:
		c = t
	default:
		return nil
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return nil
	}
	p := &Prompt{conn: raw}
	p.once = func(fd uintptr) bool { // made once, so that a write allocates nothing
		p.n, _ = syscall.Write(int(fd), p.b)
		return true
	}
	return p
}

// Write returns how many bytes of b left. Errors are not reported: whoever
// writes the rest meets them.
func (p *Prompt) Write(b []byte) int {
	p.b, p.n = b, 0
	_ = p.conn.Write(p.once)
	p.b = nil
	return max(p.n, 0)
}
