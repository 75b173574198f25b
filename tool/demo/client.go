package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

const (
	// clientWait is how long the client may wait for servers: they are ready
	// when it starts.
	clientWait = 10 * time.Second
	// clientGrace is how long the client has to end by itself after a Ctrl-C
	// that a terminal has sent to it as well.
	clientGrace = 3 * time.Second
)

// client runs the client on this terminal, until it ends or ctx does. It
// returns the client's exit code.
func (d *demo) client(ctx context.Context) (exitCode int, err error) {
	cmd := exec.Command(filepath.Join(d.bin, "client"), append(d.commonArgs(), "-sdaddr="+d.memsdAddr, "-wait="+clientWait.String(), "-commtype="+d.commType)...)
	if d.uid != "" {
		cmd.Args = append(cmd.Args, "-uid="+d.uid)
	}
	cmd.Dir = d.home
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("start the client: %w", err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = cmd.Wait() // how it ended is in cmd.ProcessState
	}()
	select {
	case <-done:
	case <-ctx.Done():
		d.endClient(ctx, cmd.Process, done)
	}
	if code := cmd.ProcessState.ExitCode(); code >= 0 {
		return code, nil
	}
	if ctx.Err() != nil {
		return exitInterrupted, nil
	}
	return 0, fmt.Errorf("the client has ended: %v", cmd.ProcessState)
}

// endClient makes the client end, for the reason in ctx.
func (d *demo) endClient(ctx context.Context, client *os.Process, done <-chan struct{}) {
	if errors.Is(context.Cause(ctx), errTerminal) {
		select { // a second signal would make it end at once, whatever it is doing
		case <-done:
			return
		case <-time.After(clientGrace):
		case <-d.hurry:
		}
	}
	if askToStop(client) == nil {
		select {
		case <-done:
			return
		case <-time.After(stopTimeout):
		case <-d.hurry:
		}
	}
	_ = client.Kill() // fails when it has ended just now
	<-done
}
