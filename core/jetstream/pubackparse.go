package jetstream

import "math"

// parsePubAck reads a receipt as servers write it. What is anything else, an
// error or a field that is seldom there, is left to the JSON decoder. A stream or
// domain that is the one in last is not allocated.
func parsePubAck(b []byte, last *PubAck) (ack PubAck, ok bool) {
	r := ackReader{b: b}
	if !r.byte('{') {
		return PubAck{}, false
	}
	for first := true; !r.byte('}'); first = false {
		if !first && !r.byte(',') {
			return PubAck{}, false
		}
		key, ok := r.text()
		if !ok || !r.byte(':') {
			return PubAck{}, false
		}
		var text []byte
		switch string(key) {
		case "stream":
			text, ok = r.text()
			ack.Stream = same(text, last, func(a *PubAck) string { return a.Stream })
		case "domain":
			text, ok = r.text()
			ack.Domain = same(text, last, func(a *PubAck) string { return a.Domain })
		case "seq":
			ack.Sequence, ok = r.number()
		case "duplicate":
			ack.Duplicate, ok = r.bool()
		default:
			ok = false
		}
		if !ok {
			return PubAck{}, false
		}
	}
	r.blanks()
	return ack, len(r.b) == 0 && ack.Stream != ""
}

func same(text []byte, last *PubAck, field func(*PubAck) string) string {
	if last != nil {
		if known := field(last); string(text) == known {
			return known
		}
	}
	return string(text)
}

// ackReader reads JSON of the plainest kind.
type ackReader struct{ b []byte }

func (r *ackReader) blanks() {
	for len(r.b) > 0 && (r.b[0] == ' ' || r.b[0] == '\n' || r.b[0] == '\r' || r.b[0] == '\t') {
		r.b = r.b[1:]
	}
}

// byte takes c, with blanks before it, if it is next.
func (r *ackReader) byte(c byte) bool {
	r.blanks()
	if len(r.b) == 0 || r.b[0] != c {
		return false
	}
	r.b = r.b[1:]
	return true
}

// text takes a string of printable ASCII without escapes.
func (r *ackReader) text() ([]byte, bool) {
	if !r.byte('"') {
		return nil, false
	}
	for i, c := range r.b {
		switch {
		case c == '"':
			text := r.b[:i]
			r.b = r.b[i+1:]
			return text, true
		case c < ' ' || c > '~' || c == '\\':
			return nil, false
		}
	}
	return nil, false
}

// number takes a number that fits.
func (r *ackReader) number() (n uint64, ok bool) {
	r.blanks()
	i := 0
	for ; i < len(r.b) && '0' <= r.b[i] && r.b[i] <= '9'; i++ {
		d := uint64(r.b[i] - '0')
		if n > (math.MaxUint64-d)/10 || i == 1 && r.b[0] == '0' {
			return 0, false
		}
		n = n*10 + d
	}
	r.b = r.b[i:]
	return n, i > 0
}

func (r *ackReader) bool() (v, ok bool) {
	r.blanks()
	for _, word := range []string{"true", "false"} {
		if len(r.b) >= len(word) && string(r.b[:len(word)]) == word {
			r.b = r.b[len(word):]
			return word == "true", true
		}
	}
	return false, false
}
