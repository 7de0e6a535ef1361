package wire

import "strconv"

// The lines without arguments.
const (
	PingLine = "PING\r\n"
	PongLine = "PONG\r\n"
)

// pubOverhead is more than a PUB or HPUB frame needs besides subject, reply,
// header and payload: the operation, five separators, two numbers, two CR LF.
const pubOverhead = 48

// PubSize is an upper bound of the length of a publish frame.
func PubSize(subject, reply, header string, data []byte) int {
	return len(subject) + len(reply) + len(header) + len(data) + pubOverhead
}

// AppendPub renders a PUB frame, or HPUB if header, a complete block, is not
// empty. The arguments have been checked. If b has PubSize bytes of room
// nothing is allocated.
func AppendPub(b []byte, subject, reply, header string, data []byte) []byte {
	i := len(b)
	need := PubSize(subject, reply, header, data)
	if cap(b)-i < need {
		b = append(b, make([]byte, need)...)
	}
	b = b[:i+need]
	if header != "" {
		i += copy(b[i:], "HPUB ")
	} else {
		i += copy(b[i:], "PUB ")
	}
	i += copy(b[i:], subject)
	b[i] = ' '
	i++
	if reply != "" {
		i += copy(b[i:], reply)
		b[i] = ' '
		i++
	}
	if header != "" {
		i = putUint(b, i, len(header))
		b[i] = ' '
		i++
	}
	i = putUint(b, i, len(header)+len(data))
	b[i], b[i+1] = '\r', '\n'
	i += 2
	if header != "" {
		i += copy(b[i:], header)
	}
	i += copy(b[i:], data)
	b[i], b[i+1] = '\r', '\n'
	return b[:i+2]
}

// putUint writes n in decimal at b[i:] and returns its end.
func putUint(b []byte, i, n int) int {
	switch {
	case n < 10:
		b[i] = byte('0' + n)
		return i + 1
	case n < 100:
		b[i], b[i+1] = byte('0'+n/10), byte('0'+n%10)
		return i + 2
	case n < 1000:
		b[i], b[i+1], b[i+2] = byte('0'+n/100), byte('0'+n/10%10), byte('0'+n%10)
		return i + 3
	}
	d := 1
	for m := n; m >= 10; m /= 10 {
		d++
	}
	for j := i + d - 1; j >= i; j-- {
		b[j] = byte('0' + n%10)
		n /= 10
	}
	return i + d
}

// AppendSub renders SUB; queue may be empty.
func AppendSub(b []byte, subject, queue string, sid uint64) []byte {
	b = append(b, "SUB "...)
	b = append(b, subject...)
	b = append(b, ' ')
	if queue != "" {
		b = append(b, queue...)
		b = append(b, ' ')
	}
	b = strconv.AppendUint(b, sid, 10)
	return append(b, "\r\n"...)
}

// AppendUnsub renders UNSUB; max is the total number of messages after which
// the server ends the subscription, 0 ends it at once.
func AppendUnsub(b []byte, sid uint64, max uint64) []byte {
	b = append(b, "UNSUB "...)
	b = strconv.AppendUint(b, sid, 10)
	if max > 0 {
		b = append(b, ' ')
		b = strconv.AppendUint(b, max, 10)
	}
	return append(b, "\r\n"...)
}

// AppendConnect renders CONNECT with its JSON document.
func AppendConnect(b, document []byte) []byte {
	b = append(b, "CONNECT "...)
	b = append(b, document...)
	return append(b, "\r\n"...)
}
