package report

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/perigee-go/nats/tools/bench/internal/scenario"
)

// A document marks where figures go:
//
//	<!-- natsbench standard table publish -->
//	<!-- natsbench end -->
//
// standard is a file of runs, standard.json, and what comes is one of "machine",
// "table GROUP" and "chart GROUP". What stands between the marks is replaced.
const (
	markBegin = "<!-- natsbench "
	markClose = " -->"
	markEnd   = "<!-- natsbench end -->"
)

// FillDocument replaces what stands between the marks of a Markdown file and
// writes the charts. The files of runs and the charts are in the directory that
// is named as the document without its ending. It returns what was written.
func FillDocument(path string) (written []string, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	d := &document{dir: strings.TrimSuffix(path, ".md"), files: map[string]File{}}
	filled, err := d.fill(string(text))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if !bytes.Equal(text, []byte(filled)) {
		d.write(path, filled)
	}
	return d.written, d.err
}

type document struct {
	dir     string
	files   map[string]File
	written []string
	err     error
}

func (d *document) write(path, text string) {
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		d.err = errors.Join(d.err, err)
		return
	}
	d.written = append(d.written, path)
}

func (d *document) fill(text string) (string, error) {
	var out strings.Builder
	for {
		before, rest, ok := strings.Cut(text, markBegin)
		out.WriteString(before)
		if !ok {
			return out.String(), nil
		}
		mark, rest, ok := strings.Cut(rest, markClose)
		if !ok {
			return "", errors.New("a mark that is not closed")
		}
		_, after, ok := strings.Cut(rest, markEnd)
		if !ok {
			return "", fmt.Errorf("no %q after the mark %q", markEnd, mark)
		}
		part, err := d.part(strings.Fields(mark))
		if err != nil {
			return "", fmt.Errorf("mark %q: %w", mark, err)
		}
		out.WriteString(markBegin + mark + markClose + "\n" + part + markEnd)
		text = after
	}
}

// part is what a mark stands for.
func (d *document) part(words []string) (string, error) {
	if len(words) < 2 {
		return "", errors.New("want a file and what comes from it")
	}
	f, err := d.file(words[0])
	if errors.Is(err, fs.ErrNotExist) {
		return "\n*Not measured yet.*\n\n", nil
	}
	if err != nil {
		return "", err
	}
	switch what, args := words[1], words[2:]; {
	case what == "machine" && len(args) == 0:
		return "\n" + f.MachineText() + "\n", nil
	case what == "table" && len(args) == 1:
		table, err := f.TableText(scenario.Group(args[0]))
		return "\n" + table + "\n", err
	case what == "chart" && len(args) == 1:
		return d.chart(f, words[0], scenario.Group(args[0]))
	default:
		return "", errors.New("want machine, table GROUP or chart GROUP")
	}
}

func (d *document) file(name string) (File, error) {
	if f, ok := d.files[name]; ok {
		return f, nil
	}
	f, err := Read(filepath.Join(d.dir, name+".json"))
	if err == nil {
		d.files[name] = f
	}
	return f, err
}

// chart writes both variants and returns the HTML that picks one.
func (d *document) chart(f File, name string, group scenario.Group) (string, error) {
	c, err := f.Chart(group)
	if err != nil {
		return "", err
	}
	base := name + "-" + string(group)
	for _, t := range []Theme{Light, Dark} {
		d.write(filepath.Join(d.dir, base+"-"+t.Name+".svg"), c.SVG(t))
	}
	path := filepath.Base(d.dir) + "/" + base
	return fmt.Sprintf("\n<picture>\n  <source media=\"(prefers-color-scheme: dark)\" srcset=\"%s-dark.svg\">\n  <img alt=\"%s\" src=\"%s-light.svg\">\n</picture>\n\n",
		path, c.Title, path), nil
}
