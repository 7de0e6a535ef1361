package nats

import (
	"iter"
	"strings"
	"unsafe"

	"github.com/perigee-go/nats/core/internal/wire"
)

// Header is an ordered multimap of the fields of a message, as ADR-4 has it.
//
// It has value semantics: the zero value is ready, a copy never sees later
// changes of the other. Names keep their case and match exactly; values lose
// the white space at both ends, as on the wire. A header is two words over its
// wire bytes: one that arrived costs nothing until it is read, and Get, Lookup
// and All allocate nothing. Set, Add and Del make new bytes, one allocation
// each; NewHeader makes all fields with one.
//
// Methods that only read are safe for concurrent use. On a nil *Header, as in an
// Operation without headers, those that change do nothing.
type Header struct {
	// wire is a complete block, from NATS/1.0 to the empty line; empty without
	// fields. After an illegal Set or Add it is poison, what was wrong, and
	// the block so far: see poisoned.
	wire string
}

// NewHeader makes a header of name, value pairs. Illegal input is a
// *HeaderError; so is an odd number of arguments.
func NewHeader(nameValues ...string) (Header, error) {
	if len(nameValues) == 0 {
		return Header{}, nil
	}
	if len(nameValues)%2 != 0 {
		return Header{}, &HeaderError{nameValues[len(nameValues)-1], "a name without a value"}
	}
	size := len(wire.EmptyHeader)
	for i := 0; i < len(nameValues); i += 2 {
		if err := checkField(nameValues[i], nameValues[i+1]); err != nil {
			return Header{}, err
		}
		size += wire.FieldSize(nameValues[i], nameValues[i+1])
	}
	b := make([]byte, 0, size)
	b = append(b, wire.HeaderPrefix...)
	for i := 0; i < len(nameValues); i += 2 {
		b = wire.AppendField(b, nameValues[i], trimBlanks(nameValues[i+1]))
	}
	b = append(b, "\r\n"...)
	return Header{unsafe.String(unsafe.SliceData(b), len(b))}, nil // nobody else has b
}

// trimBlanks takes the white space off both ends.
func trimBlanks(s string) string {
	if s == "" || s[0] > ' ' && s[len(s)-1] > ' ' {
		return s
	}
	return strings.Trim(s, " \t")
}

func writeField(b *strings.Builder, name, value string) {
	b.WriteString(name)
	b.WriteString(": ")
	b.WriteString(trimBlanks(value))
	b.WriteString("\r\n")
}

func checkField(name, value string) error {
	if p := wire.CheckName(name); p != "" {
		return &HeaderError{name, p}
	}
	if p := wire.CheckValue(value); p != "" {
		return &HeaderError{name, p}
	}
	return nil
}

// Get returns the first value of name, or "".
func (h Header) Get(name string) string {
	v, _ := h.Lookup(name)
	return v
}

// Lookup returns the first value of name and whether there is one.
func (h Header) Lookup(name string) (string, bool) { return wire.LookupField(h.block(), name) }

// Values returns all values of name in order; nil if there is none.
func (h Header) Values(name string) []string {
	var vs []string
	for n, v := range h.All() {
		if n == name {
			vs = append(vs, v)
		}
	}
	return vs
}

// All yields the fields in the order of the wire.
func (h Header) All() iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		block := h.block()
		for pos := wire.HeaderFields(block); ; {
			name, value, next, ok := wire.NextField(block, pos)
			if !ok || !yield(name, value) {
				return
			}
			pos = next
		}
	}
}

// Len is the number of fields.
func (h Header) Len() int {
	n := 0
	for range h.All() {
		n++
	}
	return n
}

// Clone returns a copy with memory of its own; see Msg.Clone.
func (h Header) Clone() Header { return Header{strings.Clone(h.wire)} }

// Set replaces all values of name by one, in the place of the first. Illegal
// input is kept for Err and refused when the message is published.
func (h *Header) Set(name, value string) { h.edit(name, value, true, true) }

// Add appends a field. Illegal input is kept for Err and refused when the
// message is published.
func (h *Header) Add(name, value string) { h.edit(name, value, false, true) }

// Del removes all values of name.
func (h *Header) Del(name string) { h.edit(name, "", true, false) }

func (h *Header) edit(name, value string, replace, put bool) {
	if h == nil || h.Err() != nil {
		return
	}
	if put {
		if err := checkField(name, value); err != nil {
			h.poison(err.(*HeaderError))
			return
		}
	}
	var b strings.Builder
	b.Grow(max(len(h.wire), len(wire.EmptyHeader)) + wire.FieldSize(name, value))
	b.WriteString(wire.HeaderPrefix)
	fields := 0
	for n, v := range h.All() {
		if replace && n == name {
			if !put {
				continue
			}
			v, put = value, false
		}
		writeField(&b, n, v)
		fields++
	}
	if put {
		writeField(&b, name, value)
		fields++
	}
	if fields == 0 {
		h.wire = ""
		return
	}
	b.WriteString("\r\n")
	h.wire = b.String()
}

// Err returns the *HeaderError of the first illegal Set or Add, or nil.
func (h Header) Err() error {
	if !h.poisoned() {
		return nil
	}
	name, rest, _ := strings.Cut(h.wire[1:], "\x00")
	problem, _, _ := strings.Cut(rest, "\x00")
	return &HeaderError{name, problem}
}

// poison keeps what was wrong in front of the block. A legal block starts with
// N, so the NUL cannot be mistaken.
func (h *Header) poison(e *HeaderError) {
	h.wire = "\x00" + strings.ReplaceAll(e.Name, "\x00", "\uFFFD") + "\x00" + e.Problem + "\x00" + h.wire
}

func (h Header) poisoned() bool { return h.wire != "" && h.wire[0] == 0 }

// block is the wire form without poison.
func (h Header) block() string {
	if !h.poisoned() {
		return h.wire
	}
	s := h.wire
	for range 3 {
		_, s, _ = strings.Cut(s, "\x00")
	}
	return s
}

// outgoing is the block to publish, or empty. An inline status belongs to the
// message that brought it and is not sent on. A block that arrived without its
// end is made whole.
func (h Header) outgoing() (string, error) {
	if h.wire == "" {
		return "", nil
	}
	if err := h.Err(); err != nil {
		return "", err
	}
	if strings.HasPrefix(h.wire, wire.HeaderPrefix) && strings.HasSuffix(h.wire, "\r\n\r\n") {
		if h.wire == wire.EmptyHeader {
			return "", nil
		}
		return h.wire, nil
	}
	var clean Header
	for n, v := range h.All() {
		clean.Add(n, v)
	}
	return clean.wire, clean.Err()
}

// MarshalText returns the wire form: the block with its first and last line,
// empty without fields. It fails as Err does.
func (h Header) MarshalText() ([]byte, error) {
	if err := h.Err(); err != nil {
		return nil, err
	}
	return []byte(h.wire), nil
}

// UnmarshalText reads the wire form. Lines that are no field are left out.
func (h *Header) UnmarshalText(text []byte) error {
	if h == nil {
		return &HeaderError{"", "there is no Header to read it into"}
	}
	if len(text) == 0 {
		h.wire = ""
		return nil
	}
	block := string(text)
	if !strings.HasPrefix(block, wire.HeaderLine) {
		return &HeaderError{"", "the block does not start with " + wire.HeaderLine}
	}
	var clean Header
	for n, v := range (Header{block}).All() {
		clean.Add(n, v)
	}
	if err := clean.Err(); err != nil {
		return err
	}
	h.wire = clean.wire
	return nil
}
