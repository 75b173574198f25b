package gateway

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/davyxu/cellmesh_demo/util/discovery"
)

// A silence that makes no sense is told once, and the last good one stays; none
// is the default.
func TestSilence(t *testing.T) {
	reg := discovery.NewMemory().Open()
	defer reg.Close()
	var log bytes.Buffer
	g := &Gateway{registry: reg, log: slog.New(slog.NewTextHandler(&log, nil)), beat: heartbeat{most: defaultHeartbeat}}
	told := 0
	for _, step := range []struct {
		value string
		want  time.Duration
		bad   bool
	}{
		{"", 30 * time.Second, false},
		{"soon", 30 * time.Second, true},
		{"7", 7 * time.Second, false},
		{"-1", 7 * time.Second, true},
		{"1.5", 7 * time.Second, true},
		{"99999999999", 7 * time.Second, true},
		{"9223372036854775808", 7 * time.Second, true},
		{"0", 0, false},
		{"7s", 0, true},
		{"86400", 24 * time.Hour, false},
		{"", 30 * time.Second, false},
	} {
		var err error
		if step.value == "" {
			err = discovery.Delete(t.Context(), reg, heartbeatKey)
		} else {
			err = discovery.Set(t.Context(), reg, heartbeatKey, step.value)
		}
		if err != nil {
			t.Fatal(err)
		}
		if step.bad {
			told++
		}
		for range 3 {
			if got := g.idle(); got != step.want {
				t.Errorf("%q: %v, want %v", step.value, got, step.want)
			}
		}
		if n := strings.Count(log.String(), "heartbeat refused"); n != told {
			t.Errorf("%q: %d refusals told, want %d", step.value, n, told)
		}
	}
}
