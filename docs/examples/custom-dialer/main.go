// Custom dialer: whatever opens a stream of bytes to a server. A *net.Dialer is
// a dialer (source address, keep-alive, multipath TCP); so is a proxy's, or this
// one, which counts what it opens.
package main

import (
	"context"
	"fmt"
	"log"
	"net"
	"os"
	"sync/atomic"
	"time"

	nats "github.com/perigee-go/nats/core"
)

func main() {
	if err := run(context.Background(), os.Getenv("NATS_URL")); err != nil {
		log.Fatal(err)
	}
}

// A dialer counts the connections that a net.Dialer opens.
type dialer struct {
	net.Dialer
	opened atomic.Int64
}

// DialContext makes it a nats.Dialer. ctx ends with the Timeout of the attempt.
func (d *dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := d.Dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	d.opened.Add(1)
	fmt.Println("dialed", network, address)
	return conn, nil
}

func run(ctx context.Context, url string) error {
	d := &dialer{Dialer: net.Dialer{KeepAlive: time.Minute}}
	nc, err := nats.Connect(ctx, url, nats.Name("custom-dialer"), nats.UseDialer(d))
	if err != nil {
		return err
	}
	defer nc.Close()
	// Every link comes from it, those after a loss too.
	if err := nc.Reconnect(ctx); err != nil {
		return err
	}
	if err := nc.Drain(ctx); err != nil {
		return err
	}
	fmt.Println("opened:", d.opened.Load())
	return nil
}
