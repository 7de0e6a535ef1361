// Package gocmd is the one place of the tools that runs the go command, make
// and git.
package gocmd

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Go runs the go command in dir, with env added to the environment, and
// returns what it printed. The error carries the command and its complaint.
func Go(dir string, env []string, args ...string) ([]byte, error) {
	return run(dir, env, "go", args)
}

// Git runs git in dir and returns what it printed.
func Git(dir string, env []string, args ...string) ([]byte, error) {
	return run(dir, env, "git", args)
}

// To runs a command in dir, with env added to the environment, and writes what it
// prints to w as it comes.
func To(w io.Writer, dir string, env, command []string) error {
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = w, w
	return cmd.Run()
}

func run(dir string, env []string, name string, args []string) ([]byte, error) {
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), env...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		line := name + " " + strings.Join(args, " ")
		return stdout.Bytes(), fmt.Errorf("%s (in %s): %w\n%s", line, dir, err, bytes.TrimSpace(stderr.Bytes()))
	}
	return stdout.Bytes(), nil
}

// Lines splits what a command printed into its lines, without the empty ones.
func Lines(out []byte) []string {
	var lines []string
	for line := range strings.Lines(string(out)) {
		if line = strings.TrimRight(line, "\r\n"); line != "" {
			lines = append(lines, line)
		}
	}
	return lines
}

// Root returns the directory of the repository that the working directory is
// in: the nearest one upwards that holds a go.work.
func Root() (string, error) {
	start, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for dir := start; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.work")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("no go.work in %s or above: run this inside the repository", start)
		}
	}
}

// Files lists the files of the repository that are committed or could be:
// everything that no ignore file hides. Paths are relative, with slashes.
func Files(root string) ([]string, error) {
	out, err := Git(root, nil, "ls-files", "--cached", "--others", "--exclude-standard", "-z")
	if err != nil {
		return nil, err
	}
	var files []string
	for name := range strings.SplitSeq(string(out), "\x00") {
		if name == "" {
			continue
		}
		if _, err := os.Lstat(filepath.Join(root, filepath.FromSlash(name))); err == nil {
			files = append(files, name)
		}
	}
	return files, nil
}
