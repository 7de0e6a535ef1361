package peers

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"

	"github.com/perigee-go/nats/tools/bench/internal/wire"
)

// EchoSubject is where the responder answers.
const EchoSubject = "bench.echo"

// onServer is a bare connection to a real server.
type onServer struct {
	net.Conn
	in *bufio.Reader
}

// dial connects, subscribes and waits until the server has it.
func dial(address string, subjects ...string) (*onServer, error) {
	c, err := net.DialTimeout("tcp", address, 5*time.Second)
	if err != nil {
		return nil, err
	}
	s := &onServer{c, bufio.NewReaderSize(c, 256<<10)}
	if _, err := s.in.ReadString('\n'); err != nil {
		return nil, err
	}
	hello := []byte(wire.Connect)
	for i, subject := range subjects {
		hello = fmt.Appendf(hello, "SUB %s %d\r\n", subject, i+1)
	}
	if _, err := c.Write(append(hello, wire.Ping...)); err != nil {
		return nil, err
	}
	for {
		line, err := s.in.ReadString('\n')
		if err != nil {
			return nil, err
		}
		if line == wire.Pong {
			return s, nil
		}
	}
}

// Respond answers requests with their own payload, as fast as a bare loop can:
// one write for all requests of one read. It returns when it is subscribed.
func Respond(address string) error {
	s, err := dial(address, EchoSubject)
	if err != nil {
		return err
	}
	go func() {
		defer s.Close()
		_ = s.echo() // the server is gone, and then the process ends soon
	}()
	return nil
}

func (s *onServer) echo() error {
	var out []byte
	for {
		line, err := s.in.ReadSlice('\n')
		if err != nil {
			return err
		}
		switch {
		case bytes.HasPrefix(line, []byte("MSG ")):
			if out, err = s.appendReply(out, bytes.Fields(line)); err != nil {
				return err
			}
		case string(line) == wire.Ping:
			out = append(out, wire.Pong...)
		}
		if s.in.Buffered() == 0 && len(out) > 0 {
			if _, err := s.Write(out); err != nil {
				return err
			}
			out = out[:0]
		}
	}
}

// appendReply appends the answer to the message whose line consists of words and
// whose payload comes next.
func (s *onServer) appendReply(out []byte, words [][]byte) ([]byte, error) {
	length := words[len(words)-1]
	size, err := strconv.Atoi(string(length))
	if err != nil {
		return nil, err
	}
	out = append(out, "PUB "...)
	if len(words) == 5 {
		out = append(out, words[3]...)
	} else {
		out = append(out, "bench.void"...)
	}
	out = append(out, ' ')
	out = append(out, length...)
	out = append(out, "\r\n"...)
	for need := size + 2; need > 0; {
		p, err := s.in.Peek(min(need, max(1, s.in.Buffered())))
		if err != nil {
			return nil, err
		}
		out = append(out, p...)
		need -= len(p)
		_, _ = s.in.Discard(len(p)) // they are there
	}
	return out, nil
}

// Blast takes the same orders as the firehose and publishes to a real server, so
// that receiving can be measured behind one. It returns when it is subscribed.
func Blast(address string) error {
	s, err := dial(address, StartSubject, CreditSubject)
	if err != nil {
		return err
	}
	go func() {
		defer s.Close()
		_ = s.blast() // as above
	}()
	return nil
}

func (s *onServer) blast() error {
	flow := newFlow()
	defer flow.stop()
	for {
		line, err := s.in.ReadString('\n')
		if err != nil {
			return err
		}
		words := bytes.Fields([]byte(line))
		switch {
		case line == wire.Ping:
			if _, err := io.WriteString(s, wire.Pong); err != nil {
				return err
			}
		case len(words) >= 4 && string(words[0]) == "MSG":
			body, err := readBody(s.in, string(words[len(words)-1]))
			if err != nil {
				return err
			}
			if err := s.obey(flow, string(words[1]), body); err != nil {
				return err
			}
		}
	}
}

func (s *onServer) obey(flow *flow, subject, body string) error {
	if subject == CreditSubject {
		n, err := strconv.Atoi(body)
		flow.credit(n)
		return err
	}
	o, err := parseOrder(body)
	if err != nil {
		return err
	}
	payload := wire.Payload(o.Size)
	f := render(o.Subs, func(dst []byte, i int) []byte {
		return wire.AppendPublishKind(dst, o.Kind, FeedSubject(i), payload)
	})
	go flow.begin(o.Window).send(s, f, o.Count)
	return nil
}
