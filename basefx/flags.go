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
)

// envPrefix is put before the upper-case name of a flag: CELLMESH_SDADDR.
const envPrefix = "CELLMESH"

// defaultFlagFile is read if it is there; a file that was asked for must be.
const defaultFlagFile = "cfg/LocalFlag.cfg"

// Flags are the flags that every program has.
type Flags struct {
	SDAddr   string // memsd
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
}

func (f *Flags) register(fs *flag.FlagSet) {
	fs.StringVar(&f.SDAddr, "sdaddr", "127.0.0.1:8900", "address of memsd")
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
	fs.StringVar(&f.LogSize, "logfilesize", "100M", "size at which the log file is rotated (K, M or G); three old ones are kept")
	fs.StringVar(&f.LogColor, "logcolor", "auto", "colour in the log: true, false, or auto: on a terminal only")
	fs.StringVar(&f.MuteMsg, "mutemsglog", "PingACK", "messages left out of the debug log, separated by commas")
	fs.StringVar(&f.FlagFile, "flagfile", defaultFlagFile, "file with flags, one name=value a line; name.flag=value is for one program")
	fs.BoolVar(&f.Lifeline, "lifeline", false, "stop when standard input ends: whoever started this process holds its other end")
}

// Default gives a flag that every program has another default in one program.
// For the function that adds a program's own flags.
func Default(fs *flag.FlagSet, name, value string) {
	if err := fs.Set(name, value); err != nil {
		panic(fmt.Sprintf("default of -%s: %v", name, err)) // a mistake of the program, whatever the user does
	}
	fs.Lookup(name).DefValue = value
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
	err := ff.Parse(fs, args,
		ff.WithEnvVarPrefix(envPrefix),
		ff.WithConfigFileFlag("flagfile"),
		ff.WithAllowMissingConfigFile(missing),
		ff.WithConfigFileParser(func(r io.Reader, set func(name, value string) error) error {
			return readFlagFile(r, program, func(name string) bool { return fs.Lookup(name) != nil }, set)
		}))
	if err != nil {
		return err
	}
	return nil
}

// readFlagFile reads lines "flag=value", "program.flag=value", comments (#) and
// blank lines. Lines for other programs are passed over; those for this one go
// over the general ones, wherever they stand.
func readFlagFile(r io.Reader, program string, known func(string) bool, set func(name, value string) error) error {
	type setting struct{ name, value string }
	var general, own []setting
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
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
		if !known(name) {
			return fmt.Errorf("line %d: %s has no flag %q (a flag of another program is written program.flag=value)", n, program, name)
		}
		*list = append(*list, setting{name, strings.TrimSpace(value)})
	}
	for _, s := range append(general, own...) {
		if err := set(s.name, s.value); err != nil {
			return err
		}
	}
	return lines.Err()
}

// check looks at what one flag cannot tell alone, and reads the secret if it
// is in a file.
func (f *Flags) check() error {
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
	if f.Secret == "" && !isLoopback(f.LanIP) {
		return fmt.Errorf("-lanip=%s is not loopback, so other machines can connect: set the same -secret everywhere (or %s_SECRET, or -secret=@file)", f.LanIP, envPrefix)
	}
	if strings.ContainsAny(f.SvcGroup, "#@|:, ") || f.SvcGroup == "" {
		return fmt.Errorf("-svcgroup=%q: a group is a word without any of #@|:,", f.SvcGroup)
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
		return "", fmt.Errorf("-listen=%s: %w", f.Listen, err)
	}
	if host == "" && isLoopback(f.WanIP) {
		host = f.WanIP
	}
	return net.JoinHostPort(host, port), nil
}

var errLifeline = errors.New("whoever started this process is gone (-lifeline)")
