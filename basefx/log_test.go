package basefx

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func logTo(t *testing.T, f Flags) (*slog.Logger, *logBuffer) {
	t.Helper()
	var out logBuffer
	if f.LogSize == "" {
		f.LogSize = "100M"
	}
	if f.LogColor == "" {
		f.LogColor = "auto"
	}
	log, closer, err := newLogger(&f, &out)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closer.Close() })
	return log, &out
}

// Levels hold for all loggers but those that have their own.
func TestLevelsByName(t *testing.T) {
	app := func(level string) (*App, *logBuffer) {
		log, out := logTo(t, Flags{LogLevel: level})
		return &App{Log: log}, out
	}
	cases := map[string][]string{
		"info":                  {"root info", "root error", "link info", "link error", "hub info", "hub error"},
		"debug":                 {"root debug", "root info", "root error", "link debug", "link info", "link error", "hub debug", "hub info", "hub error"},
		"error":                 {"root error", "link error", "hub error"},
		"link=debug":            {"root info", "root error", "link debug", "link info", "link error", "hub info", "hub error"},
		"error, link=debug":     {"root error", "link debug", "link info", "link error", "hub error"},
		"debug,link=error":      {"root debug", "root info", "root error", "link error", "hub debug", "hub info", "hub error"},
		"hub=error,link=error":  {"root info", "root error", "link error", "hub error"},
		"nobody=debug,hub=warn": {"root info", "root error", "link info", "link error", "hub error"},
	}
	for level, want := range cases {
		a, out := app(level)
		for _, l := range []struct {
			name string
			log  *slog.Logger
		}{{"root", a.Log}, {"link", a.Logger("link")}, {"hub", a.Logger("hub").WithGroup("g").With("k", "v")}} {
			l.log.Debug(l.name + " debug")
			l.log.Info(l.name + " info")
			l.log.Error(l.name + " error")
		}
		var got []string
		for line := range strings.Lines(out.String()) {
			for _, name := range []string{"root ", "link ", "hub "} {
				if i := strings.Index(line, name); i >= 0 {
					got = append(got, strings.Join(strings.Fields(line[i:])[:2], " "))
				}
			}
		}
		if strings.Join(got, ", ") != strings.Join(want, ", ") {
			t.Errorf("-loglevel=%s logs %q, want %q", level, got, want)
		}
	}
}

func TestLogFlagErrors(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		f     Flags
		words string
	}{
		{Flags{LogLevel: "loud"}, `-loglevel: "loud" is not error, warn, info or debug`},
		{Flags{LogLevel: "info,link="}, `-loglevel: "" is not`},
		{Flags{LogLevel: "=debug"}, `-loglevel: "=debug" has no logger`},
		{Flags{LogLevel: "INFO"}, `-loglevel: "INFO"`},
		{Flags{LogLevel: "info", LogColor: "blue"}, `-logcolor="blue" is not true, false or auto`},
		{Flags{LogLevel: "info", LogFile: filepath.Join(dir, "x"), LogSize: "big"}, `-logfilesize: "big" is not a size such as 100M`},
		{Flags{LogLevel: "info", LogFile: filepath.Join(dir, "x"), LogSize: "100K"}, `-logfilesize: "100K" is less than 1M`},
		{Flags{LogLevel: "info", LogFile: dir, LogSize: "1M"}, "-logfile: "},
	} {
		if _, _, err := newLogger(&c.f, os.Stderr); err == nil || !strings.Contains(err.Error(), c.words) {
			t.Errorf("%+v: %v, want %q", c.f, err, c.words)
		}
	}
}

func TestParseSize(t *testing.T) {
	for s, want := range map[string]int64{"1M": 1 << 20, "1m": 1 << 20, "3G": 3 << 30, "1024K": 1 << 20, "1048576": 1 << 20} {
		if got, err := parseSize(s); got != want || err != nil {
			t.Errorf("%q: %d %v", s, got, err)
		}
	}
	for _, s := range []string{"", "M", "-1M", "1.5M", "1T", "99999999999G", "0"} {
		if got, err := parseSize(s); err == nil {
			t.Errorf("%q: %d", s, got)
		}
	}
}

// There is colour where it was asked for, and else only on a terminal.
func TestLogColour(t *testing.T) {
	file := filepath.Join(t.TempDir(), "log", "test.log")
	for _, c := range []struct {
		f    Flags
		want bool
	}{
		{Flags{LogLevel: "info", LogColor: "true"}, true},
		{Flags{LogLevel: "info", LogColor: "false"}, false},
		{Flags{LogLevel: "info"}, false},
		{Flags{LogLevel: "info", LogFile: file}, false},
	} {
		log, out := logTo(t, c.f)
		log.Error("disk is full", "err", "really")
		text := out.String()
		if c.f.LogFile != "" {
			if text != "" {
				t.Errorf("on standard error in spite of -logfile: %q", text)
			}
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			text = string(b)
		}
		if !strings.Contains(text, "disk is full") || strings.Contains(text, "\x1b[") != c.want {
			t.Errorf("%+v: %q", c.f, text)
		}
	}
}

// A file that is full is put aside, and three of those are kept at most.
func TestLogRotation(t *testing.T) {
	dir := t.TempDir()
	log, _ := logTo(t, Flags{LogLevel: "info", LogFile: filepath.Join(dir, "test.log"), LogSize: "1M"})
	log.Info("one line only")
	line := strings.Repeat("x", 1000)
	for range 1100 {
		log.Info(line)
	}
	files, err := filepath.Glob(filepath.Join(dir, "test*.log"))
	if err != nil || len(files) != 2 {
		t.Fatalf("files: %q %v", files, err)
	}
	for _, f := range files {
		if info, err := os.Stat(f); err != nil || info.Size() > 1<<20 {
			t.Errorf("%s: %v %v", f, info.Size(), err)
		}
	}
}

// The log of messages has names and sizes; asking costs nothing while it is
// off; muted messages are left out.
func TestMsgLog(t *testing.T) {
	log, _ := logTo(t, Flags{LogLevel: "info"})
	a := &App{Log: log, life: t.Context()}
	off := a.MsgLog()
	if off.Enabled(29052) {
		t.Error("enabled at info")
	}
	if n := testing.AllocsPerRun(100, func() { off.Enabled(29052) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	log, out := logTo(t, Flags{LogLevel: "info,msg=debug"})
	muted, err := parseMuted("PingACK")
	if err != nil {
		t.Fatal(err)
	}
	a = &App{Log: log, Flags: Flags{muted: muted}, life: t.Context()}
	on := a.MsgLog()
	if !on.Enabled(29052) || on.Enabled(16241) {
		t.Errorf("ChatREQ %v, PingACK %v", on.Enabled(29052), on.Enabled(16241))
	}
	on.Log("from client", 29052, 17, "uid", "alice")
	on.Log("from client", 1, 0)
	if text := out.String(); !strings.Contains(text, "from client") || !strings.Contains(text, "message=ChatREQ bytes=17 uid=alice") || !strings.Contains(text, "message=1 bytes=0") {
		t.Errorf("logged %q", text)
	}
}
