package examples_test

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"go/ast"
	"go/doc/comment"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const (
	natsPath      = "github.com/perigee-go/nats/core"
	jetstreamPath = natsPath + "/jetstream"
)

// imports are what a block of Go may use without saying so.
var imports = []string{
	"context", "crypto/tls", "encoding/json", "errors", "fmt", "log", "log/slog", "net", "net/http", "os", "os/signal", "time",
	natsPath, jetstreamPath,
}

// given is what stands around a block that is not a function of its own.
const given = "ctx context.Context, nc *nats.Conn, sub *nats.Subscription, m nats.Msg, url string, data []byte, err error, " +
	"js *jetstream.JetStream, stream *jetstream.Stream, cons *jetstream.Consumer"

// pages are all documents for users, from here.
func pages(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", "*.md"))
	if err != nil || len(files) < 8 {
		t.Fatalf("%d pages, %v", len(files), err)
	}
	return append(files, filepath.Join("..", "..", "README.md"), filepath.Join("..", "..", "core", "README.md"))
}

// TestPagesCompile holds every block of Go on the pages, and in the heads of the
// packages, against the packages as they are.
func TestPagesCompile(t *testing.T) {
	c := newChecker(t)
	for _, page := range pages(t) {
		for i, block := range goBlocks(read(t, page)) {
			t.Run(fmt.Sprintf("%s %d", filepath.Base(page), i+1), func(t *testing.T) { c.check(t, block) })
		}
	}
	for _, dir := range []string{"core", "core/jetstream"} {
		blocks := packageBlocks(t, dir)
		if len(blocks) < 4 {
			t.Errorf("%d blocks in the head of %s", len(blocks), dir)
		}
		for i, block := range blocks {
			t.Run(fmt.Sprintf("%s doc.go %d", dir, i+1), func(t *testing.T) { c.check(t, block) })
		}
	}
}

// goBlocks returns the fenced blocks of Go of a page.
func goBlocks(page string) (blocks []string) {
	for {
		_, rest, ok := strings.Cut(page, "```go\n")
		if !ok {
			return blocks
		}
		block, rest, _ := strings.Cut(rest, "\n```")
		blocks, page = append(blocks, block), rest
	}
}

// packageBlocks returns the code in the comment of a package.
func packageBlocks(t *testing.T, dir string) (blocks []string) {
	file := filepath.Join("..", "..", filepath.FromSlash(dir), "doc.go")
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments|parser.PackageClauseOnly)
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range new(comment.Parser).Parse(f.Doc.Text()).Content {
		if code, ok := b.(*comment.Code); ok {
			blocks = append(blocks, code.Text)
		}
	}
	return blocks
}

// A checker knows the packages that blocks may use, by their export data.
type checker struct {
	fset  *token.FileSet
	under types.Importer
	all   map[string]*types.Package // by name
}

