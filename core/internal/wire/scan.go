package wire

import "bytes"

// ClientKind is the operation of a frame that a client sends.
type ClientKind uint8

// The operations of a client. PUB and HPUB are one kind.
const (
	ClientOther ClientKind = iota // SUB, UNSUB, PING, PONG, CONNECT
	ClientPub
)

// ScanClient finds the frame at the start of b, which we rendered ourselves. It
// returns its kind and length; 0 if b does not hold the whole frame. Nobody
// keeps frame boundaries while frames are written: they are looked for when a
// link died and it matters which frames left.
func ScanClient(b []byte) (ClientKind, int) {
	eol := bytes.IndexByte(b, '\n')
	if eol < 1 {
		return ClientOther, 0
	}
	if !bytes.HasPrefix(b, []byte("PUB ")) && !bytes.HasPrefix(b, []byte("HPUB ")) {
		return ClientOther, eol + 1
	}
	line := b[:eol-1]
	size, ok := number(line[bytes.LastIndexByte(line, ' ')+1:], 18)
	if !ok || size > uint64(len(b)) {
		return ClientPub, 0
	}
	total := eol + 1 + int(size) + 2
	if total > len(b) {
		return ClientPub, 0
	}
	return ClientPub, total
}
