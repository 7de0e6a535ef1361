// Token: one secret for everybody. It can stand in the URL as well, which wins:
// nats://token@127.0.0.1:4222.
//
//	nats-server --auth s3cr3t
//	NATS_TOKEN=s3cr3t go run ./auth-token
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
		return fmt.Errorf("no token was needed: %w", err)
	}
	fmt.Println("without a token: refused")

	// TokenHandler is asked at each connect, for tokens that change.
	nc, err := nats.Connect(ctx, url, nats.Token(os.Getenv("NATS_TOKEN")))
	if err != nil {
		return err
	}
	defer nc.Close()
	fmt.Println("with the token: connected")
	return nc.Drain(ctx)
}
