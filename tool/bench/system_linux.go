package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// clockTick is the unit of times in /proc, on every Linux that Go runs on.
const clockTick = 10 * time.Millisecond

// cpuTime is the processor time, user and system, a process has taken so far.
func cpuTime(pid int) (time.Duration, error) {
	file := fmt.Sprintf("/proc/%d/stat", pid)
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	ticks, err := parseStat(text)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", file, err)
	}
	return time.Duration(ticks) * clockTick, nil
}

// parseStat returns utime+stime of a /proc/PID/stat: fields 14 and 15, behind a
// name that may have anything in it.
func parseStat(text []byte) (ticks uint64, err error) {
	_, rest, ok := cutLast(text, ')')
	fields := strings.Fields(rest)
	if !ok || len(fields) < 13 {
		return 0, errors.New("not a stat file")
	}
	user, err := strconv.ParseUint(fields[11], 10, 64)
	if err != nil {
		return 0, err
	}
	system, err := strconv.ParseUint(fields[12], 10, 64)
	return user + system, err
}

// machineTime is the processor time taken by everything on this machine so far.
func machineTime() (time.Duration, error) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	first, _, _ := strings.Cut(string(text), "\n")
	fields := strings.Fields(first) // cpu user nice system idle iowait irq softirq steal ...
	if len(fields) < 9 {
		return 0, errors.New("/proc/stat has no times")
	}
	var ticks uint64
	for i, f := range fields[1:9] {
		n, err := strconv.ParseUint(f, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("/proc/stat: %w", err)
		}
		if i != 3 && i != 4 { // idle, iowait
			ticks += n
		}
	}
	return time.Duration(ticks) * clockTick, nil
}

func cutLast(text []byte, sep byte) (before, after string, ok bool) {
	i := bytes.LastIndexByte(text, sep)
	if i < 0 {
		return "", "", false
	}
	return string(text[:i]), string(text[i+1:]), true
}

// residentBytes is the memory of a process that is in RAM.
func residentBytes(pid int) (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0, err
	}
	var size, resident int64
	if _, err := fmt.Sscan(string(text), &size, &resident); err != nil {
		return 0, fmt.Errorf("/proc/%d/statm: %w", pid, err)
	}
	return resident * int64(os.Getpagesize()), nil
}

// dieWithUs has the kernel end a child when bench is gone.
func dieWithUs() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }

// fileLimit raises the limit of open files, for the children too, to want if
// that is allowed, and returns what it is then.
func fileLimit(want uint64) (int, error) {
	var now syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &now); err != nil {
		return 0, err
	}
	if now.Max < want && syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: want, Max: want}) == nil {
		return int(want), nil
	}
	// Set even if it is so already: Go gives children the limit it found unless
	// somebody has set one.
	now.Cur = now.Max
	return int(now.Max), syscall.Setrlimit(syscall.RLIMIT_NOFILE, &now)
}

// cpuModel and kernel name the machine.
func cpuModel() string {
	text, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "unknown processor"
}

func kernel() string {
	text, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	return "Linux " + strings.TrimSpace(string(text))
}
