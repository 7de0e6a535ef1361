package reconnect

import (
	"fmt"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/perigee-go/nats/core/internal/leakcheck"
)

func TestMain(m *testing.M) { os.Exit(leakcheck.Main(m)) }

func TestParseURL(t *testing.T) {
	for _, c := range []struct{ in, url, user, tlsName string }{
		{"host", "nats://host:4222", "", "host"},
		{"host:1", "nats://host:1", "", "host"},
		{"nats://host", "nats://host:4222", "", "host"},
		{"nats://host:65535", "nats://host:65535", "", "host"},
		{"nats://host:4222/", "nats://host:4222", "", "host"},
		{"NATS://host", "nats://host:4222", "", "host"},
		{"tls://host:1", "tls://host:1", "", "host"},
		{"host:", "nats://host:4222", "", "host"},
		{"127.0.0.1", "nats://127.0.0.1:4222", "", "127.0.0.1"},
		{"[::1]", "nats://[::1]:4222", "", "::1"},
		{"[::1]:1", "nats://[::1]:1", "", "::1"},
		{"nats://[2001:db8::1]:1", "nats://[2001:db8::1]:1", "", "2001:db8::1"},
		{"nats://u:p@[fe80::1%25eth0]:1", "nats://[fe80::1%eth0]:1", "u:p", "fe80::1%eth0"},
		{"user:pass@host", "nats://host:4222", "user:pass", "host"},
		{"nats://user:pass@host:1", "nats://host:1", "user:pass", "host"},
		{"nats://user:@host:1", "nats://host:1", "user:", "host"},
		{"tls://token@host", "tls://host:4222", "token", "host"},
		{"nats://a%40b:c%3Ad%2Fe@host", "nats://host:4222", "a%40b:c%3Ad%2Fe", "host"},
		{"nats://u:p@ss@host", "nats://host:4222", "u:p%40ss", "host"},
		{"ws://host", "ws://host:80", "", "host"},
		{"wss://host", "wss://host:443", "", "host"},
		{"WSS://u:p@[::1]:8443/", "wss://[::1]:8443", "u:p", "::1"},
		{"ws://host/a%2Fb/c%20d?x=1&y=%2C", "ws://host:80/a%2Fb/c%20d", "", "host"},
	} {
		s, err := ParseURL(c.in)
		if err != nil {
			t.Errorf("%q: %v", c.in, err)
			continue
		}
		if s.URL() != c.url || s.TLSName != c.tlsName || s.Discovered || s.Secure() != (s.Scheme == "tls" || s.Scheme == "wss") ||
			s.WebSocket() != strings.HasPrefix(strings.ToLower(c.in), "ws") {
			t.Errorf("%q: %s, TLS name %q, want %s, %q", c.in, s.URL(), s.TLSName, c.url, c.tlsName)
		}
		user := ""
		if s.User != nil {
			user = s.User.String()
		}
		if user != c.user {
			t.Errorf("%q: user info %q, want %q", c.in, user, c.user)
		}
	}
	for in, want := range map[string]string{
		"": "empty", "nats://": "no host", "nats://:4222": "no host", "nats://user:pass@": "no host", ":4222": "no host",
		"http://host": "scheme", "wsss://host": "scheme", "://host": "URL",
		"host:0": "port", "host:65536": "port", "host:99999999999999999999": "port", "host:-1": "", "host:x": "",
		"nats://host/path": "more than", "nats://host?a=b": "more than", "nats://host#f": "more than",
		"tls://host/path": "more than", "ws://host/path#f": "more than", "ws://host/?a b": "query", "ws://host:0/": "port", "ws:///p": "no host",
		"::1": "", "nats://::1": "", "[::1": "", "a b": "", "nats://%zz": "", "host\n": "", "nats://ho\x00st": "",
		"nats://u:%zz@host": "", "nats://a:1:2": "",
	} {
		if s, err := ParseURL(in); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %+v, error %v, want %q", in, s, err, want)
		}
	}
}

func TestParseURLs(t *testing.T) {
	got, err := ParseURLs("a, tls://u:p@b:1 ,nats://[::1]")
	if err != nil || len(got) != 3 || got[0].URL() != "nats://a:4222" || got[1].URL() != "tls://b:1" || got[2].URL() != "nats://[::1]:4222" {
		t.Errorf("%v, %v", got, err)
	}
	for _, s := range []string{"", "a,", ",a", "a,,b", "a,http://b"} {
		if got, err := ParseURLs(s); err == nil || got != nil {
			t.Errorf("%q: %v", s, got)
		}
	}
}

