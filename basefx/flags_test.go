package basefx

import (
	"context"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/davyxu/cellmesh_demo/proto/pb"
)

// parse parses args for a program "game" that has a flag of its own and its own
// default for -loglevel.
func parse(args ...string) (*Flags, time.Duration, error) {
	var f Flags
	fs := flag.NewFlagSet("game", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	f.register(fs)
	tick := fs.Duration("tick", time.Second, "")
	Default(fs, "loglevel", "error")
	err := parseFlags(fs, "game", args)
	return &f, *tick, err
}

func writeFile(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// The command line goes over the environment, that over the file, where lines
// for one program go over those for all, and that over the defaults.
func TestPrecedence(t *testing.T) {
	cases := []struct {
		name      string
		args      []string
		env, file string
		want      string
	}{
		{"default", nil, "", "", "127.0.0.1:8900"},
		{"file", nil, "", "sdaddr=file:1", "file:1"},
		{"file with spaces and comments", nil, "", "# memsd\n\n  sdaddr = file:1  \n", "file:1"},
		{"file from a Windows editor", nil, "", "\ufeffsdaddr=file:1\r\n", "file:1"},
		{"own line above", nil, "", "game.sdaddr=own:1\nsdaddr=file:1", "own:1"},
		{"own line below", nil, "", "sdaddr=file:1\ngame.sdaddr=own:1", "own:1"},
		{"another program's line", nil, "", "agent.sdaddr=other:1\nagent.nosuchflag=1", "127.0.0.1:8900"},
		{"environment", nil, "env:1", "", "env:1"},
		{"environment over file", nil, "env:1", "sdaddr=file:1\ngame.sdaddr=own:1", "env:1"},
		{"command line over all", []string{"-sdaddr=arg:1"}, "env:1", "sdaddr=file:1", "arg:1"},
		{"command line with two dashes", []string{"--sdaddr", "arg:1"}, "env:1", "", "arg:1"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			if c.env != "" {
				t.Setenv("CELLMESH_SDADDR", c.env)
			}
			if c.file != "" {
				writeFile(t, defaultFlagFile, c.file)
			}
			f, _, err := parse(c.args...)
			if err != nil {
				t.Fatal(err)
			}
			if f.SDAddr != c.want {
				t.Errorf("-sdaddr is %q, want %q", f.SDAddr, c.want)
			}
		})
	}
}

// A program's own default is a default: everything goes over it.
func TestOwnDefault(t *testing.T) {
	t.Chdir(t.TempDir())
	level := func(args ...string) string {
		t.Helper()
		f, _, err := parse(args...)
		if err != nil {
			t.Fatal(err)
		}
		return f.LogLevel
	}
	if got := level(); got != "error" {
		t.Errorf("default: %q", got)
	}
	writeFile(t, defaultFlagFile, "loglevel=warn")
	if got := level(); got != "warn" {
		t.Errorf("file: %q", got)
	}
	t.Setenv("CELLMESH_LOGLEVEL", "debug")
	if got := level(); got != "debug" {
		t.Errorf("environment: %q", got)
	}
	if got := level("-loglevel=info"); got != "info" {
		t.Errorf("command line: %q", got)
	}
}

func TestDefaultOfAWrongValuePanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	fs := flag.NewFlagSet("game", flag.ContinueOnError)
	new(Flags).register(fs)
	Default(fs, "svcindex", "first")
}

