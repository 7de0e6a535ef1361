// Package memory makes room for received messages without clearing it first.
package memory

import (
	"strings"
	"unsafe"
)

// Uncleared returns n bytes that hold anything; whoever asks for them fills
// them all. Clearing what is overwritten at once is a sixth of the cost of
// receiving a large message. strings.Builder is the one way to memory that was
// not cleared.
func Uncleared(n int) []byte {
	if n <= 0 {
		return nil
	}
	var b strings.Builder
	b.Grow(n)
	b.WriteByte(0)
	return unsafe.Slice(unsafe.StringData(b.String()), n)
}
