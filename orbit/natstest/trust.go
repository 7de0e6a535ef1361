package natstest

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"
)

// The server's side of an operator. It runs where the server runs, maybe in a
// process of its own.

// learnTimeout bounds a server's answer to a change of its accounts.
const learnTimeout = 10 * time.Second

// fetchTimeout bounds the search for an account that a full resolver does not
// have, on other servers. The server's own is two seconds, which users who are
// to be refused wait for.
const fetchTimeout = 250 * time.Millisecond

// refreshTrust takes over the operator's present state.
func (s *settings) refreshTrust() {
	if s.operator != nil {
		s.Trust = s.operator.trust()
	}
}

func (s *settings) setTrust(o *server.Options) error {
	if s.Trust == nil {
		return nil
	}
	claims, err := jwt.DecodeOperatorClaims(s.Trust.Operator)
	if err != nil {
		return fmt.Errorf("operator: %w", err)
	}
	o.TrustedOperators = []*jwt.OperatorClaims{claims}
	o.SystemAccount = s.Trust.System
	return nil
}

// newResolver makes the resolver of one life of a server, or none without an
// operator. A full one has what it had when the server went down, and what the
// operator has changed meanwhile. The caller closes it, unless a server does.
func (s *settings) newResolver() (server.AccountResolver, error) {
	switch {
	case s.Trust == nil:
		return nil, nil
	case s.FullResolver:
		return s.newFullResolver()
	}
	memory := &server.MemAccResolver{}
	for account, text := range s.Trust.Accounts {
		_ = memory.Store(account, text) // a map does not fail
	}
	return memory, nil
}

func (s *settings) newFullResolver() (server.AccountResolver, error) {
	for _, account := range s.Trust.Deleted {
		err := os.Remove(filepath.Join(s.ResolverDir, account+".jwt"))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("resolver: %w", err)
		}
	}
	full, err := server.NewDirAccResolver(s.ResolverDir, 0, time.Minute, server.HardDelete, server.FetchTimeout(fetchTimeout))
	if err != nil {
		return nil, fmt.Errorf("resolver: %w", err)
	}
	for account, text := range s.Trust.Accounts {
		if err := full.Store(account, text); err != nil {
			full.Close()
			return nil, fmt.Errorf("resolver: %w", err)
		}
	}
	return full, nil
}

// learn makes srv know the account as s has it. A resolver in memory is
// exchanged by a reload, a full one is changed, because others may have changed
// it, too.
func (s *settings) learn(srv *server.Server, account string) error {
	if !s.FullResolver {
		return reload(srv, s)
	}
	text, known := s.Trust.Accounts[account]
	if !known {
		return s.askResolver(srv, "$SYS.REQ.CLAIMS.DELETE", s.Trust.Deletion)
	}
	// Not by a request, as above: all servers get that, and take what arrives
	// last for the latest. The other way round does no harm, since no account
	// comes back.
	full, ok := srv.AccountResolver().(*server.DirAccResolver)
	if !ok {
		return errors.New("resolver: exchanged by somebody else")
	}
	return full.SaveAcc(account, text)
}

// askResolver sends a request to all servers that srv reaches and waits for the
// answer of srv itself.
func (s *settings) askResolver(srv *server.Server, subject, body string) error {
	conn, err := srv.InProcessConn()
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }() // all that matters was heard
	if err := conn.SetDeadline(time.Now().Add(learnTimeout)); err != nil {
		return err
	}
	answers := bufio.NewReader(conn)
	if err := s.Trust.login(conn, answers); err != nil {
		return err
	}
	// Gateways confuse replies to requests that others make at the same time
	// with the same reply subject.
	inbox := randomName()
	if _, err := fmt.Fprintf(conn, "SUB %s 1\r\nPUB %s %s %d\r\n%s\r\n", inbox, subject, inbox, len(body), body); err != nil {
		return err
	}
	for {
		var answer server.ServerAPIClaimUpdateResponse
		if err := hearAnswer(answers, &answer); err != nil {
			return fmt.Errorf("%s: %w", subject, err)
		}
		switch {
		case answer.Server == nil || answer.Server.ID != srv.ID():
		case answer.Error != nil:
			return fmt.Errorf("%s: %s", subject, answer.Error.Description)
		default:
			return nil
		}
	}
}

// login says CONNECT as the operator's own user.
func (t *trust) login(conn net.Conn, heard *bufio.Reader) error {
	line, err := heard.ReadString('\n')
	if err != nil {
		return err
	}
	var info struct {
		Nonce string `json:"nonce"`
	}
	if err := json.Unmarshal([]byte(strings.TrimPrefix(line, "INFO ")), &info); err != nil {
		return err
	}
	pair, err := nkeys.FromSeed([]byte(t.Seed))
	if err != nil {
		return err
	}
	signature, err := pair.Sign([]byte(info.Nonce))
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(conn, "CONNECT {\"verbose\":false,\"jwt\":%q,\"sig\":%q}\r\n",
		t.JWT, base64.RawURLEncoding.EncodeToString(signature))
	return err
}

// hearAnswer reads up to the next message and its JSON.
func hearAnswer(heard *bufio.Reader, answer any) error {
	for {
		line, err := heard.ReadString('\n')
		if err != nil {
			return err
		}
		if strings.HasPrefix(line, "-ERR") {
			return errors.New(strings.TrimSpace(line))
		}
		fields := strings.Fields(line)
		if len(fields) == 0 || fields[0] != "MSG" {
			continue
		}
		var size int
		if _, err := fmt.Sscan(fields[len(fields)-1], &size); err != nil {
			return err
		}
		body := make([]byte, size)
		if _, err := io.ReadFull(heard, body); err != nil {
			return err
		}
		return json.Unmarshal(body, answer)
	}
}