// What is wrong is told with the file and the line, and what to do.
func TestFlagErrors(t *testing.T) {
	cases := []struct {
		name       string
		args       []string
		key, value string // environment
		file       string
		words      []string
	}{
		{name: "unknown key", file: "sdaddr=x:1\n\nsdadr=y:2", words: []string{"LocalFlag.cfg, line 3", `game has no flag "sdadr"`, "program.flag=value"}},
		{name: "unknown own key", file: "game.sdadr=y:2", words: []string{"LocalFlag.cfg, line 1", `game has no flag "sdadr"`}},
		{name: "no value", file: "sdaddr", words: []string{"LocalFlag.cfg, line 1", "not name=value"}},
		{name: "wrong value", file: "\ngame.svcindex=first", words: []string{"LocalFlag.cfg, line 2", `"svcindex"`, "parse"}},
		{name: "a file in a file", file: "flagfile=other.cfg", words: []string{"LocalFlag.cfg, line 1", "cannot name another"}},
		{name: "a line too long", file: "# " + strings.Repeat("x", 1<<20), words: []string{"line 1", "too long"}},
		{name: "a file that is not there", args: []string{"-flagfile=gone.cfg"}, words: []string{"gone.cfg"}},
		{name: "in two words", args: []string{"-flagfile", "gone.cfg"}, words: []string{"gone.cfg"}},
		{name: "by environment", key: "CELLMESH_FLAGFILE", value: "gone.cfg", words: []string{"gone.cfg"}},
		{name: "unknown flag", args: []string{"-sdadr=x"}, words: []string{"-sdadr", "not defined"}},
		{name: "wrong environment", key: "CELLMESH_SVCINDEX", value: "first", words: []string{"CELLMESH_SVCINDEX", "parse error"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			if c.key != "" {
				t.Setenv(c.key, c.value)
			}
			if c.file != "" {
				writeFile(t, defaultFlagFile, c.file)
			}
			_, _, err := parse(c.args...)
			if err == nil {
				t.Fatal("no error")
			}
			for _, w := range c.words {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("%q does not say %q", err, w)
				}
			}
		})
	}
}

// An empty -flagfile, or variable, is no file: not even the default one.
func TestNoFlagFile(t *testing.T) {
	t.Chdir(t.TempDir())
	writeFile(t, defaultFlagFile, "nonsense")
	if _, _, err := parse("-flagfile="); err != nil {
		t.Error(err)
	}
	t.Setenv("CELLMESH_FLAGFILE", "")
	if _, _, err := parse(); err != nil {
		t.Error(err)
	}
}

func TestCheck(t *testing.T) {
	dir := t.TempDir()
	secret, empty := filepath.Join(dir, "secret"), filepath.Join(dir, "empty")
	writeFile(t, secret, " s3cret\n")
	writeFile(t, empty, "\n")
	cases := []struct {
		args  []string
		words string // "" for none
	}{
		{nil, ""},
		{[]string{"-lanip=localhost"}, ""},
		{[]string{"-lanip=::1"}, ""},
		{[]string{"-lanip=10.0.0.1"}, "-lanip=10.0.0.1 is not loopback, so other machines can connect: set the same -secret everywhere"},
		{[]string{"-lanip=10.0.0.1", "-secret=s"}, ""},
		{[]string{"-lanip=0.0.0.0", "-secret=s"}, `-lanip="0.0.0.0": want the address`},
		{[]string{"-lanip=", "-secret=s"}, `-lanip="": want the address`},
		{[]string{"-wanip=::"}, `-wanip="::": want the address`},
		{[]string{"-secret=@" + secret, "-lanip=10.0.0.1"}, ""},
		{[]string{"-secret=@" + empty}, "is empty"},
		{[]string{"-secret=@" + filepath.Join(dir, "gone")}, "-secret: open"},
		{[]string{"-svcgroup=a b"}, `-svcgroup="a b": a group is a word`},
		{[]string{"-svcgroup="}, `-svcgroup=""`},
		{[]string{"-linkrule=a:b:c"}, `-linkrule="a:b:c"`},
		{[]string{"-mutemsglog=PingACK, ChatREQ"}, ""},
		{[]string{"-mutemsglog="}, ""},
		{[]string{"-mutemsglog=PingAKC"}, `-mutemsglog: there is no message "PingAKC"`},
	}
	for _, c := range cases {
		f, _, err := parse(append(c.args, "-flagfile=")...)
		if err != nil {
			t.Fatal(err)
		}
		err = f.check()
		switch {
		case c.words == "" && err != nil:
			t.Errorf("%q: %v", c.args, err)
		case c.words != "" && (err == nil || !strings.Contains(err.Error(), c.words)):
			t.Errorf("%q: %v, want %q", c.args, err, c.words)
		}
	}
	f, _, _ := parse("-flagfile=", "-secret=@"+secret, "-mutemsglog=ChatREQ")
	if err := f.check(); err != nil || f.Secret != "s3cret" {
		t.Errorf("the secret is %q, %v", f.Secret, err)
	}
	if !f.muted[pb.ChatREQID] || f.muted[pb.PingACKID] {
		t.Errorf("muted: %v", f.muted)
	}
}

