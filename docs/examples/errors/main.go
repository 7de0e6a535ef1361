// Errors: what went wrong is told with errors.Is for states and errors.As for
// data. Three questions matter: did it happen, did it not, or is that unknown?
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"time"

	nats "github.com/perigee-go/nats/core"
)

func main() {
	if err := run(context.Background(), os.Getenv("NATS_URL")); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, url string) error {
	// Nobody is there. The error has one attempt for each server.
	_, err := nats.Connect(ctx, "nats://127.0.0.1:1")
	var failed *nats.ConnectError
	if errors.As(err, &failed) {
		fmt.Println("connect: no server:", errors.Is(err, nats.ErrNoServers), "attempts:", len(failed.Attempts))
	}

	nc, err := nats.Connect(ctx, url, nats.Name("errors"))
	if err != nil {
		return err
	}
	defer nc.Close()

	// Illegal input is refused before a byte leaves.
	err = nc.Publish("two words", nil)
	var subject *nats.SubjectError
	if errors.As(err, &subject) {
		fmt.Printf("publish: bad subject %q\n", subject.Subject)
	}

	// Nobody listens. The server says so at once.
	_, err = nc.Request(ctx, "nobody", nil)
	report("no responders", err)

	// Somebody listens, and does not answer. Whether the request was carried
	// out is unknown here too: repeat it only if it may happen twice.
	asked := make(chan struct{}, 1)
	if _, err := nc.Subscribe("silent", func(nats.Msg) { asked <- struct{}{} }); err != nil {
		return err
	}
	short, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
	defer cancel()
	_, err = nc.Request(short, "silent", nil)
	report("no answer in time", err)
	<-asked

	// The link goes while an answer is waited for. That is told at once, not at
	// the timeout, and as what it is: the outcome is unknown.
	outcome := make(chan error, 1)
	go func() {
		_, err := nc.Request(ctx, "silent", nil)
		outcome <- err
	}()
	<-asked
	if err := nc.Reconnect(ctx); err != nil {
		return err
	}
	report("link lost after sending", <-outcome)

	// Without a link, this connection refuses instead of buffering. Nothing has
	// left, so it is safe to try again.
	lonely, err := nats.Connect(ctx, "nats://127.0.0.1:1", nats.Logger(nil),
		nats.RetryOnFailedConnect(true), nats.WhenDisconnected(nats.DisconnectedFail))
	if err != nil {
		return err
	}
	report("no link", lonely.Publish("news", nil))
	return errors.Join(lonely.Close(), nc.Drain(ctx))
}

// report asks an error what one would want to know.
func report(what string, err error) {
	fmt.Println(what)
	for _, state := range []struct {
		name   string
		target error
	}{
		{"no responders", nats.ErrNoResponders},
		{"deadline exceeded", context.DeadlineExceeded},
		{"disconnected", nats.ErrDisconnected},
		{"outcome unknown", nats.ErrOutcomeUnknown},
	} {
		if errors.Is(err, state.target) {
			fmt.Println("  is:", state.name)
		}
	}
	fmt.Println("  safe to retry:", nats.SafeToRetry(err))
}
