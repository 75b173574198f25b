package basefx

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"strings"

	"github.com/peterbourgon/ff/v3" // flags over environment over file on the standard flag package, and nothing else

	"github.com/davyxu/cellmesh_demo/basefx/link"
	"github.com/davyxu/cellmesh_demo/util/discovery"
)

// envPrefix is put before the upper-case name of a flag: CELLMESH_SDADDR. An
// empty variable counts as none.
const envPrefix = "CELLMESH"

// defaultFlagFile is read if it is there; a file that was asked for must be.
const defaultFlagFile = "cfg/LocalFlag.cfg"

// Flags are the flags that every program has.
type Flags struct {
	SDAddr   string // memsd
	SDCA     string
	SvcGroup string
	SvcIndex int // -1: the lowest free
	LanIP    string
	WanIP    string
	Listen   string
	LinkRule string
	Secret   string
	HTTPAddr string
	LogLevel string
	LogFile  string
	LogSize  string
	LogColor string
	MuteMsg  string
	FlagFile string
	Lifeline bool

	rule  link.Rule       // of LinkRule
	muted map[uint16]bool // of MuteMsg, by message ID
}

func (f *Flags) register(fs *flag.FlagSet) {
	fs.StringVar(&f.SDAddr, "sdaddr", "127.0.0.1:8900", "address of memsd")
	fs.StringVar(&f.SDCA, "sdca", "", "certificates (PEM file) to trust memsd by: it is talked to with TLS then, and has -sdcert; read again when it changes")
	fs.StringVar(&f.SvcGroup, "svcgroup", "dev", "service group, the part of the service ID after @")
	fs.IntVar(&f.SvcIndex, "svcindex", -1, "service index; -1 takes the lowest free")
	fs.StringVar(&f.LanIP, "lanip", "127.0.0.1", "where listeners for other services bind, and what they announce")
	fs.StringVar(&f.WanIP, "wanip", "127.0.0.1", "address that clients are told")
	fs.StringVar(&f.Listen, "listen", ":0", "where login and agent listen for clients; without a host on -wanip if that is loopback, else everywhere")
	fs.StringVar(&f.LinkRule, "linkrule", "", "service groups to link to: name:group|name:group|group for all others; * is any (default -svcgroup)")
	fs.StringVar(&f.Secret, "secret", "", "cluster secret, proved and never sent; required when -lanip is not loopback; @name reads it from a file")
	fs.StringVar(&f.HTTPAddr, "httpaddr", "127.0.0.1:0", "address of /metrics, /healthz, /readyz and /debug/pprof; empty for none")
	fs.StringVar(&f.LogLevel, "loglevel", "info", "error, warn, info or debug; or by logger: info,link=debug")
	fs.StringVar(&f.LogFile, "logfile", "", "log to this file instead of standard error")
	fs.StringVar(&f.LogSize, "logfilesize", "100M", "size at which the log file is rotated (M or G); three old ones are kept")
	fs.StringVar(&f.LogColor, "logcolor", "auto", "colour in the log: true, false, or auto: on a terminal only")
	fs.StringVar(&f.MuteMsg, "mutemsglog", "PingACK", "messages left out of the log of messages (-loglevel=info,msg=debug), by name, separated by commas")
	fs.StringVar(&f.FlagFile, "flagfile", defaultFlagFile, "file with flags, one name=value a line; program.name=value is for one program")
	fs.BoolVar(&f.Lifeline, "lifeline", false, "stop when standard input ends: whoever started this process holds its other end")
}

// Default gives a flag that every program has another default in one program.
// For the function that adds a program's own flags.
func Default(fs *flag.FlagSet, name, value string) {
	f := fs.Lookup(name)
	// Not fs.Set: a flag that was set there counts as given on the command line.
	if err := f.Value.Set(value); err != nil {
		panic(fmt.Sprintf("default of -%s: %v", name, err)) // a mistake of the program, whatever the user does
	}
	f.DefValue = value
}

