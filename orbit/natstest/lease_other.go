//go:build !linux && !darwin

package natstest

import "net"

// holdPort finds a free port at addr. Nothing keeps it: here a bound socket
// would keep the server out as well.
func holdPort(addr *net.TCPAddr) (port int, release func(), err error) {
	port, err = freePort(addr)
	return port, func() {}, err
}
