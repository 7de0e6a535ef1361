package natstest_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/perigee-go/nats/orbit/natstest"
)

// refused reads the error that the server answers a CONNECT with.
func refused(t *testing.T, srv *natstest.Server, fields string) string {
	t.Helper()
	p := dial(t, srv.Addr())
	p.say("CONNECT {%s}\r\nPING\r\n", fields)
	return p.line()
}

func TestAuthentication(t *testing.T) {
	t.Parallel()
	srv := natstest.Run(t, natstest.UserPassword("ann", "secret"))
	if !connect(t, srv.Addr(), `"user":"ann"`, `"pass":"secret"`).info.Auth {
		t.Error("INFO does not ask for authentication")
	}
	if got := refused(t, srv, `"user":"ann","pass":"wrong"`); !strings.HasPrefix(got, "-ERR") {
		t.Errorf("wrong password: %q", got)
	}
	if strings.Contains(srv.URL(), "ann") || strings.Contains(srv.URL(), "secret") {
		t.Errorf("URL %s", srv.URL())
	}
	srv = natstest.Run(t, natstest.Token("sesame"))
	connect(t, srv.Addr(), `"auth_token":"sesame"`)
	if got := refused(t, srv, `"auth_token":"x"`); !strings.HasPrefix(got, "-ERR") {
		t.Errorf("wrong token: %q", got)
	}
}

func TestTLS(t *testing.T) {
	t.Parallel()
	srv := natstest.Run(t, natstest.TLS(), natstest.WebSocket())
	if !strings.HasPrefix(srv.URL(), "tls://") || !strings.HasPrefix(srv.WebSocketURL(), "wss://") {
		t.Errorf("URLs %s, %s", srv.URL(), srv.WebSocketURL())
	}
	p := dial(t, srv.Addr())
	if !p.info.TLS {
		t.Errorf("INFO %+v", p.info)
	}
	config := srv.ClientTLSConfig()
	config.ServerName = "localhost"
	upgrade(t, p.conn, config).login()

	_, port, _ := net.SplitHostPort(srv.Addr())
	config = &tls.Config{RootCAs: natstest.Run(t, natstest.TLS()).CA()} // another server's
	p = dial(t, net.JoinHostPort("localhost", port))
	config.ServerName = "localhost"
	if err := tls.Client(p.conn, config).Handshake(); err == nil {
		t.Error("the CA is not the server's own")
	}
}

// upgrade makes TLS of a connection that INFO was read from.
func upgrade(t *testing.T, conn net.Conn, config *tls.Config) *peer {
	t.Helper()
	secure := tls.Client(conn, config)
	if err := secure.Handshake(); err != nil {
		t.Fatal(err)
	}
	return wrap(t, secure)
}

func TestTLSVerify(t *testing.T) {
	t.Parallel()
	srv := natstest.Run(t, natstest.TLSVerify())
	config := srv.ClientTLSConfig()
	config.ServerName = "127.0.0.1"
	upgrade(t, dial(t, srv.Addr()).conn, config).login()

	cert, key := srv.ClientCertFiles()
	for _, file := range []string{cert, key, srv.CAFile()} {
		if _, err := os.Stat(file); err != nil {
			t.Error(err)
		}
	}
	config = &tls.Config{RootCAs: srv.CA(), ServerName: "127.0.0.1"}
	p := dial(t, srv.Addr())
	secure := tls.Client(p.conn, config)
	if err := secure.Handshake(); err == nil {
		if _, err := secure.Read(make([]byte, 1)); err == nil {
			t.Error("no client certificate is fine")
		}
	}
	srv.Stop()
	if _, err := os.Stat(cert); !os.IsNotExist(err) {
		t.Errorf("certificate after Stop: %v", err)
	}
}

func TestTLSHandshakeFirstAndAllowNonTLS(t *testing.T) {
	t.Parallel()
	srv := natstest.Run(t, natstest.TLSHandshakeFirst())
	conn, err := tls.Dial("tcp", srv.Addr(), srv.ClientTLSConfig())
	if err != nil {
		t.Fatal(err)
	}
	greet(t, conn).login()

	srv = natstest.Run(t, natstest.AllowNonTLS())
	if p := connect(t, srv.Addr()); p.info.TLS || !p.info.TLSAvail {
		t.Errorf("INFO %+v", p.info)
	}
	if !strings.HasPrefix(srv.URL(), "nats://") {
		t.Errorf("URL %s", srv.URL())
	}
	plain := natstest.Run(t)
	if plain.CA() != nil || plain.CAFile() != "" || plain.ClientTLSConfig() != nil || plain.ClientCert().Certificate != nil {
		t.Error("a plain server has certificates")
	}
}

