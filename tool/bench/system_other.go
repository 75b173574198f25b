//go:build !linux

package main

import (
	"errors"
	"runtime"
	"syscall"
	"time"
)

var errLinux = errors.New("bench reads processor time and memory of other processes from /proc, which only Linux has")

func cpuTime(int) (time.Duration, error)  { return 0, errLinux }
func residentBytes(int) (int64, error)    { return 0, errLinux }
func machineTime() (time.Duration, error) { return 0, errLinux }
func dieWithUs() *syscall.SysProcAttr     { return nil }
func fileLimit(uint64) (int, error)       { return 0, errLinux }
func cpuModel() string                    { return "unknown processor" }
func kernel() string                      { return runtime.GOOS }
