package natstest_test

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/perigee-go/nats/orbit/natstest"
)

// peer is a client reduced to the lines it says and hears.
type peer struct {
	t    testing.TB
	conn net.Conn
	r    *bufio.Reader
	info info

	requests int
}

type info struct {
	ID        string   `json:"server_id"`
	Name      string   `json:"server_name"`
	ClientID  uint64   `json:"client_id"`
	TLS       bool     `json:"tls_required"`
	TLSAvail  bool     `json:"tls_available"`
	Auth      bool     `json:"auth_required"`
	JetStream bool     `json:"jetstream"`
	LameDuck  bool     `json:"ldm"`
	Nonce     string   `json:"nonce"`
	Domain    string   `json:"domain"`
	URLs      []string `json:"connect_urls"`
	MaxBytes  int      `json:"max_payload"`
}

const patience = 10 * time.Second

// dial connects and reads INFO, no more.
func dial(t testing.TB, addr string) *peer {
	t.Helper()
	conn, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		t.Fatal(err)
	}
	return greet(t, conn)
}

func greet(t testing.TB, conn net.Conn) *peer {
	t.Helper()
	p := wrap(t, conn)
	p.hear("INFO ")
	return p
}

func wrap(t testing.TB, conn net.Conn) *peer {
	t.Helper()
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return &peer{t: t, conn: conn, r: bufio.NewReader(conn)}
}

// connect is dial, CONNECT with these fields and a PING that is answered.
func connect(t testing.TB, addr string, fields ...string) *peer {
	t.Helper()
	return dial(t, addr).login(fields...)
}

func (p *peer) login(fields ...string) *peer {
	p.t.Helper()
	fields = append(fields, `"protocol":1`, `"verbose":false`, `"headers":true`, `"no_responders":true`)
	p.say("CONNECT {%s}\r\n", strings.Join(fields, ","))
	p.ping()
	p.ping() // behind the INFO that follows the first PONG
	return p
}

// sign makes the CONNECT fields of who has this key.
func (p *peer) sign(key *natstest.Key) string {
	p.t.Helper()
	if p.info.Nonce == "" {
		p.t.Error("INFO has no nonce")
	}
	return fmt.Sprintf(`"sig":%q`, base64.RawURLEncoding.EncodeToString(key.Sign([]byte(p.info.Nonce))))
}

// enter connects as a user of an account.
func enter(t testing.TB, addr string, user *natstest.Credentials) *peer {
	t.Helper()
	p := dial(t, addr)
	return p.login(p.sign(user.Key), fmt.Sprintf(`"jwt":%q`, user.JWT()))
}

// turnedAway connects as a user of an account and returns the server's error.
func turnedAway(t testing.TB, addr string, user *natstest.Credentials) string {
	t.Helper()
	p := dial(t, addr)
	p.say("CONNECT {\"verbose\":false,%s,\"jwt\":%q}\r\nPING\r\n", p.sign(user.Key), user.JWT())
	return p.line()
}

func (p *peer) say(format string, args ...any) {
	p.t.Helper()
	if _, err := fmt.Fprintf(p.conn, format, args...); err != nil {
		p.t.Fatal(err)
	}
}

func (p *peer) line() string {
	p.t.Helper()
	line, err := p.r.ReadString('\n')
	if err != nil {
		p.t.Fatalf("read: %v (got %q)", err, line)
	}
	return strings.TrimRight(line, "\r\n")
}

// ping makes sure that the server has seen all that was said.
func (p *peer) ping() {
	p.t.Helper()
	p.say("PING\r\n")
	p.hear("PONG")
}

// hear reads lines until one begins so; INFO lines in between are kept.
func (p *peer) hear(prefix string) string {
	p.t.Helper()
	for {
		line := p.line()
		p.note(line)
		if strings.HasPrefix(line, prefix) {
			return line
		}
		if !strings.HasPrefix(line, "INFO ") && !strings.HasPrefix(line, "PING") {
			p.t.Fatalf("heard %q, want %s", line, prefix)
		}
	}
}

// end reads to the end of the connection and returns what it was: io.EOF gives
// nil. INFO lines are kept.
func (p *peer) end() error {
	for {
		line, err := p.r.ReadString('\n')
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		p.note(line)
	}
}

func (p *peer) note(line string) {
	p.t.Helper()
	if text, ok := strings.CutPrefix(line, "INFO "); ok {
		if err := json.Unmarshal([]byte(text), &p.info); err != nil {
			p.t.Errorf("%q: %v", line, err)
		}
	}
}

// message reads a message and returns its headers, if any, and its body.
func (p *peer) message() string {
	p.t.Helper()
	fields := strings.Fields(p.line())
	if len(fields) < 4 || fields[0] != "MSG" && fields[0] != "HMSG" {
		p.t.Fatalf("heard %q, want a message", fields)
	}
	size, err := strconv.Atoi(fields[len(fields)-1])
	if err != nil {
		p.t.Fatal(err)
	}
	text := make([]byte, size+len("\r\n"))
	if _, err := io.ReadFull(p.r, text); err != nil {
		p.t.Fatal(err)
	}
	return string(text[:size])
}

// request sends a request with a reply subject of its own and returns the reply.
func (p *peer) request(subject, body string) string {
	p.t.Helper()
	p.requests++ // the server may not be done with the last subscription
	p.say("SUB _r r%d\r\nUNSUB r%d 1\r\nPUB %s _r %d\r\n%s\r\n", p.requests, p.requests, subject, len(body), body)
	p.hear("MSG")
	return p.line()
}

// waitInterest waits until srv would deliver a message on subject somewhere.
func waitInterest(t testing.TB, srv *natstest.Server, subject string) {
	t.Helper()
	eventually(t, func() bool { return srv.Embedded().GlobalAccount().SubscriptionInterest(subject) })
}

// eventually asks until the answer is yes, for what nobody announces.
func eventually(t testing.TB, yes func() bool) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	for !yes() {
		select {
		case <-ticker.C:
		case <-deadline.C:
			t.Fatal("waited in vain")
		}
	}
}
