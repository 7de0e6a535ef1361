package wire

import "bytes"

// Kind is the operation of a frame that a server sends.
type Kind uint8

// The operations. MSG and HMSG are one kind: HMSG has a HeaderLen.
const (
	KindNone Kind = iota
	KindMsg
	KindInfo
	KindPing
	KindPong
	KindOK
	KindErr
)

// String returns the operation's name on the wire.
func (k Kind) String() string {
	switch k {
	case KindMsg:
		return "MSG"
	case KindInfo:
		return "INFO"
	case KindPing:
		return "PING"
	case KindPong:
		return "PONG"
	case KindOK:
		return "+OK"
	case KindErr:
		return "-ERR"
	}
	return "none"
}

// Frame describes one operation by offsets from its first byte. Offsets rather
// than slices keep it free of pointers: a batch of frames costs the garbage
// collector nothing.
type Frame struct {
	Kind Kind
	SID  uint64 // MSG: the subscription

	Len  int // of the whole frame, the final CR LF included; see Parser.Parse
	Body int // where header and payload start, or the text of INFO and -ERR
	Size int // of header and payload, or of the text

	HeaderLen           int // of the header block, 0 without one
	Subject, SubjectLen int
	Reply, ReplyLen     int
}

// Limits on what a server may send. They are far above what one does send.
const (
	MaxInfoLine    = 1 << 20  // INFO grows with the cluster
	MaxControlLine = 64 << 10 // any other line
	// DefaultMaxPayload bounds header and payload of a message.
	DefaultMaxPayload = 64 << 20
)

// Error is a violation of the protocol by the server. It never holds bytes of
// the stream: they may be somebody's payload.
type Error struct{ Problem string }

func (e *Error) Error() string { return "protocol violation: " + e.Problem }

// Parser reads frames from the start of a growing buffer. One parser serves one
// connection, from its first byte to its last; it must not be shared.
type Parser struct {
	// MaxPayload bounds header and payload of a message; 0 is DefaultMaxPayload.
	MaxPayload int

	// scanned is how much of the unfinished control line is known to hold no
	// line feed, so that a line that trickles in is looked at once, not once
	// a byte.
	scanned int
}

// Parse reads the frame at the start of b into f.
//
// It returns false when b does not hold the whole frame yet; call it again with
// the same bytes and more behind them. f.Len is then the length of the whole
// frame if its control line is complete, else 0. f.Len counts from b[0] in
// either case. An error is final: the stream cannot be trusted any more.
func (p *Parser) Parse(b []byte, f *Frame) (bool, error) {
	eol := bytes.IndexByte(b[p.scanned:], '\n')
	if eol < 0 {
		p.scanned = len(b)
		f.Len = 0
		return false, checkLine(b)
	}
	eol += p.scanned
	if eol < 3 || b[eol-1] != '\r' {
		return false, &Error{"control line does not end in CR LF"}
	}
	if eol > MaxControlLine {
		if err := checkLine(b[:eol]); err != nil {
			return false, err
		}
	}

	var err error
	if b[0] == 'M' || b[0] == 'H' || b[0] == 'm' || b[0] == 'h' {
		if !f.fastMsg(b, eol) {
			err = f.slowMsg(b, eol)
		}
		if err == nil && f.Size > p.maxPayload() {
			err = &Error{"message is larger than the limit"}
		}
		if err != nil {
			return false, err
		}
		if f.Len > len(b) {
			p.scanned = eol // found at once next time
			return false, nil
		}
		p.scanned = 0
		if b[f.Len-2] != '\r' || b[f.Len-1] != '\n' {
			return false, &Error{"payload does not end where its size says"}
		}
		return true, nil
	}
	p.scanned = 0
	if err := f.other(b[:eol-1]); err != nil {
		return false, err
	}
	f.Len = eol + 1
	return true, nil
}

// Passed makes the parser ready for what follows a message of which it saw the
// control line only: somebody else read the rest.
func (p *Parser) Passed() { p.scanned = 0 }

func (p *Parser) maxPayload() int {
	if p.MaxPayload > 0 {
		return p.MaxPayload
	}
	return DefaultMaxPayload
}

// fastMsg reads MSG and HMSG lines as servers write them: capitals and single
// spaces. It reports false for anything else and leaves the verdict to slowMsg.
func (f *Frame) fastMsg(b []byte, eol int) bool {
	i := 4
	header := false
	switch {
	case b[0] == 'M' && b[1] == 'S' && b[2] == 'G' && b[3] == ' ':
	case eol > 5 && b[0] == 'H' && b[1] == 'M' && b[2] == 'S' && b[3] == 'G' && b[4] == ' ':
		i, header = 5, true
	default:
		return false
	}
	size, e, ok := numberBefore(b, eol-1)
	if !ok {
		return false
	}
	hlen := 0
	if header {
		if hlen, e, ok = numberBefore(b, e); !ok || hlen > size {
			return false
		}
	}
	if e <= i || bytes.IndexByte(b[i:e], '\t') >= 0 {
		return false
	}
	n := bytes.IndexByte(b[i:e], ' ')
	if n <= 0 {
		return false
	}
	f.Subject, f.SubjectLen = i, n
	i += n + 1
	var sid uint64
	start := i
	for ; i < e; i++ {
		d := b[i] - '0'
		if d > 9 {
			break
		}
		sid = sid*10 + uint64(d)
	}
	if i == start || i-start > 18 {
		return false
	}
	f.Reply, f.ReplyLen = 0, 0
	if i < e {
		if b[i] != ' ' || i+1 == e || bytes.IndexByte(b[i+1:e], ' ') >= 0 {
			return false
		}
		f.Reply, f.ReplyLen = i+1, e-i-1
	}
	f.Kind, f.SID = KindMsg, sid
	f.Size, f.HeaderLen = size, hlen
	f.Body = eol + 1
	f.Len = eol + 1 + size + 2
	return true
}

