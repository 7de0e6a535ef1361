// Nkeys: the server knows a public key, and the client proves with each connect
// that it has the secret half, the seed, which never leaves it. "nk -gen user"
// makes one.
//
//	authorization { users: [ { nkey: UD6G… } ] }      in the server's configuration
//	NATS_SEED_FILE=joe.nk go run ./auth-nkey
package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log"
	"os"

	"github.com/nats-io/nkeys"
	nats "github.com/perigee-go/nats/core"
)

func main() {
	if err := run(context.Background(), os.Getenv("NATS_URL")); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, url string) error {
	nc, err := nats.Connect(ctx, url, nats.NkeyFromSeed("$NATS_SEED_FILE"))
	if err != nil {
		return err
	}
	defer nc.Close()
	fmt.Println("with the seed's file: connected")

	// A handler may sign with whatever holds the key, and choose by server.
	handled, err := nats.Connect(ctx, url, nats.AuthHandler(sign))
	if err != nil {
		return err
	}
	defer handled.Close()
	fmt.Println("with a handler: connected")
	return errors.Join(handled.Drain(ctx), nc.Drain(ctx))
}

// sign is asked at each attempt to connect; ctx ends with the attempt.
func sign(ctx context.Context, r nats.AuthRequest) (nats.Auth, error) {
	if len(r.Nonce) == 0 {
		return nats.Auth{}, fmt.Errorf("%s knows no nkeys", r.Server.URL)
	}
	seed, err := os.ReadFile(os.Getenv("NATS_SEED_FILE")) // or a vault, under ctx
	if err != nil {
		return nats.Auth{}, err
	}
	key, err := nkeys.FromSeed(bytes.TrimSpace(seed))
	if err != nil {
		return nats.Auth{}, err
	}
	defer key.Wipe()
	public, err := key.PublicKey()
	if err != nil {
		return nats.Auth{}, err
	}
	signature, err := key.Sign(r.Nonce)
	if err != nil {
		return nats.Auth{}, err
	}
	return nats.Auth{Nkey: public, Signature: base64.RawURLEncoding.EncodeToString(signature)}, nil
}
