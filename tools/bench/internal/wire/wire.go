// Package wire renders the few protocol frames that the peers and the bare
// limits need.
package wire

import "fmt"

// Info is the line a peer greets with. Its max_payload leaves room for every
// size that is measured.
const Info = `INFO {"server_id":"PEER","server_name":"peer","version":"2.15.2","proto":1,"go":"go1.26","host":"127.0.0.1","port":4222,"headers":true,"max_payload":8388608,"client_id":1}` + "\r\n"

// Connect is what a bare program sends first.
const Connect = `CONNECT {"verbose":false,"pedantic":false,"lang":"raw","version":"0","protocol":1,"headers":true,"no_responders":true,"echo":true}` + "\r\n"

// The two lines of keep-alive and flush.
const (
	Ping = "PING\r\n"
	Pong = "PONG\r\n"
)

// Payload makes a payload of the given size without CR, LF or capital letters,
// so that no protocol line can be mistaken in it.
func Payload(size int) []byte {
	b := make([]byte, size)
	for i := range b {
		b[i] = 'a' + byte(i%26)
	}
	return b
}

// Kinds of messages that are received.
const (
	KindMsg = "msg" // MSG without a reply subject
	KindHdr = "hdr" // HMSG with one small header
	KindJS  = "js"  // MSG with the long reply subject of a JetStream delivery
)

// What messages with a header or a reply subject carry.
const (
	HeaderKey   = "Nats-Msg-Id"
	HeaderValue = "0123456789abcdef"
	HeaderBlock = "NATS/1.0\r\n" + HeaderKey + ": " + HeaderValue + "\r\n\r\n"
	AckReply    = "$JS.ACK.BENCHSTREAM.benchcons.1.123456.123456.1790000000000000000.100000"
)

// AppendDelivery appends one message as a server delivers it.
func AppendDelivery(dst []byte, kind, subject, sid string, payload []byte) []byte {
	switch kind {
	case KindHdr:
		dst = fmt.Appendf(dst, "HMSG %s %s %d %d\r\n%s", subject, sid, len(HeaderBlock), len(HeaderBlock)+len(payload), HeaderBlock)
	case KindJS:
		dst = fmt.Appendf(dst, "MSG %s %s %s %d\r\n", subject, sid, AckReply, len(payload))
	default:
		dst = fmt.Appendf(dst, "MSG %s %s %d\r\n", subject, sid, len(payload))
	}
	dst = append(dst, payload...)
	return append(dst, "\r\n"...)
}

// AppendPublish appends one message as a client publishes it.
func AppendPublish(dst []byte, subject, reply string, payload []byte) []byte {
	dst = append(dst, "PUB "...)
	dst = append(dst, subject...)
	if reply != "" {
		dst = append(dst, ' ')
		dst = append(dst, reply...)
	}
	dst = fmt.Appendf(dst, " %d\r\n", len(payload))
	dst = append(dst, payload...)
	return append(dst, "\r\n"...)
}

// AppendPublishKind appends the publish from which a server makes a delivery of
// this kind.
func AppendPublishKind(dst []byte, kind, subject string, payload []byte) []byte {
	switch kind {
	case KindHdr:
		dst = fmt.Appendf(dst, "HPUB %s %d %d\r\n%s", subject, len(HeaderBlock), len(HeaderBlock)+len(payload), HeaderBlock)
		dst = append(dst, payload...)
		return append(dst, "\r\n"...)
	case KindJS:
		return AppendPublish(dst, subject, AckReply, payload)
	default:
		return AppendPublish(dst, subject, "", payload)
	}
}
