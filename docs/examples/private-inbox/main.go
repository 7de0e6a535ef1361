// Private inbox: replies come to a subject that only the asker knows, below
// "_INBOX". A user who may subscribe to "_INBOX.>" sees everybody's replies; so
// give each user a prefix and let nobody else listen there.
//
//	nats-server -c private-inbox/server.conf
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"strings"

	nats "github.com/perigee-go/nats/core"
)

func main() {
	if err := run(context.Background(), os.Getenv("NATS_URL")); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, url string) error {
	service, err := nats.Connect(ctx, url, nats.UserInfo("service", "service-password"))
	if err != nil {
		return err
	}
	defer service.Close()
	_, err = service.Subscribe("time", func(m nats.Msg) {
		private := strings.HasPrefix(m.Reply, "_INBOX_alice.")
		if err := m.Respond(fmt.Appendf(nil, "to a private inbox: %t", private)); err != nil {
			log.Print(err)
		}
	})
	if err != nil {
		return err
	}
	if err := service.Flush(ctx); err != nil { // the server knows the service now
		return err
	}

	// The server lets alice subscribe to _INBOX_alice.> only.
	alice, err := nats.Connect(ctx, url,
		nats.UserInfo("alice", "alice-password"), nats.CustomInboxPrefix("_INBOX_alice"))
	if err != nil {
		return err
	}
	defer alice.Close()
	reply, err := alice.Request(ctx, "time", nil)
	if err != nil {
		return err
	}
	fmt.Printf("alice got an answer %s\n", reply.Data)

	// Bob has a prefix of his own, and cannot listen to hers.
	bob, err := nats.Connect(ctx, url, nats.Logger(nil), // what goes wrong is handled here
		nats.UserInfo("bob", "bob-password"), nats.CustomInboxPrefix("_INBOX_bob"))
	if err != nil {
		return err
	}
	defer bob.Close()
	sub, err := bob.SubscribeSync("_INBOX_alice.>")
	if err != nil {
		return err
	}
	_, err = sub.Next(ctx)
	var refused *nats.PermissionError
	if !errors.As(err, &refused) {
		return fmt.Errorf("bob listens to alice's replies: %w", err)
	}
	fmt.Printf("bob was refused: %s to %s\n", refused.Operation, refused.Subject)
	return errors.Join(bob.Drain(ctx), alice.Drain(ctx), service.Drain(ctx))
}
