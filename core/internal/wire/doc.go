// Package wire turns bytes into NATS protocol operations, both ways.
//
// Nothing here does I/O, takes a lock, reads a clock or starts a goroutine.
// What the server sends is read with [Parser.Parse], which works on a buffer
// that the caller owns and answers with offsets into it; what the client sends
// is rendered by the Append functions. Every size that comes from the server is
// held against a limit before anybody acts on it.
package wire
