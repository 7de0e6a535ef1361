package report

import (
	"bufio"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// Machine is what was measured on. It says nothing about whose machine it is.
type Machine struct {
	CPU    string `json:"cpu"`
	Cores  int    `json:"cores"`
	Kernel string `json:"kernel"`
	GOOS   string `json:"goos"`
	GOARCH string `json:"goarch"`
}

// ThisMachine asks the system about itself; what it does not tell is empty.
func ThisMachine() Machine {
	return Machine{CPU: cpuModel(), Cores: runtime.NumCPU(), Kernel: output("uname", "-sr"), GOOS: runtime.GOOS, GOARCH: runtime.GOARCH}
}

func cpuModel() string {
	if f, err := os.Open("/proc/cpuinfo"); err == nil {
		defer f.Close()
		for lines := bufio.NewScanner(f); lines.Scan(); {
			if name, value, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(name) == "model name" {
				return strings.TrimSpace(value)
			}
		}
	}
	if runtime.GOOS == "darwin" {
		return output("sysctl", "-n", "machdep.cpu.brand_string")
	}
	return os.Getenv("PROCESSOR_IDENTIFIER") // Windows
}

func output(name string, args ...string) string {
	text, err := exec.Command(name, args...).Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}

// Versions are those of everything that takes part.
type Versions struct {
	Clients map[string]string `json:"clients"`
	Server  string            `json:"server"`
	Go      string            `json:"go"`
	Commit  string            `json:"commit"`
}

// TheseVersions are those that this program is built from. The commit is the
// checkout's, with a mark if its Go files differ from it.
func TheseVersions(clients map[string]string) Versions {
	return Versions{Clients: clients, Server: server.VERSION, Go: runtime.Version(), Commit: commit()}
}

func commit() string {
	if id := output("git", "rev-parse", "--short=12", "HEAD"); id != "" {
		if output("git", "status", "--porcelain", "--", ":/core", ":/tools/bench") != "" {
			id += " with changes"
		}
		return id
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				return s.Value
			}
		}
	}
	return ""
}

// now is the time of a report, to the minute.
func now() string { return time.Now().UTC().Format("2006-01-02 15:04") + " UTC" }
