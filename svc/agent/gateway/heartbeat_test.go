package gateway

import (
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/davyxu/cellmesh_demo/util/discovery"
)

// A silence that makes no sense is told once, and the last good one stays; so it
// does when the value is deleted, or discovery has lost it.
func TestSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := discovery.NewMemory().Open()
		defer reg.Close()
		var log strings.Builder
		g := &Gateway{}
		var err error
		if g.settings, err = discovery.Bind(reg, settingsPrefix, defaultSettings(), slog.New(slog.NewTextHandler(&log, nil))); err != nil {
			t.Fatal(err)
		}
		var following sync.WaitGroup
		following.Go(func() { g.settings.Run(t.Context(), nil) })
		defer following.Wait()
		defer reg.Close()
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
			{"", 24 * time.Hour, false},
		} {
			key := settingsPrefix + "heartbeat_sec"
			if step.value == "" {
				err = discovery.Delete(t.Context(), reg, key)
			} else {
				err = discovery.Set(t.Context(), reg, key, step.value)
			}
			if err != nil {
				t.Fatal(err)
			}
			if step.bad {
				told++
			}
			synctest.Wait()
			if got := g.idle(); got != step.want {
				t.Errorf("%q: %v, want %v", step.value, got, step.want)
			}
			if n := strings.Count(log.String(), "config is bad; the last good value stays"); n != told {
				t.Errorf("%q: %d refusals told, want %d\n%s", step.value, n, told, &log)
			}
		}
	})
}
