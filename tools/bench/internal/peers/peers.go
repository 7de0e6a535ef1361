// Package peers holds the other ends of the measurements, all in one process of
// their own: a sink, a firehose and a peer that stalls, which are fake servers;
// and a responder and a blaster, which are bare programs on a real server.
// They listen on 127.0.0.1 only.
package peers

import (
	"errors"
	"net"
)

// Addresses say where the fake servers are.
type Addresses struct {
	Sink, Firehose, Stall string // host:port
}

// Serve starts the fake servers on free ports. They run until the process ends.
func Serve() (Addresses, error) {
	var a Addresses
	sink, err1 := listen(newSink().serve)
	firehose, err2 := listen(newFirehose().serve)
	stall, err3 := listen(stallOnce)
	a.Sink, a.Firehose, a.Stall = sink, firehose, stall
	return a, errors.Join(err1, err2, err3)
}

func listen(serve func(net.Conn)) (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return // the process ends
			}
			go func() {
				defer c.Close()
				serve(c)
			}()
		}
	}()
	return l.Addr().String(), nil
}