func TestConfigAndReload(t *testing.T) {
	t.Parallel()
	srv := natstest.Run(t,
		natstest.Config(`
			server_name: cfg
			jetstream: enabled
			http: "127.0.0.1:-1"
			authorization { users [ { user: a, password: a } ] }`),
		natstest.MaxPayload(1234))
	p := connect(t, srv.Addr(), `"user":"a"`, `"pass":"a"`)
	if p.info.Name != "cfg" || !p.info.JetStream || p.info.MaxBytes != 1234 {
		t.Errorf("INFO %+v", p.info)
	}
	if dir := srv.Embedded().StoreDir(); !strings.Contains(dir, "natstest-") {
		t.Errorf("store in %s", dir)
	}
	if err := srv.Reload(`authorization { users [ { user: b, password: b } ] }`); err == nil {
		t.Error("a reload that turns JetStream off went well")
	}
	monitor := srv.Embedded().MonitorAddr().String()
	next := `server_name: cfg, jetstream: enabled, http: "127.0.0.1:-1", authorization { users [ { user: b, password: b } ] }`
	if err := srv.Reload(next); err != nil {
		t.Fatal(err)
	}
	if err := p.end(); err != nil {
		t.Errorf("the user that is gone: %v", err)
	}
	connect(t, srv.Addr(), `"user":"b"`, `"pass":"b"`)
	if err := srv.Restart(); err != nil {
		t.Fatal(err)
	}
	connect(t, srv.Addr(), `"user":"b"`, `"pass":"b"`)
	if got := srv.Embedded().MonitorAddr().String(); got != monitor {
		t.Errorf("monitoring at %s after restart, was at %s", got, monitor)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get("http://" + monitor + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
}

func TestConfigFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write("limits.conf", "max_payload: 100")
	main := write("main.conf", "include limits.conf")
	if got := connect(t, natstest.Run(t, natstest.ConfigFile(main)).Addr()).info.MaxBytes; got != 100 {
		t.Errorf("max payload %d", got)
	}
	if _, err := natstest.Start(natstest.ConfigFile(main + "x")); err == nil {
		t.Error("a file that is not there")
	}
}

func TestComplaintsComeTogether(t *testing.T) {
	t.Parallel()
	_, err := natstest.Start(natstest.Port(70000), natstest.Name(""), natstest.MaxPayload(0), nil,
		natstest.LameDuck(1, 2), natstest.UserPassword("u", "hush"), natstest.Token("hush"))
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"Port", "Name", "MaxPayload", "nil Option", "LameDuck", "exclude"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not mention %s", err, want)
		}
	}
	if strings.Contains(err.Error(), "hush") {
		t.Errorf("%v tells a secret", err)
	}
}

func TestPortTakenIsAnErrorAtOnce(t *testing.T) {
	t.Parallel()
	first := natstest.Run(t)
	start := time.Now()
	_, err := natstest.Start(natstest.Port(first.Port()))
	if err == nil || !strings.Contains(err.Error(), "in use") && !strings.Contains(err.Error(), "Only one usage") {
		t.Error(err)
	}
	if took := time.Since(start); took > readyBound {
		t.Errorf("took %v", took)
	}
}

const readyBound = 5 * time.Second

func TestStoreDirOutlivesStop(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	srv := natstest.Run(t, natstest.StoreDir(dir))
	if got := connect(t, srv.Addr()).request("$JS.API.STREAM.CREATE.S", `{"name":"S","subjects":["s"]}`); strings.Contains(got, `"error"`) {
		t.Fatal(got)
	}
	srv.Stop()
	srv = natstest.Run(t, natstest.StoreDir(dir))
	if got := connect(t, srv.Addr()).request("s", "x"); !strings.Contains(got, `"stream":"S"`) {
		t.Error(got)
	}
}

func TestServerOptionsAndInProcessOnly(t *testing.T) {
	t.Parallel()
	srv := natstest.Run(t, natstest.ServerOptions(func(o *server.Options) { o.DontListen = true }))
	if srv.URL() != "" || srv.Port() != 0 {
		t.Errorf("URL %q, port %d", srv.URL(), srv.Port())
	}
	conn, err := srv.InProcessConn()
	if err != nil {
		t.Fatal(err)
	}
	greet(t, conn).login()
	<-srv.LameDuck()
}

