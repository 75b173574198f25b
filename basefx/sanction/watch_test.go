package sanction

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/davyxu/cellmesh_demo/basefx"
	"github.com/davyxu/cellmesh_demo/util/discovery"
)

// watcher is a service that notes what it is told.
type watcher struct {
	*Sanctions
	mu     sync.Mutex
	events []string
	log    bytes.Buffer
}

func (w *watcher) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.log.Write(b)
}

func (w *watcher) Start(_ context.Context, app *basefx.App) error {
	w.Sanctions = Watch(app)
	w.OnChange(func(s Sanction, lifted bool) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.events = append(w.events, fmt.Sprint(s.Kind, " ", s.UID, " ", s.Why, " ", lifted))
	})
	return nil
}

// launch runs a watcher until the test ends.
func launch(t *testing.T, memory *discovery.Memory) *watcher {
	w := &watcher{}
	reg := memory.Open()
	ctx, cancel := context.WithCancel(context.Background())
	ready, done := make(chan struct{}), make(chan error, 1)
	go func() {
		done <- basefx.Run(ctx, "game", func(*flag.FlagSet) basefx.Service { return w }, basefx.Options{
			Args: []string{"-flagfile=", "-httpaddr="}, Stdin: strings.NewReader(""), Stdout: w, Stderr: w, Registry: reg,
			Ready: func(*basefx.App) { close(ready) },
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		reg.Close()
	})
	<-ready
	return w
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("not in time: " + what)
		}
	}
}

// A service knows what was there before it and follows what changes; what cannot
// be read changes nothing and is logged once; what is over is over.
func TestWatch(t *testing.T) {
	memory := discovery.NewMemory()
	reg := memory.Open()
	defer reg.Close()
	ctx := t.Context()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	check(Set(ctx, reg, Sanction{Kind: Ban, UID: "early", Why: "w"}))
	check(discovery.Set(ctx, reg, "sanction/ban/early broken", "?"))
	w := launch(t, memory)
	if s, is := w.Banned("early"); !is || s.Why != "w" {
		t.Errorf("early is banned: %+v %v", s, is)
	}
	if _, is := w.Muted("early"); is {
		t.Error("early is muted")
	}
	check(Set(ctx, reg, Sanction{Kind: Mute, UID: "alice", Until: time.Now().Add(time.Hour)}))
	check(Set(ctx, reg, Sanction{Kind: Mute, UID: "alice", Until: time.Now().Add(time.Hour), Why: "again"}))
	eventually(t, "alice is muted again", func() bool { s, is := w.Muted("alice"); return is && s.Why == "again" })
	check(discovery.Set(ctx, reg, "sanction/mute/alice", "{nonsense"))
	check(discovery.Set(ctx, reg, "unrelated", "1"))
	check(discovery.Set(ctx, reg, "sanction/ban/bob", "{nonsense too"))
	check(Set(ctx, reg, Sanction{Kind: Ban, UID: "carol"}))
	eventually(t, "carol is banned", func() bool { _, is := w.Banned("carol"); return is })
	if s, is := w.Muted("alice"); !is || s.Why != "again" {
		t.Errorf("alice is muted: %+v %v", s, is)
	}
	if _, is := w.Banned("bob"); is {
		t.Error("bob is banned by nonsense")
	}
	check(discovery.Set(ctx, reg, "sanction/ban/carol", `{"until":"2020-01-01T00:00:00Z"}`))
	eventually(t, "carol's ban is over", func() bool { _, is := w.Banned("carol"); return !is })
	_, err := Lift(ctx, reg, "alice")
	check(err)
	eventually(t, "alice may speak", func() bool { _, is := w.Muted("alice"); return !is })
	for _, want := range []string{"mute alice again false", "ban carol  false", "mute alice again true"} {
		eventually(t, "is told "+want, func() bool { // which is when it is in force already
			w.mu.Lock()
			defer w.mu.Unlock()
			return slices.Contains(w.events, want)
		})
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, key := range []string{`"sanction/ban/early broken"`, "sanction/ban/bob"} {
		if n := strings.Count(w.log.String(), "key="+key); n != 1 {
			t.Errorf("%s is in the log %d times:\n%s", key, n, w.log.String())
		}
	}
}
