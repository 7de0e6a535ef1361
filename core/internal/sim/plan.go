package sim

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// Kind is what an [Op] does.
type Kind uint8

// Faults.
const (
	Cut           Kind = iota // a client's connection is reset
	CutAt                     // after N more bytes from the client have arrived
	CutDownAt                 // after N more bytes to the client have arrived
	StallUp                   // what the client sends does not arrive
	StallDown                 // what it is sent does not arrive
	HalfOpen                  // neither, and nobody hears of it
	Suspend                   // the client's machine sleeps: its clock jumps
	ServerErr                 // its server sends an -ERR that nobody knows
	ServerPing                // its server sends PING
	Expire                    // its credentials end
	Refuse                    // a server refuses connections
	Hole                      // a server does not answer dials
	AuthRefuse                // a server refuses credentials
	AuthRefuseAll             // all do
	SlowInfo                  // a server's INFO takes long
	Mute                      // a server takes subscriptions and does not answer, or hangs up
	Restart                   // a server goes down and comes back
	RestartAll                // all do
	LameDuck                  // a server goes into lame duck mode, and comes back
	Join                      // a server joins
	Leave                     // a server leaves

	// Of consumers, whose number Who is.

	StepDown        // the leader goes, and another one comes after For
	ConsumerDeleted // and made again after For
	NoJetStream     // nowhere
	Crowd           // other clients make N pulls
	Forge           // somebody sends to the inbox of a session
	firstWork
)

// Work of a client.
const (
	Publish     = firstWork + iota // N messages within For
	PublishHuge                    // one message that not every server takes
	Request                        // N requests
	Flush
	Subscribe // Mode says which kind
	Unsubscribe
	AutoUnsubscribe // after N messages
	DrainSub
	Slow // a consumer pauses for For
	Reconnect
	Drain
	Close
	Store    // N messages within For into the stream of a consumer; Mode says how large
	Pull     // a session begins; Mode says which
	PullStop // a session is stopped
	PullDrain
	PullSlow // whoever takes a session's messages pauses for For
	kinds
)

var kindNames = [...]string{
	"cut", "cut at byte", "cut down at byte", "stall up", "stall down", "half-open", "suspend", "server error",
	"server ping", "expire", "refuse", "hole", "refuse credentials", "all refuse credentials", "slow INFO", "mute",
	"restart", "restart all", "lame duck", "join", "leave",
	"step down", "consumer deleted", "no JetStream", "crowd", "forge",
	"publish", "publish huge", "request", "flush", "subscribe", "unsubscribe", "auto-unsubscribe", "drain subscription",
	"slow", "reconnect", "drain", "close",
	"store", "pull", "pull stop", "pull drain", "pull slow",
}

func (k Kind) String() string { return kindNames[k] }

// Fault reports whether it is a fault, not work.
func (k Kind) Fault() bool { return k < firstWork }

// OfConsumer reports whether it is a fault of a consumer.
func (k Kind) OfConsumer() bool { return k >= StepDown && k.Fault() }

// Op is one thing that happens in a simulation.
type Op struct {
	At   time.Duration
	Kind Kind
	Who  int // a client or a server
	For  time.Duration
	N    int
	Mode int
}

func (o Op) String() string {
	return fmt.Sprintf("%14.6fs  %-24s %3d  for %v, n %d, mode %d", o.At.Seconds(), o.Kind, o.Who, o.For, o.N, o.Mode)
}

// Plan is a whole simulation. At each time of Calms all faults stop, and a while
// later everything has to be well; so it is at Horizon.
type Plan struct {
	Seed             uint64
	Luck             uint64 // another course of chance for the same plan
	Clients, Servers int
	Consumers        int
	Horizon          time.Duration
	Calms            []time.Duration
	Ops              []Op // in the order of their times
}

// String lists the plan.
func (p Plan) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d, luck %d, %d clients, %d servers, %d consumers, until %v, calm at %v\n",
		p.Seed, p.Luck, p.Clients, p.Servers, p.Consumers, p.Horizon, p.Calms)
	for _, o := range p.Ops {
		fmt.Fprintln(&b, o)
	}
	return b.String()
}

// Settle is how long a calm lasts at least before the next trouble.
const Settle = 3 * time.Minute

// episode is how long a time of trouble lasts at most.
const episode = 2 * time.Minute

// NewPlan plans a day by chance: some times of trouble, quiet hours between.
func NewPlan(seed uint64, horizon time.Duration, episodes int) Plan {
	rng := rand.New(rand.NewPCG(seed, 0x1ce1ce))
	p := Plan{Seed: seed, Clients: 2 + rng.IntN(3), Servers: 1 + rng.IntN(4), Horizon: horizon}
	p.plan(rng, episodes, &weights)
	return p
}