// checkSecret parses a URL with a secret in it and looks for it in everything
// that is shown.
func checkSecret(t *testing.T, u, secret string) {
	t.Helper()
	servers, err := ParseURLs(u)
	shown := ""
	if err != nil {
		shown = err.Error()
	}
	for _, s := range servers {
		if len(servers) == 1 { // else it was cut at a comma into other hosts
			shown += s.URL() + s.Address()
		}
	}
	if strings.Contains(shown, secret) {
		t.Errorf("%q shows %q: %s", u, secret, shown)
	}
}

// A12: no error quotes a secret, wherever it stands and however broken it is.
func TestErrorsQuoteNoSecret(t *testing.T) {
	const secret = "s3cretpw"
	for _, in := range []string{secret, secret + "%", "%zz" + secret, "a@" + secret, secret + "@b", "#" + secret, secret + "#", "?" + secret,
		"/" + secret, secret + "/x", secret + ":1", ":" + secret, secret + "\n", "\x00" + secret, "[" + secret, secret + "]", "\"" + secret, secret + " ", "x," + secret} {
		for _, form := range []string{
			"nats://user:%s@host:4222", "tls://%s@host", "user:%s@host", "%s@host", "nats://user:%s@", "nats://user:%s@host:99999",
			"nats://user:%s@host/x", "http://user:%s@host", "nats://user:%s@[::1", "nats://user:%s@ho st", "a,nats://user:%s@host:x,b",
			"nats://user:%s", "user:%s", "nats://host/?token=%s", "nats://host:4222/%s", "nats://host#%s", "nats://user:%s/@host",
		} {
			if strings.Contains(in, "@") && !strings.Contains(form, "@") {
				continue // what follows an @ is a host
			}
			if strings.Contains(in, ",") && !strings.HasPrefix(form, "nats://user:%s@") {
				continue // a comma ends a URL, and what follows may be a host
			}
			checkSecret(t, fmt.Sprintf(form, in), secret)
		}
	}
}

func FuzzErrorsQuoteNoSecret(f *testing.F) {
	for i, s := range []string{"pw", "p%w", "p@w", "p/w", "p:w", "p#w", "p?w", "[p", "p w", "\n", "%zz", "\x7f"} {
		f.Add(s, uint8(i), "host:4222")
		f.Add(s, uint8(i+3), "host:x")
	}
	f.Fuzz(func(t *testing.T, s string, form uint8, host string) {
		if strings.ContainsAny(host, ",@") || strings.ContainsAny(s, ",") {
			return
		}
		secret := "<" + fmt.Sprintf("%x", s) + "zzq"
		forms := []string{"nats://%s@%s", "%s@%s", "nats://u:%s@%s", "tls://u%%:%s@%s", "x://u:%s@%s", "u:%s@%s"}
		pre := fmt.Sprintf(forms[int(form)%len(forms)], s+secret+s, host)
		checkSecret(t, pre, secret[1:])
		if u, err := ParseURL(pre); err == nil {
			if u.Host == "" || u.Port == "" || u.User == nil {
				t.Errorf("%q: %+v", pre, u)
			}
			again, err := ParseURL(u.Scheme + "://" + (&url.URL{Host: u.Address()}).Host)
			if err == nil && again.Address() != u.Address() {
				t.Errorf("%q: %q is %q when read again", pre, u.Address(), again.Address())
			}
		}
	})
}

func TestHTTPOfURL(t *testing.T) {
	for _, c := range []struct{ in, path, host, target string }{
		{"ws://host", "", "host", "/"},
		{"ws://host:80/a?b=c", "", "host", "/a?b=c"},
		{"ws://host:81/a", "", "host:81", "/a"},
		{"wss://host:443?q", "", "host", "/?q"},
		{"wss://host:80", "/p", "host:80", "/p"},
		{"ws://[::1]/a?q", "/p/r", "[::1]", "/p/r?q"},
		{"wss://[::1]:4433", "", "[::1]:4433", "/"},
	} {
		s, err := ParseURL(c.in)
		if err != nil || s.HTTPHost() != c.host || s.Target(c.path) != c.target {
			t.Errorf("%s: host %q, target %q, %v", c.in, s.HTTPHost(), s.Target(c.path), err)
		}
	}
}

func TestMixed(t *testing.T) {
	for list, want := range map[string]bool{
		"a,tls://b": false, "ws://a,wss://b": false, "a,ws://b": true, "wss://a,wss://b,tls://c": true,
	} {
		if s, err := ParseURLs(list); err != nil || Mixed(s) != want {
			t.Errorf("%s: %v %v", list, Mixed(s), err)
		}
	}
	if Mixed(nil) {
		t.Error("nothing is mixed")
	}
}
