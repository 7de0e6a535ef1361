package reconnect

import (
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/perigee-go/nats/core/internal/wire"
)

// FuzzDiscover: whatever INFO documents say, the pool keeps what the user named
// and the server in use, holds no address twice, and stays bounded.
func FuzzDiscover(f *testing.F) {
	f.Add(`{"connect_urls":["a:1","b:2","c:3"]}`, `{"connect_urls":["c:3"]}`, uint8(0))
	f.Add(`{"connect_urls":["nonsense",":",":1","a:","a:0","a:65536","[::1]:4222","[::1%lo]:1","1.2.3.4:5",""]}`, `{}`, uint8(1))
	f.Add(`{"connect_urls":["user:1","USER:1","named:2","User:1"]}`, `{"connect_urls":[]}`, uint8(2))
	f.Add(`{"connect_urls":null}`, `{"connect_urls":[1]}`, uint8(3))
	f.Add(`{"connect_urls":["a:1"`+strings.Repeat(`,"a:2"`, 2000)+`]}`, `{"connect_urls":["b:1"]}`, uint8(0))
	f.Fuzz(func(t *testing.T, first, second string, use uint8) {
		named, err := ParseURLs("nats://user:1, tls://named:2")
		if err != nil {
			t.Fatal(err)
		}
		p := NewPool(slices.Clone(named))
		p.use(p.servers[0])
		for _, doc := range []string{first, second, first} {
			info, err := wire.ParseInfo([]byte(doc))
			if err != nil {
				return
			}
			added, removed := p.Discover(info.ConnectURLs, p.Current())
			checkPool(t, p, named, info.ConnectURLs)
			for _, s := range added {
				if !slices.Contains(p.servers, s) || !s.Discovered {
					t.Fatalf("%s is said to be new and is not", s.Address())
				}
			}
			for _, s := range removed {
				if slices.Contains(p.servers, s) {
					t.Fatalf("%s is said to be gone and is not", s.Address())
				}
			}
			p.use(p.servers[int(use)%len(p.servers)])
		}
	})
}

func checkPool(t *testing.T, p *Pool, named []*Server, urls []string) {
	t.Helper()
	if len(p.servers) > len(named)+maxDiscovered+1 {
		t.Fatalf("%d servers", len(p.servers))
	}
	for _, s := range named {
		if !slices.Contains(p.servers, s) {
			t.Fatalf("%s, which the user named, is gone", s.Address())
		}
	}
	if !slices.Contains(p.servers, p.current) || p.servers[len(p.servers)-1] != p.current {
		t.Fatalf("the server in use, %s, is not the last", p.current.Address())
	}
	for i, s := range p.servers {
		for _, o := range p.servers[:i] {
			if s.same(o) {
				t.Fatalf("%s and %s are one", s.Address(), o.Address())
			}
		}
		host, port, err := net.SplitHostPort(s.Address())
		if err != nil || host == "" || !validPort(port) {
			t.Fatalf("%q can not be dialed", s.Address())
		}
		if s.Discovered && s != p.current && !slices.ContainsFunc(urls, func(u string) bool {
			host, port, err := net.SplitHostPort(u)
			return err == nil && s.same(&Server{Host: host, Port: port})
		}) {
			t.Fatalf("nobody named %q", s.Address())
		}
	}
}
