// JSON: a payload is bytes, and encoding them is yours. What cannot be decoded
// is an answer, too.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"os"

	nats "github.com/perigee-go/nats/core"
)

type order struct {
	Item     string `json:"item"`
	Quantity int    `json:"quantity"`
}

type receipt struct {
	Total int    `json:"total,omitempty"`
	Error string `json:"error,omitempty"`
}

func main() {
	if err := run(context.Background(), os.Getenv("NATS_URL")); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, url string) error {
	nc, err := nats.Connect(ctx, url, nats.Name("json"))
	if err != nil {
		return err
	}
	defer nc.Close()

	_, err = nc.Subscribe("orders", func(m nats.Msg) {
		if err := respond(m, take(m.Data)); err != nil {
			log.Print(err)
		}
	})
	if err != nil {
		return err
	}

	data, err := json.Marshal(order{Item: "tea", Quantity: 3})
	if err != nil {
		return err
	}
	for _, payload := range [][]byte{data, []byte("three cups of tea")} {
		reply, err := nc.Request(ctx, "orders", payload)
		if err != nil {
			return err
		}
		var r receipt
		if err := json.Unmarshal(reply.Data, &r); err != nil {
			return fmt.Errorf("the reply to %s: %w", payload, err)
		}
		fmt.Printf("%s -> %+v\n", payload, r)
	}
	return nc.Drain(ctx)
}

// take handles one order.
func take(data []byte) receipt {
	var o order
	if err := json.Unmarshal(data, &o); err != nil {
		return receipt{Error: "not an order"}
	}
	return receipt{Total: 4 * o.Quantity}
}

// respond answers with v as JSON.
func respond(m nats.Msg, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return m.Respond(data)
}
