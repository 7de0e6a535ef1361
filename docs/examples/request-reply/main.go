// Request-reply: a question to whoever listens on a subject, and the first
// answer. When nobody listens, the server says so at once.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"strings"
	"time"

	nats "github.com/perigee-go/nats/core"
)

func main() {
	if err := run(context.Background(), os.Getenv("NATS_URL")); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, url string) error {
	nc, err := nats.Connect(ctx, url, nats.Name("request-reply"))
	if err != nil {
		return err
	}
	defer nc.Close()

	sub, err := nc.Subscribe("greet.*", func(m nats.Msg) {
		name := strings.TrimPrefix(m.Subject, "greet.")
		if err := m.Respond([]byte("hello, " + name)); err != nil {
			log.Print(err)
		}
	})
	if err != nil {
		return err
	}

	// Without a deadline in the context a request gets the RequestTimeout of
	// the connection, which is 5 s by default.
	for _, name := range []string{"joe", "pam"} {
		reply, err := nc.Request(ctx, "greet."+name, nil)
		if err != nil {
			return err
		}
		fmt.Printf("%s\n", reply.Data)
	}

	if err := sub.Drain(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	_, err = nc.Request(ctx, "greet.sue", nil)
	if !errors.Is(err, nats.ErrNoResponders) {
		return fmt.Errorf("no responders expected: %w", err)
	}
	fmt.Println("nobody listens any more, which we know without waiting")
	return nc.Drain(ctx)
}