func TestClientListenAddr(t *testing.T) {
	for _, c := range []struct{ listen, wan, want string }{
		{":0", "127.0.0.1", "127.0.0.1:0"},
		{":8001", "::1", "[::1]:8001"},
		{":8001", "203.0.113.7", ":8001"},
		{"10.0.0.1:8001", "127.0.0.1", "10.0.0.1:8001"},
	} {
		got, err := (&Flags{Listen: c.listen, WanIP: c.wan}).clientListenAddr()
		if err != nil || got != c.want {
			t.Errorf("-listen=%s -wanip=%s: %q %v, want %q", c.listen, c.wan, got, err, c.want)
		}
	}
	if _, err := (&Flags{Listen: "8001"}).clientListenAddr(); err == nil || !strings.Contains(err.Error(), "-listen=8001: want host:port or :port") {
		t.Error(err)
	}
}

// Wrong flags end a process before it has done anything; -h is no error of the
// user.
func TestRunRefusesFlags(t *testing.T) {
	started := false
	run := func(args ...string) (string, error) {
		var out, log logBuffer
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second) // should it start
		defer cancel()
		err := Run(ctx, "test", func(*flag.FlagSet) Service {
			return &testService{start: func(context.Context, *App) error { started = true; return nil }}
		}, Options{Args: args, Stdout: &out, Stderr: &log})
		if log.String() != "" {
			t.Errorf("%q: standard error has %q, which Main tells", args, log.String())
		}
		return out.String(), err
	}
	for args, words := range map[string]string{
		"-nosuch=1": "-nosuch", "word": `"word" is not a flag: write flags as -name=value`, "-linkrule=|": "-linkrule",
		"-loglevel=loud": "-loglevel", "-logcolor=blue": "-logcolor", "-httpaddr=nowhere": "-httpaddr", "-logfile=" + t.TempDir(): "-logfile",
	} {
		if _, err := run("-flagfile=", args); err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%s: %v, want %q", args, err, words)
		}
	}
	out, err := run("-h")
	if !errors.Is(err, flag.ErrHelp) || !strings.Contains(out, "-sdaddr") || !strings.Contains(out, "CELLMESH_SDADDR") {
		t.Errorf("-h: %v\n%s", err, out)
	}
	if started {
		t.Error("started nevertheless")
	}
}

// A flag file is read, or refused with a line that it has.
func FuzzReadFlagFile(f *testing.F) {
	f.Add("sdaddr=x\n# c\n\ngame.tick=1s\nagent.any=thing")
	f.Add("=\n.=\n=.\ngame.=\ngame..=")
	f.Fuzz(func(t *testing.T, text string) {
		known := map[string]bool{"sdaddr": true, "tick": true}
		set := map[string]string{}
		err := readFlagFile(strings.NewReader(text), "game", func(n string) bool { return known[n] }, func(n, v string) error {
			set[n] = v
			return nil
		})
		for n, v := range set {
			if !known[n] || strings.TrimSpace(v) != v {
				t.Fatalf("set %q to %q", n, v)
			}
		}
		if err != nil && !strings.HasPrefix(err.Error(), "line ") {
			t.Fatal(err)
		}
	})
}

// A program cannot have a flag of its own by the name of one that all have: it
// does not come as far as a release.
func TestFlagClash(t *testing.T) {
	defer func() {
		if v := recover(); v == nil || !strings.Contains(v.(string), "flag redefined: secret") {
			t.Errorf("panicked with %v", v)
		}
	}()
	Run(t.Context(), "test", func(fs *flag.FlagSet) Service {
		fs.String("secret", "", "")
		return &testService{}
	}, Options{Stdout: io.Discard, Stderr: io.Discard})
}
