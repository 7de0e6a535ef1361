package nats_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"

	nats "github.com/perigee-go/nats/core"
)

// vault stands for whatever holds a key and signs with it.
var vault interface {
	Token(ctx context.Context, server string) (string, error)
	JWT() (string, error)
	Sign(nonce []byte) ([]byte, error)
}

func ExampleUserCredentials() {
	// The file is read again at each connect: replace it, and the next link uses
	// the new credentials.
	nc, err := nats.Connect(ctx, nats.DefaultURL, nats.UserCredentials("~/billing.creds"))
	var bad *nats.OptionError
	switch {
	case errors.As(err, &bad):
		log.Fatal("the file: ", bad.Problem)
	case errors.Is(err, nats.ErrAuthorization):
		log.Fatal("the server does not accept what is in it")
	case err != nil:
		log.Fatal(err)
	}
	defer nc.Drain(context.WithoutCancel(ctx))
}

func ExampleUserCredentials_seedApart() {
	nc, err := nats.Connect(ctx, nats.DefaultURL, nats.UserCredentials("billing.jwt", "$SECRETS/billing.nk"))
	if err != nil {
		log.Fatal(err)
	}
	defer nc.Drain(context.WithoutCancel(ctx))
}

func ExampleUserCredentialBytes() {
	creds := []byte(os.Getenv("BILLING_CREDS"))
	nc, err := nats.Connect(ctx, nats.DefaultURL, nats.UserCredentialBytes(creds))
	clear(creds) // the client has a copy
	if err != nil {
		log.Fatal(err)
	}
	defer nc.Drain(context.WithoutCancel(ctx))
}

func ExampleUserJWTAndSeed() {
	nc, err := nats.Connect(ctx, nats.DefaultURL, nats.UserJWTAndSeed(os.Getenv("NATS_JWT"), os.Getenv("NATS_SEED")))
	if err != nil {
		log.Fatal(err)
	}
	defer nc.Drain(context.WithoutCancel(ctx))
}

func ExampleUserJWT() {
	// The seed stays where it is; only signatures leave it.
	nc, err := nats.Connect(ctx, nats.DefaultURL, nats.UserJWT(vault.JWT, vault.Sign))
	if err != nil {
		log.Fatal(err)
	}
	defer nc.Drain(context.WithoutCancel(ctx))
}

func ExampleNkey() {
	const public = "UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4"
	nc, err := nats.Connect(ctx, nats.DefaultURL, nats.Nkey(public, vault.Sign))
	if err != nil {
		log.Fatal(err)
	}
	defer nc.Drain(context.WithoutCancel(ctx))
}

func ExampleNkeyFromSeed() {
	nc, err := nats.Connect(ctx, nats.DefaultURL, nats.NkeyFromSeed("billing.nk"))
	if err != nil {
		log.Fatal(err)
	}
	defer nc.Drain(context.WithoutCancel(ctx))
}

func ExampleAuthHandler() {
	nc, err := nats.Connect(ctx, "nats://a.example.com,nats://b.example.com",
		nats.AuthHandler(func(ctx context.Context, r nats.AuthRequest) (nats.Auth, error) {
			if !r.Secure {
				return nats.Auth{}, fmt.Errorf("no token for %s without TLS", r.Server.URL)
			}
			// ctx ends with this attempt; the next one asks again.
			token, err := vault.Token(ctx, r.Server.URL)
			return nats.Auth{Token: token}, err
		}))
	if err != nil {
		log.Fatal(err)
	}
	defer nc.Drain(context.WithoutCancel(ctx))
}
