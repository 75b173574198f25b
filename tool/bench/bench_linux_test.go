package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/davyxu/cellmesh_demo/basefx"
	"github.com/davyxu/cellmesh_demo/svc/robot/crew"
)

// The test program is also what bench starts of itself.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && (strings.HasPrefix(os.Args[1], "-loop=") || strings.HasPrefix(os.Args[1], "-bare=")) {
		os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
	}
	goleak.VerifyTestMain(m)
}

// Bench as a whole: it builds, starts and measures real processes, and leaves
// nothing behind.
func TestBench(t *testing.T) {
	dir := t.TempDir()
	var out, log bytes.Buffer
	code := run([]string{"-case=broadcast,login", "-runs=1", "-for=1s", "-warmup=50ms", "-calm=9", "-dir=" + dir, "-json=" + filepath.Join(dir, "result.json")}, &out, &log)
	if code != 0 {
		t.Fatalf("exit %d\n%s", code, log.String())
	}
	for _, want := range []string{"deliveries/s", "loop ", "at least 0.90 x", "logins/s", "bare ", "at least 0.70 x"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("not in the table: %q\n%s", want, out.String())
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "result.json")); err != nil {
		t.Error(err)
	}
	if left := processesIn(dir); len(left) > 0 {
		t.Errorf("still running: %v", left)
	}
}

// processesIn are the processes whose program is in dir.
func processesIn(dir string) (all []string) {
	links, _ := filepath.Glob("/proc/[0-9]*/exe")
	for _, l := range links {
		if exe, err := os.Readlink(l); err == nil && strings.HasPrefix(exe, dir) {
			all = append(all, exe)
		}
	}
	return all
}

// The loop that broadcasts are compared with keeps what robots are promised.
func TestLoop(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() { serveLoop(l) })
	var out bytes.Buffer
	err = basefx.Run(t.Context(), "robot", crew.New, basefx.Options{
		Args:  []string{"-flagfile=", "-scenario=broadcast", "-n=20", "-for=1s", "-warmup=10ms", "-noverify-token", "-agent=" + l.Addr().String()},
		Stdin: strings.NewReader(""), Stdout: &out, Stderr: &out, Standalone: true,
	})
	if err != nil || !strings.Contains(out.String(), "deliver ") {
		t.Errorf("%v\n%s", err, out.String())
	}
	l.Close()
	serving.Wait()
}

// A child's output is read and kept, and its end is told with its last words.
func TestChild(t *testing.T) {
	dir := t.TempDir()
	c, err := spawn(dir, "child", true, os.Args[0], "-loop=nowhere")
	if err != nil {
		t.Fatal(err)
	}
	for line := range c.lines {
		t.Errorf("on standard output: %s", line)
	}
	<-c.done
	err = await(t.Context(), "nothing", time.Minute, []*child{c}, func() bool { return false })
	if err == nil || !strings.Contains(err.Error(), "child ended: exit status 1") || !strings.Contains(err.Error(), "bench: listen tcp: address nowhere") {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := await(ctx, "nothing", time.Minute, nil, func() bool { return false }); err != context.Canceled {
		t.Errorf("%v", err)
	}
	if err := await(t.Context(), "the moon", time.Millisecond, nil, func() bool { return false }); err == nil || !strings.Contains(err.Error(), "the moon") {
		t.Errorf("%v", err)
	}
	if _, err := spawn(dir, "none", false, filepath.Join(dir, "none")); err == nil {
		t.Error("a program that does not exist was started")
	}
}

func TestProc(t *testing.T) {
	ticks, err := parseStat([]byte("7 (a) b) c) R 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15"))
	if err != nil || ticks != 11+12 {
		t.Errorf("%d, %v", ticks, err)
	}
	for _, bad := range []string{"", "7 (x) R 1 2", "7 (x) R 1 2 3 4 5 6 7 8 9 10 x y"} {
		if _, err := parseStat([]byte(bad)); err == nil {
			t.Errorf("%q is taken for a stat file", bad)
		}
	}
	before, err := cpuTime(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	for start := time.Now(); ; {
		if now, err := cpuTime(os.Getpid()); err != nil || now > before {
			break
		}
		if time.Since(start) > 10*time.Second {
			t.Fatal("this process takes no time")
		}
	}
	if n, err := residentBytes(os.Getpid()); err != nil || n < 1<<20 {
		t.Errorf("%d bytes resident, %v", n, err)
	}
	if m, err := machineTime(); err != nil || m < before {
		t.Errorf("machine: %v, %v", m, err)
	}
	if fmt.Sprint(cpuModel(), kernel()) == "" {
		t.Error("the machine has no name")
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add([]byte("7 (a) b) c) R 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15"))
	f.Fuzz(func(t *testing.T, text []byte) { parseStat(text) })
}
