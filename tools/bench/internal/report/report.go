// Package report turns the runs of a comparison into a file, tables and charts.
package report

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/perigee-go/nats/tools/bench/internal/scenario"
	"github.com/perigee-go/nats/tools/bench/internal/stats"
)

// File is a comparison with everything that is needed to read and repeat it.
type File struct {
	Format   int               `json:"format"`
	Date     string            `json:"date"`
	Command  string            `json:"command"`
	Machine  Machine           `json:"machine"`
	Versions Versions          `json:"versions"`
	Settings Settings          `json:"settings"`
	Runs     []scenario.Result `json:"runs"`
}

// Settings are the same for all clients.
type Settings struct {
	Reference  string   `json:"reference"`
	Clients    []string `json:"clients"`
	Rounds     int      `json:"rounds"`
	Scale      float64  `json:"scale"`
	BallastMiB int      `json:"ballast_mib"`
	GOMAXPROCS int      `json:"gomaxprocs"`
	GOGC       string   `json:"gogc,omitempty"` // if set in the environment
}

const format = 1

// New is a file about this machine and this program.
func New(command string, settings Settings, versions map[string]string, runs []scenario.Result) File {
	return File{
		Format: format, Date: now(), Command: command,
		Machine: ThisMachine(), Versions: TheseVersions(versions), Settings: settings, Runs: runs,
	}
}

// Write writes the file, one run a line, so that a diff can be read.
func (f File) Write(path string) error {
	runs := f.Runs
	f.Runs = []scenario.Result{}
	head, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return err
	}
	text := slices.Concat(head[:len(head)-len("[]\n}")], []byte("["))
	for i, r := range runs {
		line, err := json.Marshal(r)
		if err != nil {
			return err
		}
		if i > 0 {
			text = append(text, ',')
		}
		text = append(append(text, "\n    "...), line...)
	}
	text = append(text, "\n  ]\n}\n"...)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, text, 0o644)
}

// Read reads a file.
func Read(path string) (f File, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return f, err
	}
	if err := json.Unmarshal(text, &f); err != nil {
		return f, fmt.Errorf("%s: %w", path, err)
	}
	if f.Format != format {
		return f, fmt.Errorf("%s: format %d, not %d", path, f.Format, format)
	}
	return f, nil
}

// row is one scenario of a file with the summary of each client.
type row struct {
	spec scenario.Spec
	by   map[string]stats.Summary
}

// rows sums the runs of a group up, in the order of the file.
func (f File) rows(group scenario.Group) ([]row, error) {
	runs := map[string]map[string][]scenario.Result{}
	var specs []scenario.Spec
	for _, r := range f.Runs {
		if runs[r.Scenario] == nil {
			spec, err := scenario.Parse(r.Scenario)
			if err != nil {
				return nil, err
			}
			runs[r.Scenario] = map[string][]scenario.Result{}
			specs = append(specs, spec)
		}
		runs[r.Scenario][r.Client] = append(runs[r.Scenario][r.Client], r)
	}
	var rows []row
	for _, spec := range specs {
		if spec.Group() != group {
			continue
		}
		by := map[string]stats.Summary{}
		for client, rs := range runs[spec.Name] {
			by[client] = stats.Summarize(rs, runs[spec.Name][f.Settings.Reference])
		}
		rows = append(rows, row{spec, by})
	}
	return rows, nil
}
