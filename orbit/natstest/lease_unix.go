//go:build linux || darwin

package natstest

import (
	"net"
	"os"
	"syscall"
)

// holdPort binds a socket to a free port at addr and returns the port and what
// gives it back.
func holdPort(addr *net.TCPAddr) (port int, release func(), err error) {
	family, bindTo := sockaddr(addr)
	fd, err := socketCloseOnExec(family)
	if err != nil {
		return 0, nil, os.NewSyscallError("socket", err)
	}
	fail := func(call string, err error) (int, func(), error) {
		_ = syscall.Close(fd)
		return 0, nil, os.NewSyscallError(call, err)
	}
	if err := syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1); err != nil {
		return fail("setsockopt", err)
	}
	if err := syscall.Bind(fd, bindTo); err != nil {
		return fail("bind", err)
	}
	bound, err := syscall.Getsockname(fd)
	if err != nil {
		return fail("getsockname", err)
	}
	return sockaddrPort(bound), func() { _ = syscall.Close(fd) }, nil
}

// socketCloseOnExec makes a socket that no child process inherits: a server
// process that outlived its parent would otherwise keep the port.
func socketCloseOnExec(family int) (int, error) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	fd, err := syscall.Socket(family, syscall.SOCK_STREAM, 0)
	if err == nil {
		syscall.CloseOnExec(fd)
	}
	return fd, err
}

func sockaddr(addr *net.TCPAddr) (family int, sa syscall.Sockaddr) {
	if ip := addr.IP.To4(); ip != nil {
		return syscall.AF_INET, &syscall.SockaddrInet4{Port: addr.Port, Addr: [4]byte(ip)}
	}
	sa6 := &syscall.SockaddrInet6{Port: addr.Port}
	copy(sa6.Addr[:], addr.IP.To16())
	return syscall.AF_INET6, sa6
}

func sockaddrPort(sa syscall.Sockaddr) int {
	switch sa := sa.(type) {
	case *syscall.SockaddrInet4:
		return sa.Port
	case *syscall.SockaddrInet6:
		return sa.Port
	}
	return 0
}