func TestLogs(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	srv := natstest.Run(t, natstest.LogTo(&log), natstest.Debug(), natstest.Trace(), natstest.Name("talker"))
	connect(t, srv.Addr())
	srv.Stop()
	for _, want := range []string{"[INF] talker: Server is ready", "[DBG]", "[TRC]", "<<- [PING]"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("%q is not in the log:\n%s", want, log.String())
		}
	}
	own := &ownLogger{}
	natstest.Run(t, natstest.Logger(own)).Stop()
	if own.notices == 0 {
		t.Error("no notices")
	}
}

type ownLogger struct {
	server.Logger
	notices int
}

func (l *ownLogger) Noticef(string, ...any) { l.notices++ }
func (l *ownLogger) Warnf(string, ...any)   {}

func TestSubscriptions(t *testing.T) {
	t.Parallel()
	srv := natstest.Run(t, natstest.JetStream())
	a, b := connect(t, srv.Addr(), `"name":"a"`), connect(t, srv.Addr(), `"name":"b"`)
	if srv.NumSubscriptions() != 0 || srv.NumClients() != 2 {
		t.Errorf("%d subscriptions, %d clients", srv.NumSubscriptions(), srv.NumClients())
	}
	a.say("SUB z 1\r\nSUB x q 2\r\nSUB x q 3\r\n")
	b.say("SUB y 1\r\n")
	a.ping()
	b.ping()
	check := func(got, want []string) {
		t.Helper()
		if !slices.Equal(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
	}
	check(srv.Subscriptions("a"), []string{"x q", "x q", "z"})
	check(srv.Subscriptions(), []string{"x q", "x q", "y", "z"})
	check(srv.SubscriptionsByID(b.info.ClientID), []string{"y"})
	check(srv.Subscriptions("nobody"), []string{})
	if n := srv.Disconnect("a"); n != 1 {
		t.Errorf("disconnected %d", n)
	}
	if err := a.end(); err != nil {
		t.Error(err)
	}
	b.ping()
	if n := srv.Disconnect(); n != 1 {
		t.Errorf("disconnected %d", n)
	}
	srv.Shutdown()
	check(srv.Subscriptions(), []string{})
}

func TestKillSaysNothing(t *testing.T) {
	t.Parallel()
	srv := natstest.Run(t, natstest.JetStream())
	p := connect(t, srv.Addr())
	srv.Kill()
	srv.Kill()
	if rest, err := io.ReadAll(p.r); len(rest) > 0 {
		t.Errorf("%q, %v", rest, err)
	}
	if err := srv.Restart(); err != nil {
		t.Fatal(err)
	}
	connect(t, srv.Addr())
}

func TestLameDuck(t *testing.T) {
	t.Parallel()
	srv := natstest.Run(t, natstest.LameDuck(60*time.Millisecond, 30*time.Millisecond))
	p := connect(t, srv.Addr())
	done := srv.LameDuck()
	if again := srv.LameDuck(); again != done {
		t.Error("two lame duck modes")
	}
	p.hear("INFO")
	if !p.info.LameDuck {
		t.Errorf("INFO %+v", p.info)
	}
	if conn, err := net.Dial("tcp", srv.Addr()); err == nil {
		conn.Close()
		t.Error("a lame duck accepts connections")
	}
	<-done
	if err := p.end(); err != nil {
		t.Error(err)
	}
	if srv.Running() {
		t.Error("running after lame duck mode")
	}
	if err := srv.Restart(); err != nil {
		t.Fatal(err)
	}
	connect(t, srv.Addr())
	srv.LameDuck()
	srv.Stop()
	if err := srv.Reload(""); !errors.Is(err, natstest.ErrDown) {
		t.Error(err)
	}
}

func TestWebSocketKeepsItsPort(t *testing.T) {
	t.Parallel()
	srv := natstest.Run(t, natstest.WebSocket())
	url := srv.WebSocketURL()
	if !strings.HasPrefix(url, "ws://127.0.0.1:") {
		t.Errorf("URL %s", url)
	}
	srv.Restart()
	if srv.WebSocketURL() != url {
		t.Errorf("%s, was %s", srv.WebSocketURL(), url)
	}
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "ws://"))
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
}

func TestPingInterval(t *testing.T) {
	t.Parallel()
	srv := natstest.Run(t, natstest.PingInterval(10*time.Millisecond, 2))
	p := connect(t, srv.Addr())
	if line := p.line(); line != "PING" {
		t.Errorf("heard %q", line)
	}
	rest, err := io.ReadAll(p.r) // nobody answers
	if err != nil || !strings.Contains(string(rest), "Stale Connection") {
		t.Errorf("heard %q, %v", rest, err)
	}
}
