package wire

import (
	"strconv"
	"strings"
)

// HeaderLine starts every header block, with or without an inline status.
const HeaderLine = "NATS/1.0"

// HeaderPrefix is the first line of a block without an inline status.
const HeaderPrefix = HeaderLine + "\r\n"

// EmptyHeader is the block without fields.
const EmptyHeader = HeaderPrefix + "\r\n"

// HeaderStatus reads the inline status of a block's first line. Code 0 means
// that there is none. Fields of the block are never looked at: they are users'.
func HeaderStatus(block string) (code int, text string) {
	if len(block) <= len(HeaderPrefix) || block[:len(HeaderLine)] != HeaderLine {
		return 0, ""
	}
	line := block[len(HeaderLine):]
	if i := strings.IndexByte(line, '\n'); i >= 0 {
		line = line[:i]
	}
	if line == "" || !isSpace(line[0]) {
		return 0, "" // the end of the line, or of a longer version
	}
	line = strings.Trim(line, " \t\r")
	if len(line) < 3 || len(line) > 3 && !isSpace(line[3]) {
		return 0, ""
	}
	code, err := strconv.Atoi(line[:3])
	if err != nil || code < 100 {
		return 0, ""
	}
	return code, strings.TrimLeft(line[3:], " \t")
}

// HeaderFields returns where the first field of a block is, for NextField.
func HeaderFields(block string) int {
	i := strings.IndexByte(block, '\n')
	if i < 0 {
		return len(block)
	}
	return i + 1
}

// NextField reads the field at block[pos:] and returns the position of the next
// one. It reports false at the block's end. Lines that are no field are passed
// over: a peer may have sent anything. Names keep their case; values lose the
// white space at both ends. Nothing is allocated but for a folded value.
func NextField(block string, pos int) (name, value string, next int, ok bool) {
	for pos < len(block) {
		line, after := cutLine(block, pos)
		if line == "" {
			return "", "", len(block), false
		}
		colon := strings.IndexByte(line, ':')
		pos = after
		if colon <= 0 || isSpace(line[0]) {
			continue
		}
		name, value = line[:colon], strings.Trim(line[colon+1:], " \t")
		for pos < len(block) && isSpace(block[pos]) {
			line, pos = cutLine(block, pos)
			value += " " + strings.Trim(line, " \t")
		}
		return name, value, pos, true
	}
	return "", "", len(block), false
}

// cutLine returns the line at s[pos:] without its end, and where the next one
// starts.
func cutLine(s string, pos int) (line string, next int) {
	i := strings.IndexByte(s[pos:], '\n')
	if i < 0 {
		return strings.TrimSuffix(s[pos:], "\r"), len(s)
	}
	return strings.TrimSuffix(s[pos:pos+i], "\r"), pos + i + 1
}

// LookupField returns the first value of name, which must match exactly.
func LookupField(block, name string) (string, bool) {
	for pos := HeaderFields(block); ; {
		n, v, next, ok := NextField(block, pos)
		if !ok {
			return "", false
		}
		if n == name {
			return v, true
		}
		pos = next
	}
}

// FieldSize is the length of a rendered field.
func FieldSize(name, value string) int { return len(name) + len(value) + 4 }

// AppendField renders one field.
func AppendField(b []byte, name, value string) []byte {
	b = append(b, name...)
	b = append(b, ": "...)
	b = append(b, value...)
	return append(b, "\r\n"...)
}

// CheckName says what is wrong with a field name; "" if it is legal: printable
// ASCII without the colon (ADR-4).
func CheckName(name string) string {
	if name == "" {
		return "the name is empty"
	}
	if all(name, nameByte) {
		return ""
	}
	return "the name has an illegal byte at offset " + strconv.Itoa(first(name, nameByte))
}

// CheckValue says what is wrong with a field value; "" if it is legal: anything
// but line ends and NUL.
func CheckValue(value string) string {
	if all(value, valueByte) {
		return ""
	}
	return "the value has a line end or NUL at offset " + strconv.Itoa(first(value, valueByte))
}

// all reports whether every byte is of the kind. It has no branch a byte.
func all(s string, kind uint8) bool {
	for i := 0; i < len(s); i++ {
		kind &= fieldBytes[s[i]]
	}
	return kind != 0
}

// first is where the first byte is that is not of the kind.
func first(s string, kind uint8) int {
	for i := 0; i < len(s); i++ {
		if fieldBytes[s[i]]&kind == 0 {
			return i
		}
	}
	return len(s)
}

const (
	nameByte = 1 << iota
	valueByte
)

// fieldBytes says where a byte is legal.
var fieldBytes = func() (t [256]uint8) {
	for c := range t {
		if c > ' ' && c < 0x7f && c != ':' {
			t[c] |= nameByte
		}
		if c != '\r' && c != '\n' && c != 0 {
			t[c] |= valueByte
		}
	}
	return
}()
