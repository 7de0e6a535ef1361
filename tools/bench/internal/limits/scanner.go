package limits

import (
	"bytes"
	"io"
	"sync/atomic"
)

// scanner finds the end of each message in a stream of MSG and HMSG frames, and
// nothing else.
type scanner struct {
	buf  []byte
	r, w int // what is unread
}

func newScanner(size int) *scanner { return &scanner{buf: make([]byte, 256<<10+size)} }

// next reads once and returns how many whole messages were found.
func (s *scanner) next(c io.Reader) (int, error) {
	if s.r == s.w {
		s.r, s.w = 0, 0
	} else if len(s.buf)-s.w < 64<<10 {
		s.w = copy(s.buf, s.buf[s.r:s.w])
		s.r = 0
	}
	n, err := c.Read(s.buf[s.w:])
	s.w += n
	found := 0
	for s.r < s.w {
		i := bytes.IndexByte(s.buf[s.r:s.w], '\n')
		if i < 0 {
			break
		}
		line := s.buf[s.r : s.r+i]
		if line[0] != 'M' && line[0] != 'H' {
			s.r += i + 1
			continue
		}
		size := line[bytes.LastIndexByte(line, ' ')+1 : i-1] // before CR
		end := s.r + i + 1 + number(size) + 2
		if end > s.w {
			break
		}
		s.r = end
		found++
	}
	return found, err
}

// collect reads until want messages were found, and counts them.
func (s *scanner) collect(c io.Reader, got *atomic.Int64, want int64) error {
	for got.Load() < want {
		k, err := s.next(c)
		if err != nil {
			return err
		}
		got.Add(int64(k))
	}
	return nil
}

func number(digits []byte) int {
	n := 0
	for _, c := range digits {
		n = n*10 + int(c-'0')
	}
	return n
}
