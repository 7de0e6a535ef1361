//go:build !unix

package transport

import "net"

// Prompt does not exist on this platform.
type Prompt struct{}

// NewPrompt returns nil.
func NewPrompt(net.Conn) *Prompt { return nil }

// Write writes nothing.
func (*Prompt) Write([]byte) int { return 0 }
