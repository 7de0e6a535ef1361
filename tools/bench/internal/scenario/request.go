package scenario

import (
	"errors"
	"time"

	"github.com/perigee-go/nats/tools/bench/internal/driver"
	"github.com/perigee-go/nats/tools/bench/internal/peers"
	"github.com/perigee-go/nats/tools/bench/internal/wire"
)

// selfSubject is where the client itself answers in the echo scenarios.
const selfSubject = "bench.self"

// runRequest has Width requesters on one connection. The responder is a bare
// program, or in the echo scenarios the client on a second connection.
func runRequest(r *run) error {
	nc, err := r.connectServer()
	if err != nil {
		return err
	}
	defer nc.Close()
	subject := peers.EchoSubject
	if r.Kind == "echo" {
		subject = selfSubject
		responder, err := r.connectServer()
		if err != nil {
			return err
		}
		defer responder.Close()
		if err := errors.Join(responder.Respond(subject, ""), responder.Flush()); err != nil {
			return err
		}
	}
	count := RequestCount(r.Spec, r.Scale)
	latencies := make([]int64, count)
	if err := r.requests(nc, subject, latencies[:max(count/10/r.Width, 1)*r.Width]); err != nil {
		return err
	}
	err = r.measure(count, func() error { return r.requests(nc, subject, latencies) })
	r.result.Latencies(latencies)
	return err
}

// RequestCount is how many requests a scenario makes: five times as many where
// they do not wait for each other.
func RequestCount(s Spec, scale float64) int {
	count := Count(s.Size, 0.02, scale)
	if s.Width > 1 {
		count *= 5
	}
	return max(count/s.Width, 1) * s.Width
}

// requests makes len(latencies) requests and notes how long each took.
func (r *run) requests(nc driver.Conn, subject string, latencies []int64) error {
	payload := wire.Payload(r.Size)
	per := len(latencies) / r.Width
	errs := make(chan error, r.Width)
	for i := range r.Width {
		mine := latencies[i*per : (i+1)*per]
		go func() { errs <- requestLoop(nc, subject, payload, mine) }()
	}
	var failed error
	for range r.Width {
		failed = errors.Join(failed, <-errs)
	}
	return failed
}

func requestLoop(nc driver.Conn, subject string, payload []byte, latencies []int64) error {
	for i := range latencies {
		start := time.Now()
		reply, err := nc.Request(subject, payload)
		if err != nil {
			return err
		}
		if len(reply) != len(payload) {
			return errors.New("a reply of the wrong size")
		}
		latencies[i] = int64(time.Since(start))
	}
	return nil
}
