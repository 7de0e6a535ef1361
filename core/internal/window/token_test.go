package window

import "testing"

// FuzzToken: what is read is what would be written, and nothing else is read.
func FuzzToken(f *testing.F) {
	for _, s := range []string{"0", "1", "v", "10", "fvvvvvvvvvvvv", "gvvvvvvvvvvvv", "00", "", "w", "A", "1.2", "40000g"} {
		f.Add(s, uint64(len(s))<<40)
	}
	f.Fuzz(func(t *testing.T, s string, n uint64) {
		if token, ok := ParseToken(s); ok && string(token.Append(nil)) != s {
			t.Errorf("%q is read as %d, which is written %q", s, token, token.Append(nil))
		}
		b := Token(n).Append(nil)
		if token, ok := ParseToken(string(b)); !ok || token != Token(n) || len(b) > MaxToken {
			t.Errorf("%d is written %q and read as %d, %v", n, b, token, ok)
		}
	})
}

// TestTokensDiffer: a slot that is used again, and a further attempt, have other
// tokens, and the old ones find nothing or are told from the present one.
func TestTokensDiffer(t *testing.T) {
	m := New()
	m.LinkUp()
	i, _ := m.Add(1, 100, Attempts{Policy: &Policy{}})
	first := m.Token(i)
	m.Handed(first, 0, 1)
	m.Stored(i)
	j, _ := m.Add(1, 100, Attempts{Policy: &Policy{Retries: 1}})
	second := m.Token(j)
	m.Handed(second, 0, 1)
	if i != j || first == second {
		t.Fatalf("slots %d and %d, tokens %d and %d", i, j, first, second)
	}
	if _, _, ok := m.Find(first); ok {
		t.Error("a late answer meets another publish")
	}
	if !m.Failed(j, NotHeard, 1, 0, nil) {
		t.Fatal("it is not tried again")
	}
	a := m.Next(1)
	if !a.Send || a.Token == second || a.Token.Slot() != j {
		t.Fatalf("%+v", a)
	}
	if _, present, ok := m.Find(second); present || !ok {
		t.Error("an answer to the attempt before is not told from the present one's")
	}
}
