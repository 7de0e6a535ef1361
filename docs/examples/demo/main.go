// Demo shows a client at work, one act after the other, and checks each:
//
//	go run ./demo                        with a server of its own
//	go run ./demo -url nats://host:4222  with yours
//	go run ./demo -cluster 3             with a cluster, which is restarted
//	go run ./demo -serve                 leaves the server running
//
// It exits with 1 when something is not as it should be. Read it in this order:
// main.go, acts.go, trouble.go, secure.go, streams.go, streamtrouble.go, cluster.go,
// ledger.go.
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"time"

	nats "github.com/perigee-go/nats/core"
	"github.com/perigee-go/nats/orbit/natstest"
)

// actTimeout is far more than any act needs: only a broken one meets it.
const actTimeout = 45 * time.Second

func main() {
	url := flag.String("url", "", "use the server at this URL instead of an embedded one")
	cluster := flag.Int("cluster", 1, "embed a cluster of so many servers, and restart them one by one")
	serve := flag.Bool("serve", false, "leave the embedded server running until Ctrl-C")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *url, *cluster, *serve); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

// run starts a server unless url names one, and plays all acts.
func run(ctx context.Context, url string, cluster int, serve bool) error {
	switch {
	case url != "" && serve:
		return errors.New("-serve is for the embedded server, -url for one of yours")
	case url != "" && cluster != 1:
		return errors.New("-cluster is for embedded servers, -url for one of yours")
	case cluster < 1 || cluster > 9:
		return errors.New("-cluster must be between 1 and 9")
	}
	d := &demo{
		out:    newScreen(os.Stdout),
		url:    url,
		prefix: "demo." + strings.ToLower(rand.Text()[:6]),
		events: newEventLog(),
	}
	d.out.title("Perigee %s, %s on %s/%s", nats.Version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	if url == "" {
		stop, err := d.embed(cluster)
		if err != nil {
			return fmt.Errorf("start the server: %w", err)
		}
		defer stop()
	}

	begin := time.Now()
	defer func() {
		if d.nc != nil {
			d.nc.Close() // after a failure; Drain has closed it otherwise
		}
		d.store.abandon()
	}()
	for i, a := range acts {
		if err := d.play(ctx, i+1, a); err != nil {
			return fmt.Errorf("act %d, %s: %w", i+1, a.title, err)
		}
	}
	d.out.title("all %d acts as they should be, %s", len(acts), duration(time.Since(begin)))

	if serve {
		d.out.serving(d.url)
		<-ctx.Done()
	}
	return nil
}

// embed starts a server, or a cluster.
func (d *demo) embed(servers int) (stop func(), err error) {
	begin := time.Now()
	if servers == 1 {
		srv, err := natstest.Start(natstest.Name("demo"), natstest.JetStream())
		if err != nil {
			return nil, err
		}
		d.server, d.url = srv, srv.URL()
		d.out.note("embedded nats-server started in %s", duration(time.Since(begin)))
		return srv.Stop, nil
	}
	// A lame duck leaves its clients time to go: here 1.5 s, by default 10.
	c, err := natstest.StartCluster(servers, natstest.Name("demo"), natstest.LameDuck(2*time.Second, 1500*time.Millisecond))
	if err != nil {
		return nil, err
	}
	d.cluster, d.url = c, c.URL()
	d.out.note("embedded cluster of %d started in %s", servers, duration(time.Since(begin)))
	return c.Stop, nil
}

// A demo is what the acts share.
type demo struct {
	out     *screen
	server  *natstest.Server  // nil with -url and -cluster
	cluster *natstest.Cluster // nil without -cluster
	url     string
	prefix  string // of all subjects, so that a server of yours is not disturbed
	events  *eventLog
	nc      *nats.Conn // made by the first act
	store   *store     // made by the first act of JetStream; nil if there is none

	published, requested int // by the acts, to be compared with the ledger
}

// subject returns the name of a subject of this run.
func (d *demo) subject(name string) string { return d.prefix + "." + name }

// An act is one thing shown. It returns an error when what happened is not
// what should.
type act struct {
	title string
	run   func(context.Context, *demo) error
}

var acts = []act{
	{"connect", connect},
	{"publish and subscribe", publishSubscribe},
	{"wildcards", wildcards},
	{"queue group", queueGroup},
	{"request and reply", requestReply},
	{"no responders", noResponders},
	{"headers", headers},
	{"drain a subscription", drainSubscription},
	{"slow consumer", slowConsumer},
	{"restart", restart},
	{"TLS", overTLS},
	{"WebSocket", overWebSocket},
	{"a stream and a consumer", makeStream},
	{"receipts and duplicates", withStream(receipts)},
	{"optimistic updates", withStream(optimistic)},
	{"a batch, a loop, a handler", withStream(consume)},
	{"a restart under a consumer", withStream(consumeThroughRestart)},
	{"a consumer that is made anew", withStream(madeAnew)},
	{"the ledger", ledger},
	{"drain and close", drainConnection},
}

// errSkipped ends an act that this run cannot show. What is said with it is
// printed.
var errSkipped = errors.New("skipped")

// play runs one act and prints its heading, time and findings.
func (d *demo) play(ctx context.Context, n int, a act) error {
	ctx, cancel := context.WithTimeout(ctx, actTimeout)
	defer cancel()
	d.out.begin(n, a.title)
	begin := time.Now()
	err := a.run(ctx, d)
	switch {
	case errors.Is(err, errSkipped):
		d.out.end("skipped")
		return nil
	case err != nil:
		d.out.end("FAILED")
		return err
	}
	d.out.end(duration(time.Since(begin)))
	return nil
}
