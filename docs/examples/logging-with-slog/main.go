// Logging with slog: what no EventHandler takes is logged, one line an episode,
// to slog.Default or to the logger given with nats.Logger (nil for silence).
// With an EventHandler, as here, levels and attributes are yours.
package main

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"os"

	nats "github.com/perigee-go/nats/core"
)

func main() {
	if err := run(context.Background(), os.Getenv("NATS_URL")); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, url string) error {
	logger := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{ReplaceAttr: withoutTime}))
	over := make(chan struct{})
	nc, err := nats.Connect(ctx, url, nats.Name("logging"), nats.EventHandler(func(nc *nats.Conn, e nats.Event) {
		logEvent(logger.With("connection", nc.Name()), e)
		if _, last := e.(nats.Closed); last {
			close(over)
		}
	}))
	if err != nil {
		return err
	}
	defer nc.Close()

	if err := nc.Reconnect(ctx); err != nil {
		return err
	}
	// A queue for one message, and three come.
	sub, err := nc.SubscribeSync("feed", nats.PendingLimits(1, -1))
	if err != nil {
		return err
	}
	for range 3 {
		if err := nc.Publish("feed", nil); err != nil {
			return err
		}
		if err := nc.Flush(ctx); err != nil {
			return err
		}
	}
	if err := sub.Unsubscribe(); err != nil {
		return err
	}
	if err := nc.Drain(ctx); err != nil {
		return err
	}
	<-over // the last line is written
	return nil
}

// logEvent chooses a level and attributes. String is a line for any event.
func logEvent(logger *slog.Logger, e nats.Event) {
	switch e := e.(type) {
	case nats.Connected:
		logger.Info("connected", "server", e.Server.URL)
	case nats.Reconnected:
		logger.Info("reconnected", "server", e.Server.URL, "failed", e.Attempt)
	case nats.Disconnected:
		logger.Warn("disconnected", "server", e.Server.URL, "unknown", e.Unknown, "error", e.Err)
	case nats.ConnectFailed:
		logger.Warn("connect failed", "server", e.Server.URL, "attempt", e.Attempt, "error", e.Err)
	case nats.SlowConsumer:
		logger.Warn("slow consumer", "subject", e.Subscription.Subject(), "dropped", e.Dropped, "over", e.Over)
	case nats.AsyncError:
		logger.Error("error", "error", e.Err)
	case nats.Closed:
		logger.Info("closed", "error", e.Err)
	default:
		logger.Debug(fmt.Sprint(e))
	}
}

// withoutTime makes the lines the same each time.
func withoutTime(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && a.Key == slog.TimeKey {
		return slog.Attr{}
	}
	return a
}
