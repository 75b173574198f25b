//go:build unix

package main

import (
	"os"
	"os/exec"
	"syscall"
)

// ownGroup keeps the terminal's Ctrl-C from the process that cmd will start.
func ownGroup(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

// askToStop asks a process to stop. An error means that it was not asked.
func askToStop(p *os.Process) error { return p.Signal(syscall.SIGTERM) }
