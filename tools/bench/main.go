// Command natsbench measures NATS clients: one alone, in the manner of "nats
// bench", or several side by side, each run in a process of its own.
//
//	natsbench compare --scenarios pub,sub --rounds 5
//	natsbench pub orders.new --server nats://127.0.0.1:4222 --msgs 1000000 --size 128B
package main

import (
	"context"
	"os"
	"os/signal"

	"github.com/alecthomas/kong"

	"github.com/perigee-go/nats/tools/bench/internal/compare"
)

// commandLine is everything that can be said on it.
type commandLine struct {
	Compare compareCommand `cmd:"" help:"Compare clients, scenario by scenario."`
	Quick   quickCommand   `cmd:"" help:"A short comparison, one plain line a scenario: name, x-wall, x-cpu, allocations."`
	List    listCommand    `cmd:"" help:"List the scenarios, the sets of them and the clients."`
	Profile profileCommand `cmd:"" help:"Run one scenario in this process and write profiles of it."`
	Report  reportCommand  `cmd:"" help:"Write the tables and charts of a document from the files of comparisons."`

	Pub     pubCommand     `cmd:"" help:"Publish to a server as fast as possible."`
	Sub     subCommand     `cmd:"" help:"Receive messages that somebody publishes."`
	Service serviceCommand `cmd:"" help:"Requests, and the service that answers them."`

	Child childCommand `cmd:"" hidden:"" help:"What one run of a comparison does."`
	Peers peersCommand `cmd:"" hidden:"" help:"The other ends of a comparison."`
}

type childCommand struct{}

func (childCommand) Run() error { return compare.Child(clients(), os.Stdin, os.Stdout) }

type peersCommand struct{}

func (peersCommand) Run() error { return compare.Peers(os.Stdin, os.Stdout) }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var cli commandLine
	k := kong.Parse(&cli, kong.Name("natsbench"),
		kong.Description("Measures NATS clients, alone or side by side."),
		kong.UsageOnError(),
		kong.BindTo(ctx, (*context.Context)(nil)))
	k.FatalIfErrorf(k.Run())
}
