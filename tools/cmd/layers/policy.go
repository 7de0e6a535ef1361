package main

import (
	_ "embed"
	"fmt"
	"path"
	"strings"
)

//go:embed policy.txt
var policyText string

// layers is the import policy.
type layers struct {
	testOnly []string
	groups   map[string][]string
	rows     []row
}

// row says what the packages that fit its pattern may import.
type row struct {
	pattern string
	imports []string // of product files; "!x" forbids
	tests   []string // of test files, besides
}

// parseLayers reads the text form described in policy.txt.
func parseLayers(text string) (*layers, error) {
	l := &layers{groups: make(map[string][]string)}
	n := 0
	for line := range strings.Lines(text) {
		n++
		line, _, _ = strings.Cut(line, "#")
		if strings.TrimSpace(line) == "" {
			continue
		}
		if err := l.parseLine(line); err != nil {
			return nil, fmt.Errorf("policy.txt:%d: %w", n, err)
		}
	}
	return l, nil
}

func (l *layers) parseLine(line string) error {
	words := strings.Fields(line)
	switch {
	case words[0] == "testonly":
		l.testOnly = append(l.testOnly, words[1:]...)
		return nil
	case words[0] == "group":
		if len(words) < 3 || words[2] != "=" {
			return fmt.Errorf("a group is written: group name = package package")
		}
		l.groups[words[1]] = words[3:]
		return nil
	}
	cols := strings.Split(line, "|")
	if len(cols) < 2 || len(cols) > 3 {
		return fmt.Errorf("a row is written: package | imports | imports of tests")
	}
	r := row{pattern: strings.TrimSpace(cols[0])}
	var err error
	if r.imports, err = l.expand(cols[1]); err != nil {
		return err
	}
	if len(cols) == 3 {
		r.tests, err = l.expand(cols[2])
	}
	l.rows = append(l.rows, r)
	return err
}

func (l *layers) expand(column string) ([]string, error) {
	var names []string
	for _, word := range strings.Fields(column) {
		group, isGroup := strings.CutPrefix(word, "@")
		if !isGroup {
			names = append(names, word)
			continue
		}
		members, ok := l.groups[group]
		if !ok {
			return nil, fmt.Errorf("no group %q above", group)
		}
		names = append(names, members...)
	}
	return names, nil
}

// find returns the row for a package, given by its directory.
func (l *layers) find(dir string) (row, bool) {
	for _, r := range l.rows {
		if fits(r.pattern, dir) {
			return r, true
		}
	}
	return row{}, false
}

// isTestOnly reports whether only tests may import the package in dir.
func (l *layers) isTestOnly(dir string) bool { return fitsAny(l.testOnly, dir) }

// mayImport reports whether a file of the package in dir, which r is for, may
// import target: a directory of this repository (ours) or an import path.
func (l *layers) mayImport(r row, dir, target string, ours, test bool) bool {
	switch {
	case ours && target == dir:
		return true // a test outside its package imports it
	case ours && l.isTestOnly(target):
		return test || l.isTestOnly(dir)
	case !ours && isStd(target):
		return test || !forbidden(r.imports, target)
	case allowed(r.imports, target, ours):
		return true
	}
	return test && allowed(r.tests, target, ours)
}

func allowed(names []string, target string, ours bool) bool {
	for _, name := range names {
		if name == "others" && !ours || name == "*" && ours || fits(name, target) {
			return true
		}
	}
	return false
}

func forbidden(names []string, target string) bool {
	for _, name := range names {
		if pattern, not := strings.CutPrefix(name, "!"); not && fits(pattern, target) {
			return true
		}
	}
	return false
}

// isStd: import paths of the standard library have no dot in the first element.
func isStd(importPath string) bool {
	first, _, _ := strings.Cut(importPath, "/")
	return !strings.Contains(first, ".")
}

func fitsAny(patterns []string, name string) bool {
	for _, pattern := range patterns {
		if fits(pattern, name) {
			return true
		}
	}
	return false
}

// fits matches "a/b" with itself and "a/..." with a and everything below it.
// Other elements may hold the wildcards of path.Match.
func fits(pattern, name string) bool {
	tree, below := strings.CutSuffix(pattern, "/...")
	if !below {
		ok, _ := path.Match(pattern, name)
		return ok
	}
	want := strings.Count(tree, "/") + 1
	elements := strings.SplitN(name, "/", want+1)
	if len(elements) < want {
		return false
	}
	ok, _ := path.Match(tree, strings.Join(elements[:want], "/"))
	return ok
}
