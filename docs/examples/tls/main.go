// TLS: the server's certificate is checked, and the client presents one of its
// own. The files are read again at each connect, so they may be rotated.
//
//	NATS_URL=tls://127.0.0.1:4222 NATS_CA=ca.pem NATS_CERT=client.pem NATS_KEY=client-key.pem go run ./tls
package main

import (
	"context"
	"crypto/tls"
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
	// The system's certificate authorities do not know this server.
	_, err := nats.Connect(ctx, url)
	var unknown *tls.CertificateVerificationError
	if !errors.As(err, &unknown) {
		return fmt.Errorf("the certificate was trusted: %w", err)
	}
	fmt.Println("without the CA: TLS failed:", errors.Is(err, nats.ErrTLS))

	nc, err := nats.Connect(ctx, url, nats.Name("tls"),
		nats.RootCAs(os.Getenv("NATS_CA")),
		nats.ClientCert(os.Getenv("NATS_CERT"), os.Getenv("NATS_KEY")),
		// For anything else there is nats.Secure(&tls.Config{...}).
	)
	if err != nil {
		return err
	}
	defer nc.Close()

	state, ok := nc.TLSConnectionState()
	if !ok {
		return errors.New("not encrypted")
	}
	fmt.Println("with the CA:", tls.VersionName(state.Version), "with a server called", state.PeerCertificates[0].DNSNames)
	return nc.Drain(ctx)
}
