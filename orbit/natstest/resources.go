package natstest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// resources is what a server has between its first start and Stop, whether it
// runs or not: ports, certificates, a temporary directory.
type resources struct {
	leases  []*portLease
	tempDir string // "" if nothing temporary was needed
}

// provision gives set all that its server needs and does not have yet, and
// writes into set where it is. The caller releases the resources, also after an
// error.
func (r *resources) provision(set *settings) error {
	set.refreshTrust()
	if set.TLS && set.CertDir == "" {
		if err := r.provisionCerts(set); err != nil {
			return err
		}
	}
	if err := r.provisionLeaf(set); err != nil {
		return err
	}
	o, err := set.serverOptions()
	if err != nil {
		return err
	}
	if o.ServerName == "" {
		set.Name = randomName()
	}
	if o.JetStream && o.StoreDir == "" {
		dir, err := r.temp()
		if err != nil {
			return err
		}
		set.StoreDir = filepath.Join(dir, "store")
	}
	if set.FullResolver {
		dir, err := r.temp()
		if err != nil {
			return err
		}
		set.ResolverDir = filepath.Join(dir, "accounts")
	}
	set.Pinned = nil
	for i, l := range listeners(o) {
		set.Pinned = append(set.Pinned, 0)
		if *l.port != -1 || (i == 0 && o.DontListen) {
			continue
		}
		lease, err := leasePort(*l.host)
		if err != nil {
			return err
		}
		r.leases = append(r.leases, lease)
		set.Pinned[i] = lease.port
	}
	return nil
}

func (r *resources) provisionCerts(set *settings) error {
	dir, err := r.temp()
	if err != nil {
		return err
	}
	set.CertDir = dir
	return makeCerts(dir)
}

func (r *resources) temp() (string, error) {
	if r.tempDir != "" {
		return r.tempDir, nil
	}
	dir, err := os.MkdirTemp("", "natstest-")
	if err != nil {
		return "", fmt.Errorf("temporary directory: %w", err)
	}
	r.tempDir = dir
	return dir, nil
}

// release gives everything back. It may be called more than once.
func (r *resources) release() error {
	for _, l := range r.leases {
		l.release()
	}
	r.leases = nil
	dir := r.tempDir
	r.tempDir = ""
	if dir == "" {
		return nil
	}
	return removeAll(dir)
}

// removeAll removes dir. A server that has shut down may still have a goroutine
// or two that finish a file, and a killed process its files open for a moment:
// hence the patience.
func removeAll(dir string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	var err error
	_ = poll(ctx, func() bool {
		err = os.RemoveAll(dir)
		return err == nil
	})
	if err != nil {
		return fmt.Errorf("remove temporary directory: %w", err)
	}
	return nil
}
