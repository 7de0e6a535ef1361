// HTTP proxy: a dialer that asks a proxy for the way to the server, with
// CONNECT. To be copied as it is; nothing but the standard library is used.
//
// NATS_PROXY names the proxy, as in http://user:password@proxy:3128. Without it
// this program starts one of its own; see proxy.go.
package main

import (
	"bufio"
	"context"
	"encoding/base64"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/url"
	"os"
	"time"

	nats "github.com/perigee-go/nats/core"
)

func main() {
	if err := run(context.Background(), os.Getenv("NATS_URL")); err != nil {
		log.Fatal(err)
	}
}

// A proxyDialer is a nats.Dialer. TLS to the server, if it is wanted, is laid
// over what it returns: the proxy sees no more than addresses.
type proxyDialer struct{ proxy *url.URL }

// DialContext implements nats.Dialer. address is host and port as in the URL of
// the server: the proxy resolves the name.
func (d proxyDialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, d.proxy.Host)
	if err != nil {
		return nil, err
	}
	// ctx ends with the Timeout of the attempt, and with it the conversation.
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	through, err := d.ask(conn, address)
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("proxy %s: %w", d.proxy.Host, err)
	}
	return through, nil
}

func (d proxyDialer) ask(conn net.Conn, address string) (net.Conn, error) {
	req := &http.Request{Method: http.MethodConnect, URL: &url.URL{Opaque: address}, Host: address, Header: http.Header{}}
	if user := d.proxy.User; user != nil {
		password, _ := user.Password()
		secret := base64.StdEncoding.EncodeToString([]byte(user.Username() + ":" + password))
		req.Header.Set("Proxy-Authorization", "Basic "+secret)
	}
	if err := req.Write(conn); err != nil {
		return nil, err
	}
	r := bufio.NewReader(conn)
	resp, err := http.ReadResponse(r, req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("CONNECT was answered with %s", resp.Status)
	}
	return &tunnel{conn, r}, nil
}

// A tunnel reads what came behind the proxy's answer first: the server speaks
// before the client does.
type tunnel struct {
	net.Conn
	r *bufio.Reader
}

func (t *tunnel) Read(p []byte) (int, error) { return t.r.Read(p) }

func run(ctx context.Context, server string) error {
	if server == "" {
		server = nats.DefaultURL
	}
	address := os.Getenv("NATS_PROXY")
	if address == "" {
		own, stop, err := startProxy()
		if err != nil {
			return err
		}
		defer stop()
		address = own
	}
	proxy, err := url.Parse(address)
	if err != nil {
		return err
	}

	nc, err := nats.Connect(ctx, server, nats.Name("http-proxy"), nats.UseDialer(proxyDialer{proxy}))
	if err != nil {
		return err
	}
	defer nc.Close()
	if err := nc.Flush(ctx); err != nil {
		return err
	}
	// Every link goes through it, those after a loss too.
	if err := nc.Reconnect(ctx); err != nil {
		return err
	}
	fmt.Println("connected to", nc.ConnectedURL(), "through a proxy:", nc.RemoteAddr().String() == proxy.Host)
	return nc.Drain(ctx)
}
