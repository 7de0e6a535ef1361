//go:build !linux && !darwin

package natstest

import "net"

// holdPort finds a free port at addr. Nothing keeps it: here a bound socket
// would keep the server out as well.
func holdPort(addr *net.TCPAddr) (port int, release func(), err error) {
	l, err := net.ListenTCP("tcp", addr)
	if err != nil {
		return 0, nil, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, func() {}, nil
}
