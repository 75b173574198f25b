package main

import (
	"bytes"
	"os/exec"
	"strings"
)

// disk names the file system that dir is on, as far as the system tells.
func disk(dir string) string {
	out, err := exec.Command("df", "-PT", dir).Output()
	if err != nil {
		return "unknown"
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if fields := strings.Fields(lines[len(lines)-1]); len(fields) > 1 {
		return fields[1] + " on " + fields[0]
	}
	return "unknown"
}

// etcdVersion is the first line that etcd says of itself.
func etcdVersion(program string) string {
	out, err := exec.Command(program, "--version").Output()
	if err != nil {
		return "unknown"
	}
	first, _, _ := bytes.Cut(out, []byte("\n"))
	return strings.TrimPrefix(string(first), "etcd Version: ")
}
