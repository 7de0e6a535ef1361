package memory

import "testing"

func TestUncleared(t *testing.T) {
	for _, n := range []int{-1, 0, 1, 7, 8, 1000, 3456, 65536, 1 << 20} {
		b := Uncleared(n)
		if len(b) != max(n, 0) || cap(b) != len(b) {
			t.Errorf("%d: length %d, capacity %d", n, len(b), cap(b))
		}
		other := Uncleared(n)
		for i := range b {
			b[i] = 'x'
		}
		for i := range other {
			other[i] = 'y'
		}
		for i := range b {
			if b[i] != 'x' {
				t.Fatalf("%d: shared with another", n)
			}
		}
	}
	if n := testing.AllocsPerRun(100, func() { sink = Uncleared(1000) }); n != 1 {
		t.Errorf("%v allocations", n)
	}
}

var sink []byte
