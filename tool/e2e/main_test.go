//go:build unix

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	for _, kv := range os.Environ() { // whoever runs the tests may have set flags for daily work
		if name, _, _ := strings.Cut(kv, "="); strings.HasPrefix(name, "CELLMESH_") && name != "CELLMESH_E2E_RACE" {
			os.Unsetenv(name)
		}
	}
	if os.Getenv("CELLMESH_E2E_RACE") == "1" {
		os.Setenv("GOFLAGS", os.Getenv("GOFLAGS")+" -race")
		os.Setenv("GORACE", "atexit_sleep_ms=10 "+os.Getenv("GORACE")) // by default each process waits for a second before it ends
	}
	dir, err := os.MkdirTemp("", "e2e-programs-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	os.Setenv(binEnv, dir)
	build := exec.Command("go", "build", "-o", dir+string(filepath.Separator), "./svc/...", "./tool/demo", "./tool/routegen")
	build.Dir = root()
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, out)
		return 1
	}
	code := m.Run()
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// binEnv names the folder with the programs; TestMain sets it.
const binEnv = "E2E_BIN"

func bin() string { return os.Getenv(binEnv) }

// root is the project's folder.
func root() string {
	wd, err := os.Getwd() // of a test: its package's folder
	if err != nil {
		panic(err)
	}
	return filepath.Dir(filepath.Dir(wd))
}
