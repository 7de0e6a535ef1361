package main

import (
	"fmt"
	"slices"

	"github.com/perigee-go/nats/tools/internal/gocmd"
	"github.com/perigee-go/nats/tools/internal/report"
	"github.com/perigee-go/nats/tools/internal/workspace"
)

// checkWork: the replaces of go.work are exactly the siblings that some
// go.mod requires, each at the version required, each by its own directory.
func checkWork(problems *report.List, ws *workspace.Workspace) {
	checkGoLines(problems, "go.work", ws.Go, ws.Toolchain)
	wanted := wantedReplaces(ws)
	for _, r := range wanted {
		if !slices.Contains(ws.Replace, r) {
			problems.Add("go.work", "lacks the line "+replaceLine(r), `run "make work"`)
		}
	}
	for _, r := range ws.Replace {
		if !slices.Contains(wanted, r) {
			problems.Add("go.work", "nothing requires the line "+replaceLine(r), `run "make work"`)
		}
	}
}

func wantedReplaces(ws *workspace.Workspace) []workspace.Replace {
	siblings := ws.Siblings()
	var wanted []workspace.Replace
	for _, m := range ws.Modules {
		for _, version := range siblings[m.Path] {
			wanted = append(wanted, workspace.Replace{Path: m.Path, Version: version, NewPath: "./" + m.Name})
		}
	}
	return wanted
}

func replaceLine(r workspace.Replace) string {
	return fmt.Sprintf("%s %s => %s", r.Path, r.Version, r.NewPath)
}

// work writes into go.work what checkUse and checkWork ask for. Comments stay.
func work(e env) (report.List, error) {
	files, err := gocmd.Files(e.ws.Root)
	if err != nil {
		return nil, err
	}
	args := []string{"work", "edit", "-go=" + goLine, "-toolchain=none"}
	for _, dir := range moduleDirs(files) {
		args = append(args, "-use=./"+dir)
	}
	if _, err := gocmd.Go(e.ws.Root, nil, append(args, "go.work")...); err != nil {
		return nil, err
	}
	ws, err := workspace.Load(e.ws.Root)
	if err != nil {
		return nil, err
	}
	return nil, writeReplaces(ws)
}

func writeReplaces(ws *workspace.Workspace) error {
	args := []string{"work", "edit"}
	wanted := wantedReplaces(ws)
	for _, r := range ws.Replace {
		if !slices.Contains(wanted, r) {
			args = append(args, "-dropreplace="+at(r.Path, r.Version))
		}
	}
	for _, r := range wanted {
		if !slices.Contains(ws.Replace, r) {
			args = append(args, "-replace="+at(r.Path, r.Version)+"="+r.NewPath)
		}
	}
	if len(args) == 2 {
		return nil
	}
	_, err := gocmd.Go(ws.Root, nil, append(args, "go.work")...)
	return err
}

func at(modulePath, version string) string {
	if version == "" {
		return modulePath
	}
	return modulePath + "@" + version
}