// numberBefore reads the decimal number that ends before b[end], backwards to
// the space in front of it, and returns that space's position. Nine digits are
// beyond every limit, and fit an int everywhere.
func numberBefore(b []byte, end int) (n, space int, ok bool) {
	mul := 1
	i := end - 1
	for ; i >= 0; i-- {
		d := b[i] - '0'
		if d > 9 {
			break
		}
		if end-i > 9 {
			return 0, 0, false
		}
		n += int(d) * mul
		mul *= 10
	}
	return n, i, i >= 0 && i < end-1 && b[i] == ' '
}

// slowMsg reads any legal MSG or HMSG line: other case, runs of spaces and
// tabs. It decides what an illegal one is told.
func (f *Frame) slowMsg(b []byte, eol int) error {
	line := b[:eol-1]
	header := line[0] == 'H' || line[0] == 'h'
	op := 3
	if header {
		op = 4
	}
	if len(line) <= op || !isSpace(line[op]) || !equalFold(line[op-3:op], "MSG") {
		return &Error{"unknown operation"}
	}
	var args [5][2]int // start and end of each argument
	n := 0
	for i := op; i < len(line); {
		if isSpace(line[i]) {
			i++
			continue
		}
		start := i
		for i < len(line) && !isSpace(line[i]) {
			i++
		}
		if n == len(args) {
			return &Error{"message with too many arguments"}
		}
		args[n] = [2]int{start, i}
		n++
	}
	want := 3
	if header {
		want = 4
	}
	if n != want && n != want+1 {
		return &Error{"message with the wrong number of arguments"}
	}
	arg := func(i int) []byte { return line[args[i][0]:args[i][1]] }

	size, ok := number(arg(n-1), 9)
	if !ok {
		return &Error{"message with a bad size"}
	}
	hlen := uint64(0)
	if header {
		if hlen, ok = number(arg(n-2), 9); !ok || hlen > size {
			return &Error{"message with a bad header size"}
		}
	}
	sid, ok := number(arg(1), 18)
	if !ok {
		return &Error{"message with a bad subscription id"}
	}
	f.Subject, f.SubjectLen = args[0][0], args[0][1]-args[0][0]
	f.Reply, f.ReplyLen = 0, 0
	if n == want+1 {
		f.Reply, f.ReplyLen = args[2][0], args[2][1]-args[2][0]
	}
	f.Kind, f.SID = KindMsg, sid
	f.Size, f.HeaderLen = int(size), int(hlen)
	f.Body = eol + 1
	f.Len = eol + 1 + int(size) + 2
	return nil
}

// other reads every operation but MSG and HMSG from its line without CR LF.
func (f *Frame) other(line []byte) error {
	*f = Frame{}
	switch line[0] {
	case 'P', 'p':
		switch {
		case isBare(line, "PING"):
			f.Kind = KindPing
			return nil
		case isBare(line, "PONG"):
			f.Kind = KindPong
			return nil
		}
	case '+':
		if isBare(line, "+OK") {
			f.Kind = KindOK
			return nil
		}
	case '-':
		if rest, ok := afterOp(line, "-ERR"); ok {
			f.Kind = KindErr
			text := bytes.TrimSpace(line[rest:])
			f.Body = rest + bytes.Index(line[rest:], text)
			f.Size = len(text)
			if len(text) >= 2 && text[0] == '\'' && text[len(text)-1] == '\'' {
				f.Body++
				f.Size -= 2
			}
			return nil
		}
	case 'I', 'i':
		if rest, ok := afterOp(line, "INFO"); ok {
			f.Kind = KindInfo
			f.Body, f.Size = rest, len(line)-rest
			return nil
		}
	}
	return &Error{"unknown operation"}
}

// checkLine holds a control line, finished or not, against the limits and
// against the operations there are, so that a stream of rubbish without a line
// feed ends early.
func checkLine(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	limit := MaxControlLine
	switch b[0] {
	case 'I', 'i':
		limit = MaxInfoLine
	case 'M', 'm', 'H', 'h', 'P', 'p', '+', '-':
	default:
		return &Error{"unknown operation"}
	}
	if len(b) > limit {
		return &Error{"control line is too long"}
	}
	return nil
}

// isBare reports whether line is op and nothing else but blanks behind it.
func isBare(line []byte, op string) bool {
	if len(line) < len(op) || !equalFold(line[:len(op)], op) {
		return false
	}
	for _, c := range line[len(op):] {
		if !isSpace(c) {
			return false
		}
	}
	return true
}

// afterOp reports whether line is op, blanks and more, and where that starts.
func afterOp(line []byte, op string) (int, bool) {
	if len(line) <= len(op) || !equalFold(line[:len(op)], op) || !isSpace(line[len(op)]) {
		return 0, false
	}
	i := len(op)
	for i < len(line) && isSpace(line[i]) {
		i++
	}
	return i, true
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' }

// equalFold compares ASCII without regard to case; op is in capitals.
func equalFold(b []byte, op string) bool {
	for i := range op {
		c := b[i]
		if 'a' <= c && c <= 'z' {
			c -= 'a' - 'A'
		}
		if c != op[i] {
			return false
		}
	}
	return true
}

// number reads a decimal number of at most digits digits.
func number(b []byte, digits int) (uint64, bool) {
	if len(b) == 0 || len(b) > digits {
		return 0, false
	}
	var n uint64
	for _, c := range b {
		d := c - '0'
		if d > 9 {
			return 0, false
		}
		n = n*10 + uint64(d)
	}
	return n, true
}
