package natstest

import (
	"os"
	"path/filepath"
	"strings"
)

// openFiles returns the names of the open files and sockets by descriptor. It
// leaves out what the Go runtime opens at its first need and keeps.
func openFiles() map[string]string {
	const dir = "/proc/self/fd"
	files := map[string]string{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return files
	}
	for _, e := range entries {
		name, err := os.Readlink(filepath.Join(dir, e.Name()))
		if err != nil || runtimeFile(name) {
			continue // it was closed meanwhile, such as that of the ReadDir
		}
		files[e.Name()] = name
	}
	return files
}

func runtimeFile(name string) bool {
	return strings.HasPrefix(name, "anon_inode:[event") || // the network poller
		strings.HasPrefix(name, "/sys/fs/cgroup/") || // the CPU limit
		strings.HasPrefix(name, "/proc/") && strings.HasSuffix(name, "/fd") ||
		name == "/dev/null" || name == "/dev/urandom"
}
