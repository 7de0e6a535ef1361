package window

// Token names an attempt of a publish in its reply subject: a slot, its
// generation, so that a late answer never meets another publish, and the attempt,
// so that a late refusal does not end the next one.
type Token uint64

const (
	slotBits    = 20
	attemptBits = 4
	attemptMask = 1<<attemptBits - 1
	genMask     = 1<<(64-slotBits-attemptBits) - 1
)

func (t Token) slot() int      { return int(t & (1<<slotBits - 1)) }
func (t Token) attempt() uint8 { return uint8(t >> slotBits & attemptMask) }
func (t Token) gen() uint64    { return uint64(t >> (slotBits + attemptBits)) }

// Slot is the slot that it names.
func (t Token) Slot() int { return t.slot() }

// Token names the present attempt of a publish.
func (m *Machine) Token(i int) Token {
	s := &m.slots[i]
	return Token(s.gen<<(slotBits+attemptBits) | uint64(s.attempt&attemptMask)<<slotBits | uint64(i))
}

const digits = "0123456789abcdefghijklmnopqrstuv"

// MaxToken is the most bytes that Append appends.
const MaxToken = 13

// Append appends the token: up to 13 letters and digits.
func (t Token) Append(b []byte) []byte {
	shift := 60
	for shift > 0 && t>>shift == 0 {
		shift -= 5
	}
	for ; shift >= 0; shift -= 5 {
		b = append(b, digits[t>>shift&31])
	}
	return b
}

// ParseToken reads what Append wrote, and nothing else.
func ParseToken(s string) (t Token, ok bool) {
	if len(s) == 0 || len(s) > MaxToken || len(s) > 1 && s[0] == '0' || len(s) == MaxToken && s[0] > 'f' {
		return 0, false
	}
	for i := range len(s) {
		c := s[i]
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'v':
			c -= 'a' - 10
		default:
			return 0, false
		}
		t = t<<5 | Token(c)
	}
	return t, true
}
