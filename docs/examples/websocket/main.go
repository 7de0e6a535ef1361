// WebSocket: NATS through what only knows HTTP. With wss there is TLS below, and
// the TLS options apply.
//
//	websocket { port: 8080, no_tls: true, compression: true } in nats-server's configuration
//	NATS_WS_URL=ws://127.0.0.1:8080 go run ./websocket
package main

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"os"
	"strings"

	nats "github.com/perigee-go/nats/core"
)

func main() {
	if err := run(context.Background(), os.Getenv("NATS_WS_URL")); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, url string) error {
	attempts := 0
	nc, err := nats.Connect(ctx, url, nats.Name("websocket"),
		nats.Compression(true), // if the server agrees
		nats.WebSocketConnectionHeadersHandler(func(context.Context) (http.Header, error) {
			attempts++
			// For a gateway, or a server that takes credentials from cookies.
			return http.Header{"Authorization": {"Bearer " + freshToken()}}, nil
		}),
		// nats.ProxyPath("/nats") if the gateway has the server at a path.
	)
	if err != nil {
		return err
	}
	defer nc.Close()
	scheme, _, _ := strings.Cut(nc.ConnectedURL(), "://")
	fmt.Println("connected by", scheme)

	_, err = nc.Subscribe("upper", func(m nats.Msg) {
		_ = m.Respond([]byte(strings.ToUpper(string(m.Data))))
	})
	if err != nil {
		return err
	}
	m, err := nc.Request(ctx, "upper", []byte("everything else is as usual"))
	if err != nil {
		return err
	}
	fmt.Printf("%s\n", m.Data)

	if err := nc.Reconnect(ctx); err != nil {
		return err
	}
	fmt.Println("tokens asked for:", attempts)
	return nc.Drain(ctx)
}

func freshToken() string { return "short-lived" }
