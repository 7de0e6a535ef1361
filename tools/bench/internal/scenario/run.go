package scenario

import (
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/perigee-go/nats/tools/bench/internal/driver"
	"github.com/perigee-go/nats/tools/bench/internal/peers"
)

// Env tells a run where everything is.
type Env struct {
	Peers     peers.Addresses
	Server    string  // URL of a real server
	TLSServer string  // URL of a real server with TLS
	CAFile    string  // who signed its certificate
	Scale     float64 // factor on the number of messages
	Hooks     Hooks   `json:"-"`
}

// Hooks are called where the measured part of a run begins and ends.
type Hooks struct{ Begin, End func() }

// Client is what a run measures: a driver, or a whole program of its own, which
// the bare limits are.
type Client struct {
	driver.Driver
	// Supports, if set, reports whether the client can do the scenario. Without
	// it everything is supported.
	Supports func(Spec) bool
	// Measure, if set, does the whole scenario instead of the driver.
	Measure func(Spec, Env, *Result) error
}

// Does reports whether the client can do the scenario.
func (c Client) Does(s Spec) bool { return c.Supports == nil || c.Supports(s) }

// run is one run of a scenario under way.
type run struct {
	Spec
	Env
	client driver.Driver
	result *Result
}

// Run runs a scenario once. A failure is in the result.
func Run(c Client, s Spec, env Env) (r Result) {
	r = Result{Client: c.Name, Scenario: s.Name}
	defer func() {
		if p := recover(); p != nil {
			r.Err = fmt.Sprint("panic: ", p)
		}
	}()
	var err error
	if c.Measure != nil {
		err = c.Measure(s, env, &r)
	} else {
		err = kinds[s.Kind].run(&run{s, env, c.Driver, &r})
	}
	if err != nil {
		r.Err = err.Error()
	}
	return r
}

// connect connects to a peer, or to the TLS server in the scenarios over TLS.
func (r *run) connect(peer string) (driver.Conn, error) {
	if r.TLS {
		return r.client.Connect(driver.Options{URL: r.TLSServer, CAFile: r.CAFile})
	}
	return r.client.Connect(driver.Options{URL: "nats://" + peer})
}

// connectServer connects to a real server.
func (r *run) connectServer() (driver.Conn, error) {
	if r.TLS {
		return r.connect("")
	}
	return r.client.Connect(driver.Options{URL: r.Server})
}

// measure measures work; units are messages of the scenario's size.
func (r *run) measure(messages int, work func() error) error {
	m := Begin(r.Hooks)
	err := work()
	m.End(r.result)
	r.result.Msgs, r.result.Bytes = messages, messages*r.Size
	return err
}

// Count is the number of messages of a size, so that base millions of small ones
// and as many large ones as are due take about as long.
func Count(size int, base, scale float64) int {
	n := base * 1e6 * scale
	least := 1000
	switch {
	case size >= 1<<20:
		n, least = n/2400, 50
	case size >= 256<<10:
		n, least = n/600, 100
	case size >= 64<<10:
		n, least = n/150, 200
	case size >= 8<<10:
		n /= 20
	case size >= 1<<10:
		n /= 3
	}
	return max(int(n), least)
}

// Window is how far ahead of the receiver a sender may run, so that nobody drops
// a message with default limits.
func Window(size int) int {
	return max(16, min(48<<10, (16<<20)/max(size, 1)))
}

// patience bounds every wait for messages that may never come.
const patience = 60 * time.Second

// wait waits for done and says how far it got otherwise.
func wait(done <-chan struct{}, got func() int64, want int) error {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-done:
		return nil
	case <-timer.C:
		return fmt.Errorf("stuck at %d of %d messages", got(), want)
	}
}

// HostPort returns the address in a URL.
func HostPort(rawURL string) (string, error) {
	u, err := url.Parse(rawURL)
	if err != nil || u.Host == "" {
		return "", errors.Join(fmt.Errorf("no address in %q", rawURL), err)
	}
	return u.Host, nil
}
