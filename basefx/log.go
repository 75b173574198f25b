package basefx

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/lmittmann/tint" // coloured slog lines, one file, no dependencies
	"golang.org/x/term"
	"gopkg.in/natefinch/lumberjack.v2" // rotation by size; what most Go programs use for it
)

// loggerKey is the attribute that names a logger; levels can be set by it.
const loggerKey = "logger"

// newLogger makes the root logger. Close the closer last.
func newLogger(f *Flags, stderr io.Writer) (*slog.Logger, io.Closer, error) {
	levels, err := parseLevels(f.LogLevel)
	if err != nil {
		return nil, nil, fmt.Errorf("-loglevel: %w", err)
	}
	var out io.Writer = stderr
	var closer io.Closer = io.NopCloser(nil)
	if f.LogFile != "" {
		size, err := parseSize(f.LogSize)
		if err != nil {
			return nil, nil, fmt.Errorf("-logfilesize: %w", err)
		}
		if err := tryFile(f.LogFile); err != nil {
			return nil, nil, fmt.Errorf("-logfile: %w", err)
		}
		file := &lumberjack.Logger{Filename: f.LogFile, MaxSize: int(size >> 20), MaxBackups: 3}
		out, closer = file, file
	}
	color := false
	switch f.LogColor {
	case "auto":
		file, ok := out.(*os.File)
		color = ok && term.IsTerminal(int(file.Fd())) && os.Getenv("NO_COLOR") == ""
	default:
		if color, err = strconv.ParseBool(f.LogColor); err != nil {
			return nil, nil, fmt.Errorf("-logcolor=%q is not true, false or auto", f.LogColor)
		}
	}
	format := "15:04:05.000"
	if f.LogFile != "" {
		format = time.RFC3339Nano // a file may be of another day
	}
	h := tint.NewTextHandler(out, &tint.Options{Level: levels.lowest(), TimeFormat: format, NoColor: !color})
	return slog.New(&levelHandler{Handler: h, levels: levels, min: levels.other}), closer, nil
}

// tryFile finds out whether name can be written: lumberjack puts what it cannot
// open aside, be it somebody's directory.
func tryFile(name string) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	file, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	return file.Close()
}

// levels are the log levels by logger name.
type levels struct {
	other  slog.Level
	byName map[string]slog.Level
}

func parseLevels(s string) (levels, error) {
	l := levels{other: slog.LevelInfo, byName: map[string]slog.Level{}}
	for entry := range strings.SplitSeq(s, ",") {
		name, level, named := strings.Cut(strings.TrimSpace(entry), "=")
		if !named {
			name, level = "", name
		}
		if named && name == "" {
			return l, fmt.Errorf("%q has no logger before the =", entry)
		}
		var v slog.Level
		switch level {
		case "error", "warn", "info", "debug":
			if err := v.UnmarshalText([]byte(level)); err != nil {
				return l, err
			}
		default:
			return l, fmt.Errorf("%q is not error, warn, info or debug", level)
		}
		if named {
			l.byName[name] = v
		} else {
			l.other = v
		}
	}
	return l, nil
}

func (l levels) lowest() slog.Level {
	low := l.other
	for _, v := range l.byName {
		low = min(low, v)
	}
	return low
}

// levelHandler applies the level of the logger it belongs to.
type levelHandler struct {
	slog.Handler
	levels levels
	min    slog.Level
}

func (h *levelHandler) Enabled(_ context.Context, level slog.Level) bool { return level >= h.min }

func (h *levelHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	next := *h
	for _, a := range attrs {
		if a.Key == loggerKey {
			if v, ok := h.levels.byName[a.Value.String()]; ok {
				next.min = v
			}
		}
	}
	next.Handler = h.Handler.WithAttrs(attrs)
	return &next
}

func (h *levelHandler) WithGroup(name string) slog.Handler {
	next := *h
	next.Handler = h.Handler.WithGroup(name)
	return &next
}

// parseSize reads a size in bytes: digits, then K, M, G or nothing; at least
// 1M, which is the unit that lumberjack counts in.
func parseSize(s string) (int64, error) {
	shift := 0
	digits := s
	if s != "" {
		if i := strings.IndexByte("KMG", s[len(s)-1]&^0x20); i >= 0 {
			shift, digits = 10*(i+1), s[:len(s)-1]
		}
	}
	n, err := strconv.ParseInt(digits, 10, 32)
	if err != nil || n <= 0 {
		return 0, fmt.Errorf("%q is not a size such as 100M", s)
	}
	if n <<= shift; n < 1<<20 {
		return 0, fmt.Errorf("%q is less than 1M", s)
	}
	return n, nil
}
