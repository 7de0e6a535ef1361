package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/perigee-go/nats/tools/internal/gocmd"
	"github.com/perigee-go/nats/tools/internal/report"
)

// rename gives all modules another path root: for whoever hosts the project
// elsewhere. The old root is one literal, so a replacement in every file does.
func rename(e env) (report.List, error) {
	if len(e.args) != 1 {
		return nil, errors.New("say the new path root: mods rename example.com/you/nats")
	}
	old, root := e.ws.Prefix, strings.Trim(e.args[0], "/")
	files, err := gocmd.Files(e.ws.Root)
	if err != nil {
		return nil, err
	}
	changed := 0
	for _, file := range files {
		ok, err := replaceIn(filepath.Join(e.ws.Root, filepath.FromSlash(file)), old, root)
		if err != nil {
			return nil, err
		}
		if ok {
			changed++
		}
	}
	fmt.Printf("%s is now %s in %d files; run \"make ci\"\n", old, root, changed)
	return nil, nil
}

func replaceIn(file, old, root string) (bool, error) {
	info, err := os.Lstat(file)
	if err != nil || !info.Mode().IsRegular() {
		return false, err
	}
	data, err := os.ReadFile(file)
	if err != nil || !bytes.Contains(data, []byte(old)) {
		return false, err
	}
	return true, os.WriteFile(file, bytes.ReplaceAll(data, []byte(old), []byte(root)), info.Mode().Perm())
}