func newChecker(t *testing.T) *checker {
	t.Helper()
	args := append([]string{"list", "-export", "-deps", "-f", "{{if .Export}}{{.ImportPath}}\t{{.Export}}{{end}}"}, imports...)
	out, err := exec.CommandContext(t.Context(), "go", args...).Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	files := make(map[string]string)
	for line := range strings.Lines(string(out)) {
		path, file, _ := strings.Cut(strings.TrimSpace(line), "\t")
		files[path] = file
	}
	c := &checker{fset: token.NewFileSet()}
	c.under = importer.ForCompiler(c.fset, "gc", func(path string) (io.ReadCloser, error) {
		return os.Open(files[path])
	})
	c.all = make(map[string]*types.Package)
	for name, path := range map[string]string{"nats": natsPath, "jetstream": jetstreamPath} {
		if c.all[name], err = c.under.Import(path); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// check compiles a block. What it declares and does not use is no fault here.
func (c *checker) check(t *testing.T, block string) {
	var src bytes.Buffer
	src.WriteString("package p\n")
	for _, path := range imports {
		name := ""
		if path == natsPath {
			name = "nats "
		}
		fmt.Fprintf(&src, "import %s%q\n", name, path)
	}
	if strings.HasPrefix(block, "import ") { // of package nats
		_, block, _ = strings.Cut(block, "\n")
	}
	if strings.HasPrefix(block, "func ") || strings.HasPrefix(block, "type ") {
		src.WriteString(block)
	} else {
		fmt.Fprintf(&src, "func _(%s) error {{\n%s\n}\nreturn nil}\n", given, block)
	}
	f, err := parser.ParseFile(c.fset, "block.go", src.Bytes(), 0)
	if err != nil {
		t.Fatalf("%v in\n%s", err, block)
	}
	var faults []string
	cfg := types.Config{Importer: c.under, Error: func(err error) {
		e := err.(types.Error)
		if !e.Soft {
			faults = append(faults, e.Msg)
		}
	}}
	_, _ = cfg.Check("p", c.fset, []*ast.File{f}, nil)
	for _, fault := range faults {
		t.Error(fault)
	}
	if t.Failed() {
		t.Logf("in\n%s", block)
	}
}

// guides are the pages that a user reads; see names.
var guides = []string{"connecting.md", "reconnect.md", "subscriptions.md", "request-reply.md", "jetstream.md", "publishing.md", "consuming.md", "errors.md", "ledger.md", "reliability.md"}

// TestPagesNameWhatExists looks up what the guides call by name: `Connect`,
// `Conn.Flush`, `nats.Timeout(d)`.
func TestPagesNameWhatExists(t *testing.T) {
	known := newChecker(t).names()
	code := regexp.MustCompile("`([^`\n]+)`")
	name := regexp.MustCompile(`^\*?(?:nats\.|jetstream\.)?([A-Z][a-z]\w*(?:\.[A-Z]\w*)?)(?:\(.*\))?$`)
	seen := 0
	for _, page := range guides {
		text := withoutBlocks(read(t, filepath.Join("..", page)))
		for _, found := range code.FindAllStringSubmatch(text, -1) {
			n := name.FindStringSubmatch(found[1])
			if n == nil || strings.HasPrefix(n[1], "Test") || strings.HasPrefix(n[1], "Fuzz") { // those of reliability.md have a test of their own
				continue
			}
			if seen++; !known[n[1]] {
				t.Errorf("%s: there is no %s", page, n[1])
			}
		}
	}
	if seen < 200 {
		t.Errorf("only %d names found", seen)
	}
}

func withoutBlocks(page string) string {
	return regexp.MustCompile("(?s)```.*?```").ReplaceAllString(page, "")
}

// names are what the packages export, and the fields and methods of their types,
// with their type and without.
func (c *checker) names() map[string]bool {
	known := make(map[string]bool)
	for _, p := range c.all {
		addNames(known, p.Scope())
	}
	return known
}

func addNames(known map[string]bool, scope *types.Scope) {
	for _, name := range scope.Names() {
		obj := scope.Lookup(name)
		if !obj.Exported() {
			continue
		}
		known[name] = true
		typ, ok := obj.(*types.TypeName)
		if !ok {
			continue
		}
		member := func(m string) { known[m], known[name+"."+m] = true, true }
		methods := types.NewMethodSet(types.NewPointer(typ.Type()))
		for m := range methods.Methods() {
			member(m.Obj().Name())
		}
		if s, ok := typ.Type().Underlying().(*types.Struct); ok {
			for f := range s.Fields() {
				member(f.Name())
			}
		}
	}
}

// TestErrorsPage wants a row for each error of the packages, and no other. Those
// of package jetstream stand with its name; its codes are too many for a page.
func TestErrorsPage(t *testing.T) {
	c := newChecker(t)
	rows := make(map[string]int)
	for _, row := range regexp.MustCompile("(?m)^\\| `\\*?([\\w.]+)`").FindAllStringSubmatch(read(t, filepath.Join("..", "errors.md")), -1) {
		rows[row[1]]++
	}
	n := 0
	for prefix, name := range map[string]string{"": "nats", "jetstream.": "jetstream"} {
		scope := c.all[name].Scope()
		for _, name := range scope.Names() {
			if !isError(scope.Lookup(name)) {
				continue
			}
			if n++; rows[prefix+name] != 1 {
				t.Errorf("%s%s has %d rows", prefix, name, rows[prefix+name])
			}
			delete(rows, prefix+name)
		}
	}
	if n < 55 {
		t.Errorf("only %d errors found", n)
	}
	for name := range rows {
		if code, ok := strings.CutPrefix(name, "jetstream."); ok {
			if _, isCode := c.all["jetstream"].Scope().Lookup(code).(*types.Const); isCode {
				continue // worth a row
			}
		}
		t.Errorf("there is no error %s", name)
	}
}

func isError(obj types.Object) bool {
	_, isVar := obj.(*types.Var)
	_, isType := obj.(*types.TypeName)
	name := obj.Name()
	return token.IsExported(name) && (isVar && strings.HasPrefix(name, "Err") || isType && strings.HasSuffix(name, "Error") && name != "AsyncError")
}

// TestLinks looks for the files, and the headings in them, that pages point to.
func TestLinks(t *testing.T) {
	link := regexp.MustCompile(`(?:\]\(|src="|srcset=")([^):"#]*)(?:#([^)"]+))?[)"]`)
	for _, page := range append(pages(t), "README.md") {
		for _, l := range link.FindAllStringSubmatch(withoutBlocks(read(t, page)), -1) {
			target := page
			if l[1] != "" {
				target = filepath.Join(filepath.Dir(page), filepath.FromSlash(l[1]))
			}
			if !exists(target) {
				t.Errorf("%s points to %s, which does not exist", page, l[1])
			} else if l[2] != "" && !headings(read(t, target))[l[2]] {
				t.Errorf("%s points to %s#%s, and there is no such heading", page, l[1], l[2])
			}
		}
	}
}

// headings are the anchors that a page has on a forge.
func headings(page string) map[string]bool {
	anchors := make(map[string]bool)
	for _, h := range regexp.MustCompile(`(?m)^#+ (.+)$`).FindAllStringSubmatch(withoutBlocks(page), -1) {
		a := regexp.MustCompile(`[^\w\- ]`).ReplaceAllString(strings.ToLower(h[1]), "")
		anchors[strings.ReplaceAll(a, " ", "-")] = true
	}
	return anchors
}

// TestImages: a picture for light pages and one for dark ones differ in nothing
// but their colours.
func TestImages(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("..", "images", "*-light.svg"))
	if err != nil || len(files) < 2 {
		t.Fatalf("%d images, %v", len(files), err)
	}
	colour := regexp.MustCompile(`#[0-9a-f]{6}`)
	for _, light := range files {
		a, b := read(t, light), read(t, strings.Replace(light, "-light", "-dark", 1))
		if a == b || colour.ReplaceAllString(a, "") != colour.ReplaceAllString(b, "") {
			t.Errorf("%s and its dark twin are not two colourings of one picture", light)
		}
		d := xml.NewDecoder(strings.NewReader(a))
		for err == nil {
			_, err = d.Token()
		}
		if err != io.EOF {
			t.Errorf("%s: %v", light, err)
		}
		err = nil
	}
}
