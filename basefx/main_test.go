package basefx

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if program := os.Getenv(programEnv); program != "" {
		runProgram(program) // a test has started us as a program of its own
	}
	goleak.VerifyTestMain(m,
		// lumberjack has a goroutine for its old files that nothing can end;
		// a process has one log file.
		goleak.IgnoreTopFunction("gopkg.in/natefinch/lumberjack%2ev2.(*Logger).millRun"))
}
