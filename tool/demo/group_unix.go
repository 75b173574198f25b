//go:build unix

package main

import (
	"os"
	"os/exec"
	"syscall"
)

// ownGroup keeps the terminal's Ctrl-C from the process that cmd will start.
func ownGroup(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

// interrupt is the terminal's Ctrl-C for a process with a group of its own, and for
// those that it has started.
func interrupt(p *os.Process) error { return syscall.Kill(-p.Pid, syscall.SIGINT) }

// askToStop asks a process to stop. An error means that it was not asked.
func askToStop(p *os.Process) error { return p.Signal(syscall.SIGTERM) }
