package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/perigee-go/nats/tools/bench/internal/driver"
	"github.com/perigee-go/nats/tools/bench/internal/driver/natsgo"
	"github.com/perigee-go/nats/tools/bench/internal/driver/perigee"
	"github.com/perigee-go/nats/tools/bench/internal/limits"
	"github.com/perigee-go/nats/tools/bench/internal/scenario"
)

// drivers are the clients that can do everything.
func drivers() []driver.Driver { return []driver.Driver{perigee.Driver(), natsgo.Driver()} }

// clients are all that a comparison can have: the drivers, variants of them for
// some scenarios, and the bare limits.
func clients() []scenario.Client {
	var all []scenario.Client
	for _, d := range drivers() {
		all = append(all, scenario.Client{Driver: d})
	}
	all = append(all, scenario.Client{Driver: perigee.OnReader(), Supports: hasPlainCallbacks})
	return append(all, limits.All()...)
}

// hasPlainCallbacks: where a callback may borrow its message.
func hasPlainCallbacks(s scenario.Spec) bool { return s.Kind == "cb" || s.Kind == "e2e" }

// chooseClients resolves names; "raw" is all the bare limits.
func chooseClients(names []string) ([]scenario.Client, error) {
	all := clients()
	var chosen []scenario.Client
	for _, name := range names {
		found := false
		for _, c := range all {
			if c.Name == name || name == "raw" && strings.HasPrefix(c.Name, "raw") {
				chosen = append(chosen, c)
				found = true
			}
		}
		if !found {
			return nil, fmt.Errorf("there is no client %q; there are %s and raw for all limits", name, clientNames(all))
		}
	}
	return chosen, nil
}

func clientNames(all []scenario.Client) string {
	var names []string
	for _, c := range all {
		names = append(names, c.Name)
	}
	return strings.Join(names, ", ")
}

// chooseDriver finds a client for the modes that measure one alone.
func chooseDriver(name string) (driver.Driver, error) {
	all := drivers()
	i := slices.IndexFunc(all, func(d driver.Driver) bool { return d.Name == name })
	if i < 0 {
		return driver.Driver{}, fmt.Errorf("there is no client %q", name)
	}
	return all[i], nil
}

// versions are those of the drivers among the clients.
func versions(chosen []scenario.Client) map[string]string {
	v := map[string]string{}
	for _, c := range chosen {
		if c.Version != "" {
			v[c.Name] = c.Version
		}
	}
	return v
}