// NewPullPlan plans the same for clients that pull from consumers. In the quiet
// hours messages come, too.
func NewPullPlan(seed uint64, horizon time.Duration, episodes int) Plan {
	rng := rand.New(rand.NewPCG(seed, 0x9011))
	p := Plan{Seed: seed, Clients: 1 + rng.IntN(3), Servers: 1 + rng.IntN(4), Consumers: 1 + rng.IntN(3), Horizon: horizon}
	p.plan(rng, episodes, &pullWeights)
	for range 4 * episodes {
		p.Ops = append(p.Ops, Op{At: time.Duration(rng.Int64N(int64(horizon))), Kind: Store, Who: rng.IntN(64), N: 1 + rng.IntN(3), Mode: rng.IntN(1 << 16)})
	}
	p.sort()
	return p
}

func (p *Plan) sort() {
	slices.SortStableFunc(p.Ops, func(a, b Op) int { return cmp.Compare(a.At, b.At) })
}

// plan makes the times of trouble.
func (p *Plan) plan(rng *rand.Rand, episodes int, weights *[kinds]int) {
	apart := p.Horizon / time.Duration(episodes)
	for i := range episodes {
		lasts := 10*time.Second + time.Duration(rng.Int64N(int64(episode-10*time.Second)))
		start := time.Duration(i) * apart
		if room := apart - lasts - Settle; room > 0 {
			start += time.Duration(rng.Int64N(int64(room)))
		}
		p.trouble(rng, start, lasts, weights)
		p.Calms = append(p.Calms, start+lasts)
	}
	p.sort()
}

// weights say how often what happens, beside each other.
var weights = [kinds]int{
	Cut: 10, CutAt: 14, CutDownAt: 8, StallUp: 6, StallDown: 6, HalfOpen: 5, Suspend: 4, ServerErr: 3, ServerPing: 6,
	Expire: 2, Refuse: 6, Hole: 4, AuthRefuse: 5, AuthRefuseAll: 2, SlowInfo: 4, Mute: 3, Restart: 6, RestartAll: 3, LameDuck: 7,
	Join: 2, Leave: 2,
	Publish: 40, PublishHuge: 8, Request: 24, Flush: 12, Subscribe: 24, Unsubscribe: 6, AutoUnsubscribe: 5, DrainSub: 7,
	Slow: 8, Reconnect: 3, Drain: 4, Close: 2,
}

// pullWeights are those for clients that pull.
var pullWeights = [kinds]int{
	Cut: 10, CutAt: 8, CutDownAt: 12, StallUp: 6, StallDown: 6, HalfOpen: 3, Suspend: 4, ServerErr: 1, ServerPing: 2,
	Expire: 1, Refuse: 4, Hole: 2, AuthRefuse: 2, SlowInfo: 2, Mute: 2, Restart: 6, RestartAll: 3, LameDuck: 4,
	Join: 1, Leave: 1,
	StepDown: 20, ConsumerDeleted: 4, NoJetStream: 4, Crowd: 6, Forge: 12,
	Publish: 6, Flush: 4, Reconnect: 2, Drain: 2, Close: 2,
	Store: 60, Pull: 36, PullStop: 8, PullDrain: 6, PullSlow: 14,
}

func (p *Plan) trouble(rng *rand.Rand, start, lasts time.Duration, weights *[kinds]int) {
	total := 0
	for _, w := range weights {
		total += w
	}
	for range 20 + rng.IntN(70) {
		n := rng.IntN(total)
		k := Kind(0)
		for n >= weights[k] {
			n -= weights[k]
			k++
		}
		o := Op{Kind: k, Who: rng.IntN(64), N: 1 + rng.IntN(40), Mode: rng.IntN(1 << 16)}
		o.At = start + time.Duration(rng.Int64N(int64(lasts-time.Second)))
		o.For = time.Duration(rng.Int64N(int64(20 * time.Second)))
		if rng.IntN(3) == 0 {
			o.For = time.Duration(rng.Int64N(int64(time.Second)))
		}
		switch k {
		case CutAt, CutDownAt:
			o.N = 1 + rng.IntN(1<<rng.IntN(12))
		case Publish, Store, Crowd:
			o.N = 1 + rng.IntN(1<<rng.IntN(9))
		case AuthRefuseAll:
			o.For = time.Duration(rng.Int64N(int64(lasts)))
		}
		p.Ops = append(p.Ops, o)
		// Trouble where something is going on is worth more.
		if k == Drain {
			f := [...]Kind{LameDuck, Cut, Cut, Restart}[rng.IntN(4)]
			p.Ops = append(p.Ops, Op{At: o.At + time.Duration(rng.Int64N(int64(10*time.Millisecond))), Kind: f, Who: o.Who, For: o.For, Mode: o.Mode})
		}
		if k == Publish || k == Request || k == Store {
			for _, f := range []Kind{Cut, CutAt, CutDownAt, StallUp, HalfOpen} {
				if rng.IntN(8) == 0 {
					p.Ops = append(p.Ops, Op{At: o.At + time.Duration(rng.Int64N(1+int64(min(o.For, start+lasts-o.At-1)))), Kind: f, Who: o.Who,
						N: 1 + rng.IntN(1<<rng.IntN(12)), For: time.Duration(rng.Int64N(int64(5 * time.Second))), Mode: rng.IntN(1 << 16)})
				}
			}
		}
	}
}
