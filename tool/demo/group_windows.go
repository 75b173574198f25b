package main

import (
	"errors"
	"os"
	"os/exec"
	"syscall"
)

// ownGroup keeps the console's Ctrl-C from the process that cmd will start.
func ownGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{CreationFlags: syscall.CREATE_NEW_PROCESS_GROUP}
}

// askToStop fails: there are no signals. Closing the lifeline does it.
func askToStop(*os.Process) error { return errors.ErrUnsupported }

// interrupt ends a process: one with a group of its own gets no Ctrl-C.
func interrupt(p *os.Process) error { return p.Kill() }
