// Quickstart: the code of the README.
package main

import (
	"context"
	"fmt"
	"log"
	"os"

	nats "github.com/perigee-go/nats/core"
)

func main() {
	if err := greet(context.Background(), os.Getenv("NATS_URL")); err != nil {
		log.Fatal(err)
	}
}

func greet(ctx context.Context, url string) error {
	nc, err := nats.Connect(ctx, url, nats.Name("quickstart"))
	if err != nil {
		return err
	}
	defer nc.Drain(context.WithoutCancel(ctx)) // lets handlers finish, sends, closes

	_, err = nc.Subscribe("greet.*", func(m nats.Msg) {
		_ = m.Respond([]byte("hello from " + m.Subject))
	})
	if err != nil {
		return err
	}
	reply, err := nc.Request(ctx, "greet.joe", nil)
	if err != nil {
		return err
	}
	fmt.Println(string(reply.Data))
	return nil
}