// parseFlags fills fs: the command line goes over the environment, the
// environment over the flag file. program is the name whose "program.flag"
// lines in the file count.
func parseFlags(fs *flag.FlagSet, program string, args []string) error {
	missing := true // the default file may be missing, one that was asked for may not
	for _, a := range args {
		if a = strings.TrimLeft(a, "-"); a == "flagfile" || strings.HasPrefix(a, "flagfile=") {
			missing = false
		}
	}
	if file, ok := os.LookupEnv(envPrefix + "_FLAGFILE"); ok {
		missing = false
		if file == "" { // for ff an empty variable is none; for us it says that no file is wanted
			Default(fs, "flagfile", "")
		}
	}
	return ff.Parse(fs, args,
		ff.WithEnvVarPrefix(envPrefix),
		ff.WithConfigFileFlag("flagfile"),
		ff.WithAllowMissingConfigFile(missing),
		ff.WithConfigFileParser(func(r io.Reader, set func(name, value string) error) error {
			known := func(name string) bool { return fs.Lookup(name) != nil }
			if err := readFlagFile(r, program, known, set); err != nil {
				return fmt.Errorf("flag file %s, %w", fs.Lookup("flagfile").Value, err)
			}
			return nil
		}))
}

// readFlagFile reads lines "flag=value", "program.flag=value", comments (#) and
// blank lines. Lines for other programs are passed over; those for this one go
// over the general ones, wherever they stand.
func readFlagFile(r io.Reader, program string, known func(string) bool, set func(name, value string) error) error {
	type setting struct {
		line        int
		name, value string
	}
	var general, own []setting
	lines := bufio.NewScanner(r)
	n := 1
	for ; lines.Scan(); n++ {
		line := strings.TrimSpace(strings.TrimPrefix(lines.Text(), "\ufeff"))
		if line == "" || line[0] == '#' {
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		if !ok {
			return fmt.Errorf("line %d: %q is not name=value", n, line)
		}
		list := &general
		name = strings.TrimSpace(name)
		if to, flag, scoped := strings.Cut(name, "."); scoped {
			if to != program {
				continue
			}
			list, name = &own, flag
		}
		switch {
		case !known(name):
			return fmt.Errorf("line %d: %s has no flag %q (a flag of another program is written program.flag=value)", n, program, name)
		case name == "flagfile":
			return fmt.Errorf("line %d: a flag file cannot name another", n)
		}
		*list = append(*list, setting{n, name, strings.TrimSpace(value)})
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("line %d: %w", n, err)
	}
	for _, s := range append(general, own...) {
		if err := set(s.name, s.value); err != nil {
			return fmt.Errorf("line %d: %w", s.line, err)
		}
	}
	return nil
}

// check looks at what the flag package cannot know, reads the secret if it is
// in a file, and takes the other values apart.
func (f *Flags) check() (err error) {
	if file, ok := strings.CutPrefix(f.Secret, "@"); ok {
		b, err := os.ReadFile(file)
		if err != nil {
			return fmt.Errorf("-secret: %w", err)
		}
		f.Secret = strings.TrimSpace(string(b))
		if f.Secret == "" {
			return fmt.Errorf("-secret: file %s is empty", file)
		}
	}
	if _, _, _, err := discovery.ParseID(discovery.FormatID("x", 0, f.SvcGroup)); err != nil {
		return fmt.Errorf("-svcgroup=%q: a group is a word of letters, digits, '_', '-' and '.'", f.SvcGroup)
	}
	for _, a := range [...]struct{ flag, value, who string }{{"lanip", f.LanIP, "other services"}, {"wanip", f.WanIP, "clients"}} {
		if ip := net.ParseIP(a.value); a.value == "" || ip != nil && ip.IsUnspecified() {
			return fmt.Errorf("-%s=%q: want the address of this machine under which %s reach it", a.flag, a.value, a.who)
		}
	}
	if f.Secret == "" && !isLoopback(f.LanIP) {
		return fmt.Errorf("-lanip=%s is not loopback, so other machines can connect: set the same -secret everywhere (or %s_SECRET, or -secret=@file)", f.LanIP, envPrefix)
	}
	if f.rule, err = link.ParseRule(f.LinkRule, f.SvcGroup); err != nil {
		return fmt.Errorf("-linkrule=%w", err)
	}
	if f.muted, err = parseMuted(f.MuteMsg); err != nil {
		return fmt.Errorf("-mutemsglog: %w", err)
	}
	return nil
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// clientListenAddr is where a listener for clients binds: a -listen without a
// host stays on the loopback address that clients are told, if that is one.
func (f *Flags) clientListenAddr() (string, error) {
	host, port, err := net.SplitHostPort(f.Listen)
	if err != nil {
		return "", fmt.Errorf("-listen=%s: want host:port or :port: %w", f.Listen, err)
	}
	if host == "" && isLoopback(f.WanIP) {
		host = f.WanIP
	}
	return net.JoinHostPort(host, port), nil
}

var errLifeline = errors.New("whoever started this process is gone (-lifeline)")
