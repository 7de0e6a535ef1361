package reconnect

import (
	"fmt"
	"math/rand/v2"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"testing"
)

func pool(t *testing.T, urls string) *Pool {
	t.Helper()
	s, err := ParseURLs(urls)
	if err != nil {
		t.Fatal(err)
	}
	return NewPool(s)
}

func (p *Pool) list() string {
	var out []string
	for _, s := range p.servers {
		a := s.Address()
		if s.Discovered {
			a = "(" + a + ")"
		}
		if s == p.current {
			a += "*"
		}
		out = append(out, a)
	}
	return strings.Join(out, " ")
}

func addresses(ss []*Server) string {
	var out []string
	for _, s := range ss {
		out = append(out, s.Address())
	}
	return strings.Join(out, " ")
}

func TestPool(t *testing.T) {
	p := pool(t, "a:1,b:1,a:1,a:2")
	if got := p.list(); got != "a:1 b:1 a:2" {
		t.Errorf("new: %s", got)
	}
	if p.Current() != nil {
		t.Error("nothing is in use yet")
	}
	p.use(p.servers[0])
	if got := p.list(); got != "b:1 a:2 a:1*" {
		t.Errorf("use: %s", got)
	}
	p.use(p.servers[2])
	if got := p.list(); got != "b:1 a:2 a:1*" {
		t.Errorf("use again: %s", got)
	}
	p.Shuffle(func(n int, swap func(i, j int)) {
		if n != 3 {
			t.Errorf("shuffle of %d", n)
		}
		swap(0, 1)
	})
	if got := p.list(); got != "a:2 b:1 a:1*" {
		t.Errorf("shuffled: %s", got)
	}
}

func TestDiscover(t *testing.T) {
	p := pool(t, "tls://u:p@a:1,tls://b:1")
	p.use(p.servers[0])
	from := p.Current()
	from.TLSName = "cluster.example"

	added, removed := p.Discover([]string{"a:1", "c:1", "10.0.0.1:4", "[::1]:5", "c:1", "bad", ":1", "x:", "a:b:c", "", "p:x", "p:0", "p:65536"}, from)
	if got := addresses(added); got != "c:1 10.0.0.1:4 [::1]:5" || removed != nil {
		t.Errorf("added %s, removed %s", got, addresses(removed))
	}
	if got := p.list(); got != "b:1 (c:1) (10.0.0.1:4) ([::1]:5) a:1*" {
		t.Errorf("%s", got)
	}
	for _, s := range added {
		want := s.Host
		if s.Host != "c" {
			want = "cluster.example" // no certificate has an IP
		}
		if s.TLSName != want || s.Scheme != "tls" || s.User.String() != "u:p" {
			t.Errorf("%+v", s)
		}
	}
	// The list is replaced whole; what the user named and what is in use stays.
	p.use(added[0])
	added, removed = p.Discover([]string{"d:1"}, p.Current())
	if addresses(added) != "d:1" || addresses(removed) != "10.0.0.1:4 [::1]:5" {
		t.Errorf("added %s, removed %s", addresses(added), addresses(removed))
	}
	if got := p.list(); got != "b:1 a:1 (d:1) (c:1)*" {
		t.Errorf("%s", got)
	}
	p.use(p.servers[0])
	if _, removed = p.Discover([]string{"d:1"}, p.Current()); addresses(removed) != "c:1" {
		t.Errorf("removed %s", addresses(removed))
	}
	if added, removed = p.Discover([]string{"d:1"}, p.Current()); added != nil || removed != nil {
		t.Error("the same list changed something")
	}
	if _, removed = p.Discover(nil, p.Current()); addresses(removed) != "d:1" {
		t.Errorf("removed %s", addresses(removed))
	}
}

// A25: an INFO cannot fill the memory, and departed servers are forgotten.
func TestDiscoverIsBounded(t *testing.T) {
	p := pool(t, "a:1")
	p.use(p.servers[0])
	var many []string
	for i := range 3000 {
		many = append(many, fmt.Sprintf("h%d:1", i))
	}
	p.Discover(many, p.Current())
	if len(p.servers) != 1+maxDiscovered {
		t.Errorf("%d servers", len(p.servers))
	}
	for i := range 200 {
		p.Discover([]string{fmt.Sprintf("pod%d:1", i), fmt.Sprintf("pod%d:1", i+1)}, p.Current())
		if len(p.servers) != 3 {
			t.Fatalf("%d servers", len(p.servers))
		}
	}
}

