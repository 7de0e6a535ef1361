package compare

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"

	"github.com/perigee-go/nats/orbit/natstest"

	"github.com/perigee-go/nats/tools/bench/internal/peers"
	"github.com/perigee-go/nats/tools/bench/internal/scenario"
)

// Surroundings are the servers and peers around the runs, each in a process of
// its own.
type Surroundings struct {
	Env    scenario.Env // without scale and hooks
	server *natstest.Process
	tls    *natstest.Process
	peers  *exec.Cmd
	stdin  io.Closer
}

// peersTask tells the process of the peers which servers to work on.
type peersTask struct{ Server, TLSServer string } // host:port or empty

// StartSurroundings starts what the scenarios need. The caller calls Stop.
func StartSurroundings(specs []scenario.Spec) (s *Surroundings, err error) {
	s = &Surroundings{}
	defer func() {
		if err != nil {
			s.Stop()
		}
	}()
	var t peersTask
	if slices.ContainsFunc(specs, func(s scenario.Spec) bool { return s.NeedsServer() && !s.TLS }) {
		var options []natstest.Option
		if slices.ContainsFunc(specs, scenario.Spec.NeedsStreams) {
			options = append(options, natstest.JetStream())
		}
		if s.server, err = natstest.StartProcess(options...); err != nil {
			return s, err
		}
		s.Env.Server, t.Server = s.server.URL(), s.server.Addr()
	}
	if slices.ContainsFunc(specs, func(s scenario.Spec) bool { return s.TLS }) {
		// The bare peers do without TLS.
		if s.tls, err = natstest.StartProcess(natstest.TLS(), natstest.AllowNonTLS()); err != nil {
			return s, err
		}
		t.TLSServer = s.tls.Addr()
		s.Env.TLSServer, s.Env.CAFile = "tls://"+t.TLSServer, s.tls.CAFile()
	}
	return s, s.startPeers(t)
}

func (s *Surroundings) startPeers(t peersTask) error {
	cmd, err := command(context.Background(), PeersCommand)
	if err != nil {
		return err
	}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	stderr := &lastBytes{}
	cmd.Stderr = stderr
	if err := cmd.Start(); err != nil {
		return err
	}
	s.peers, s.stdin = cmd, stdin
	if err := send(stdin, t); err != nil {
		return err
	}
	lines := bufio.NewReader(stdout)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return fmt.Errorf("the peers did not start: %w", err)
		}
		if strings.HasPrefix(line, reportPrefix) {
			return readReport([]byte(line), &s.Env.Peers)
		}
	}
}

// Stop ends all of it.
func (s *Surroundings) Stop() {
	if s.peers != nil {
		_ = s.stdin.Close() // that ends it
		_ = s.peers.Wait()  // with the status of one that was ended
	}
	for _, p := range []*natstest.Process{s.server, s.tls} {
		if p != nil {
			p.Stop()
		}
	}
}

// Peers is the whole life of the process of the peers.
func Peers(stdin io.Reader, stdout io.Writer) error {
	in := bufio.NewReader(stdin)
	line, err := in.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("no task on the standard input: %w", err)
	}
	var t peersTask
	if err := json.Unmarshal(line, &t); err != nil {
		return err
	}
	addresses, err := peers.Serve()
	for _, server := range []string{t.Server, t.TLSServer} {
		if server != "" {
			err = errors.Join(err, peers.Respond(server), peers.Blast(server))
		}
	}
	if err != nil {
		return err
	}
	if err := report(stdout, addresses); err != nil {
		return err
	}
	endWithParent(in)
	return nil
}
