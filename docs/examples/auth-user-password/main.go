// User and password. They can stand in the URL as well, which wins:
// nats://alice:secret@127.0.0.1:4222. No error and no log line shows them.
//
//	nats-server --user alice --pass secret
//	NATS_USER=alice NATS_PASSWORD=secret go run ./auth-user-password
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
	_, err := nats.Connect(ctx, url, nats.UserInfo(os.Getenv("NATS_USER"), "a guess"))
	if !errors.Is(err, nats.ErrAuthorization) {
		return fmt.Errorf("a wrong password was not refused: %w", err)
	}
	fmt.Println("a wrong password is refused")

	// UserInfoHandler is asked at each connect, for passwords that change.
	nc, err := nats.Connect(ctx, url, nats.UserInfoHandler(func() (user, password string) {
		return os.Getenv("NATS_USER"), os.Getenv("NATS_PASSWORD")
	}))
	if err != nil {
		return err
	}
	defer nc.Close()
	fmt.Println("connected")
	return nc.Drain(ctx)
}