func TestReplace(t *testing.T) {
	p := pool(t, "a:1,b:1,c:1")
	p.use(p.servers[1])
	p.Discover([]string{"d:1", "e:1"}, p.Current())
	a, b, d := p.servers[0], p.Current(), p.servers[2]
	a.Attempts = 7
	if !d.Discovered {
		t.Fatal(p.list())
	}
	s, _ := ParseURLs("d:1,tls://new:pw@a:1,f:1,a:1")
	p.Replace(s)
	if got := p.list(); got != "d:1 a:1 f:1" {
		t.Errorf("%s", got)
	}
	if p.servers[0] != d || p.servers[1] != a || a.Attempts != 7 || a.Scheme != "tls" || a.User.String() != "new:pw" {
		t.Errorf("%+v", a)
	}
	if p.Current() != b {
		t.Error("the server in use is another")
	}
	// It is gone from the list for good when another is used.
	p.use(a)
	if got := p.list(); got != "d:1 f:1 a:1*" {
		t.Errorf("%s", got)
	}
	p.Replace(nil)
	if got := p.list(); got != "" {
		t.Errorf("%s", got)
	}
}

// Random lists: no address twice, the user's servers stay, the order is that of
// use, the one in use is never lost.
func TestPoolRandomly(t *testing.T) {
	seed := rand.Uint64()
	t.Log("seed", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	p := pool(t, "u1:1,u2:1,u3:1")
	own := slices.Clone(p.servers)
	for range 20000 {
		switch rng.IntN(3) {
		case 0:
			p.use(p.servers[rng.IntN(len(p.servers))])
		default:
			if p.Current() == nil {
				continue
			}
			var list []string
			for range rng.IntN(6) {
				list = append(list, fmt.Sprintf("h%d:1", rng.IntN(8)))
				if rng.IntN(10) == 0 {
					list = append(list, "u2:1")
				}
			}
			p.Discover(list, p.Current())
			for _, a := range list {
				if !slices.ContainsFunc(p.servers, func(s *Server) bool { return s.Address() == a }) {
					t.Fatalf("%s is missing: %s", a, p.list())
				}
			}
		}
		seen := map[string]bool{}
		for _, s := range p.servers {
			if seen[s.Address()] {
				t.Fatalf("twice: %s", p.list())
			}
			seen[s.Address()] = true
		}
		for _, s := range own {
			if !slices.Contains(p.servers, s) || s.Discovered {
				t.Fatalf("a server of the user is gone: %s", p.list())
			}
		}
		if c := p.Current(); c != nil && p.servers[len(p.servers)-1] != c {
			t.Fatalf("the server in use is not the last: %s", p.list())
		}
	}
}

func TestServerShowsNoSecret(t *testing.T) {
	s := &Server{Scheme: "nats", Host: "::1", Port: "1", User: url.UserPassword("u", "s3cret")}
	if s.URL() != "nats://[::1]:1" || s.Address() != "[::1]:1" {
		t.Errorf("%s %s", s.URL(), s.Address())
	}
}

// reliability A25: a million addresses that come and go leave nothing behind.
func TestPoolForgets(t *testing.T) {
	const atATime = 50
	p := pool(t, "a:1,b:1")
	p.use(p.servers[0])
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	var before uint64
	n := 0
	for round := range 1_000_000 / atATime {
		var named []string
		for range atATime {
			named = append(named, fmt.Sprintf("pod-%d:4222", n))
			n++
		}
		p.Discover(named, p.Current())
		if round%7 == 0 { // one of them is in use when it leaves
			p.use(p.servers[round%len(p.servers)])
		}
		if len(p.servers) > atATime+3 {
			t.Fatalf("%d servers after %d addresses", len(p.servers), n)
		}
		if n == 100_000 {
			before = heap()
		}
	}
	if after := heap(); after > before+1<<20 {
		t.Errorf("heap: %d bytes after 100,000 addresses, %d after %d", before, after, n)
	}
	// However many a server names at once, the pool has a limit.
	var named []string
	for i := range 10 * maxDiscovered {
		named = append(named, fmt.Sprintf("all-%d:4222", i))
	}
	p.Discover(named, p.Current())
	if len(p.servers) > maxDiscovered+3 {
		t.Errorf("%d servers", len(p.servers))
	}
}
