// Package subject knows what a legal NATS subject is.
package subject

import "strconv"

// class sorts bytes: 0 is ordinary.
var class = func() (c [256]byte) {
	for b := 0; b <= ' '; b++ {
		c[b] = illegal
	}
	c[0x7f] = illegal
	c['.'] = dot
	c['*'] = star
	c['>'] = star
	return
}()

const (
	illegal = 1 + iota
	dot
	star
)

// CheckPublish says what is wrong with a subject to publish to; "" if it is
// legal: tokens without white space or control bytes, none empty, none a
// wildcard.
func CheckPublish(s string) string {
	if s == "" {
		return "it is empty"
	}
	start := 0 // of the current token
	for i := 0; i < len(s); i++ {
		c := class[s[i]]
		if c == 0 {
			continue
		}
		if p := publishProblem(s, start, i, c); p != "" {
			return p
		}
		if c == dot {
			start = i + 1
		}
	}
	if start == len(s) {
		return "it ends in a dot"
	}
	return ""
}

func publishProblem(s string, start, i int, c byte) string {
	switch c {
	case illegal:
		return "white space or a control byte at offset " + strconv.Itoa(i)
	case dot:
		if i == start {
			return "an empty token at offset " + strconv.Itoa(i)
		}
	case star:
		if i == start && (i+1 == len(s) || s[i+1] == '.') {
			return "a wildcard at offset " + strconv.Itoa(i)
		}
	}
	return ""
}

// CheckSubscribe says what is wrong with a subject to subscribe to; "" if it is
// legal: as for CheckPublish, but a token may be * and the last one >.
func CheckSubscribe(s string) string {
	if s == "" {
		return "it is empty"
	}
	start := 0
	for i := 0; i < len(s); i++ {
		switch class[s[i]] {
		case illegal:
			return "white space or a control byte at offset " + strconv.Itoa(i)
		case dot:
			if i == start {
				return "an empty token at offset " + strconv.Itoa(i)
			}
			start = i + 1
		case star:
			if s[i] == '>' && i == start && i+1 < len(s) && s[i+1] == '.' {
				return "> before the last token at offset " + strconv.Itoa(i)
			}
		}
	}
	if start == len(s) {
		return "it ends in a dot"
	}
	return ""
}

// CheckQueue says what is wrong with the name of a queue group; "" if it is
// legal: not empty, no white space or control bytes.
func CheckQueue(s string) string {
	if s == "" {
		return "it is empty"
	}
	for i := 0; i < len(s); i++ {
		if class[s[i]] == illegal {
			return "white space or a control byte at offset " + strconv.Itoa(i)
		}
	}
	return ""
}

// Match reports whether the literal subject s is covered by pattern.
func Match(pattern, s string) bool {
	for {
		pt, prest, pmore := cutToken(pattern)
		st, srest, smore := cutToken(s)
		if pt == ">" && !pmore {
			return st != ""
		}
		if pt != "*" && pt != st || st == "" {
			return false
		}
		if !pmore || !smore {
			return pmore == smore
		}
		pattern, s = prest, srest
	}
}

// HasWildcard reports whether a token of s is a wildcard.
func HasWildcard(s string) bool {
	for more := true; more; {
		var tok string
		tok, s, more = cutToken(s)
		if tok == "*" || tok == ">" {
			return true
		}
	}
	return false
}

func cutToken(s string) (token, rest string, more bool) {
	for i := 0; i < len(s); i++ {
		if s[i] == '.' {
			return s[:i], s[i+1:], true
		}
	}
	return s, "", false
}
