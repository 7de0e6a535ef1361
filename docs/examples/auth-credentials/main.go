// Credentials: a file with a user's JWT and seed, as "nsc" and "nats auth"
// write it. It is read again at each connect, so it may be replaced while the
// program runs; ~ and $VAR in its name are replaced.
//
//	NATS_CREDS=~/joe.creds go run ./auth-credentials
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"

	nats "github.com/perigee-go/nats/core"
)

func main() {
	if err := run(context.Background(), os.Getenv("NATS_URL")); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, url string) error {
	_, err := nats.Connect(ctx, url)
	if !errors.Is(err, nats.ErrAuthorization) {
		return fmt.Errorf("no credentials were needed: %w", err)
	}
	fmt.Println("without credentials: refused")

	// A file that is not there is told before anything is dialed.
	_, err = nats.Connect(ctx, url, nats.UserCredentials("no-such.creds"))
	var bad *nats.OptionError
	if !errors.As(err, &bad) {
		return fmt.Errorf("the file was not missed: %w", err)
	}
	fmt.Println("without the file: refused by the client, option", bad.Option)

	nc, err := nats.Connect(ctx, url,
		nats.UserCredentials("$NATS_CREDS"),
		nats.EventHandler(func(_ *nats.Conn, e nats.Event) {
			// Credentials end: the JWT expires, or it is revoked. The client goes
			// on trying, and reads the file each time.
			if lost, ok := e.(nats.Disconnected); ok && (errors.Is(lost.Err, nats.ErrAuthExpired) || errors.Is(lost.Err, nats.ErrAuthRevoked)) {
				fmt.Println("time for a new file:", lost.Err)
			}
		}),
	)
	if err != nil {
		return err
	}
	defer nc.Close()
	fmt.Println("with the file: connected")

	// Credentials that stand somewhere else than in a file.
	text, err := os.ReadFile(os.Getenv("NATS_CREDS"))
	if err != nil {
		return err
	}
	other, err := nats.Connect(ctx, url, nats.UserCredentialBytes(text))
	if err != nil {
		return err
	}
	defer other.Close()
	fmt.Println("with what stands in it: connected")
	return errors.Join(other.Drain(ctx), nc.Drain(ctx))
}
