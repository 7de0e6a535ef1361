package basic

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	nats "github.com/perigee-go/nats/core"
	"github.com/perigee-go/nats/orbit/natstest"
)

func TestSmoke(t *testing.T) {
	srv := natstest.Run(t)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	nc, err := nats.Connect(ctx, srv.URL(), nats.EventHandler(func(nc *nats.Conn, e nats.Event) { fmt.Println("event:", e) }))
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan nats.Msg, 10)
	if _, err := nc.Subscribe("a.*", func(m nats.Msg) { got <- m; m.Respond([]byte("yes " + string(m.Data))) }); err != nil {
		t.Fatal(err)
	}
	if err := nc.Publish("a.b", []byte("hello")); err != nil {
		t.Fatal(err)
	}
	m := <-got
	fmt.Println(m.Subject, string(m.Data))
	r, err := nc.Request(ctx, "a.c", []byte("q"))
	fmt.Println(string(r.Data), err)
	_, err = nc.Request(ctx, "nobody", nil)
	fmt.Println(err, errors.Is(err, nats.ErrNoResponders))
	fmt.Println(nc.RTT(ctx))
	srv.Shutdown()
	for i := range 3 {
		nc.Publish("a.x", fmt.Append(nil, i))
	}
	srv.Restart()
	for range 4 {
		m := <-got
		fmt.Println(m.Subject, string(m.Data))
	}
	fmt.Printf("%+v\n", nc.Stats())
	if err := nc.Drain(ctx); err != nil {
		t.Fatal(err)
	}
	fmt.Printf("%+v\n", nc.Stats())
}
