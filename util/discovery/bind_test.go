package discovery_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/davyxu/cellmesh_demo/util/discovery"
)

type limits struct {
	Players int               `json:"players"`
	Motto   string            `json:"motto"`
	Names   map[string]string `json:"names,omitempty"`
}

func (l *limits) Validate() error {
	if l.Players < 1 {
		return errors.New("players must be 1 or more")
	}
	return nil
}

func set(t *testing.T, r discovery.Registry, key, value string) {
	t.Helper()
	if err := discovery.Set(t.Context(), r, key, value); err != nil {
		t.Fatal(err)
	}
}

// follower runs a Config and tells of its changes.
type follower struct {
	t       *testing.T
	c       *discovery.Config[limits]
	changed chan limits
	log     *safeBuffer
}

type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func follow(t *testing.T, r discovery.Registry, key string) *follower {
	log := new(safeBuffer)
	c, err := discovery.Bind(r, key, limits{Players: 10, Motto: "none", Names: map[string]string{"a": "default"}}, slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	f := &follower{t: t, c: c, changed: make(chan limits), log: log}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		c.Run(ctx, func(l *limits) {
			select {
			case f.changed <- *l:
			case <-ctx.Done():
			}
		})
	})
	t.Cleanup(func() {
		cancel()
		wg.Wait()
	})
	return f
}

func (f *follower) want(text string) {
	f.t.Helper()
	if got := fmt.Sprint(<-f.changed); got != text {
		f.t.Fatalf("changed to %s, want %s\n%s", got, text, f.log)
	}
	if got := fmt.Sprint(*f.c.Get()); got != text {
		f.t.Fatalf("Get returns %s, want %s", got, text)
	}
}

func TestBindKey(t *testing.T) {
	r := discovery.NewMemory().Open()
	defer r.Close()
	f := follow(t, r, "config/limits")
	if got := fmt.Sprint(*f.c.Get()); got != "{10 none map[a:default]}" {
		t.Fatalf("without a value it is %s", got)
	}
	set(t, r, "config/limits", `{"players":20,"names":{"b":"x"}}`)
	f.want("{20 none map[a:default b:x]}")
	for _, bad := range []string{`{"players":0}`, `{"players":"many"}`, `{"player":3}`, `{`, `{} {}`, ""} {
		set(t, r, "config/limits", bad)
	}
	set(t, r, "elsewhere", "x")
	set(t, r, "config/limits", `{"players":30}`) // b is not left over from before
	f.want("{30 none map[a:default]}")
	if err := discovery.Delete(t.Context(), r, "config/limits"); err != nil {
		t.Fatal(err)
	}
	set(t, r, "config/limits", `{"players":30}`) // the same again: no change
	set(t, r, "config/limits", `{"players":40}`)
	f.want("{40 none map[a:default]}")
	for _, want := range []string{"players must be 1 or more", "cannot unmarshal string", `unknown field \"player\"`} {
		if n := strings.Count(f.log.String(), want); n > 1 {
			t.Errorf("%q is logged %d times", want, n)
		}
	}
}

func TestBindLogsBadValues(t *testing.T) {
	r := discovery.NewMemory().Open()
	defer r.Close()
	set(t, r, "config/limits", `{"players":0}`)
	log := new(safeBuffer)
	c, err := discovery.Bind(r, "config/limits", limits{Players: 1}, slog.New(slog.NewTextHandler(log, nil)))
	if err != nil || c.Get().Players != 1 {
		t.Fatal(c, err)
	}
	if text := log.String(); !strings.Contains(text, "level=ERROR") || !strings.Contains(text, "config/limits") || !strings.Contains(text, "players must be 1 or more") {
		t.Errorf("logged: %s", text)
	}
	if _, err := discovery.Bind(r, "config/limits", limits{}, nil); err == nil || !strings.Contains(err.Error(), "players must be 1 or more") {
		t.Errorf("bad defaults: %v", err)
	}
	if _, err := discovery.Bind(r, "config/limits", make(chan int), nil); err == nil {
		t.Error("defaults that are not JSON")
	}
}

func TestBindPrefix(t *testing.T) {
	r := discovery.NewMemory().Open()
	defer r.Close()
	set(t, r, "limits/motto", `say "hi"`) // text needs no quotes
	f := follow(t, r, "limits/")
	if got := fmt.Sprint(*f.c.Get()); got != `{10 say "hi" map[a:default]}` {
		t.Fatalf("it is %s", got)
	}
	set(t, r, "limits/players", "20")
	f.want(`{20 say "hi" map[a:default]}`)
	set(t, r, "limits/players", "a lot")
	set(t, r, "limits/typo", "1")
	if _, err := r.Apply(t.Context(), discovery.DeleteOp("limits/typo"), discovery.SetOp("limits/players", "30"), discovery.DeleteOp("limits/motto")); err != nil {
		t.Fatal(err)
	}
	f.want("{30 none map[a:default]}")
	if _, err := r.Apply(t.Context(), discovery.ClearOp("limits/")); err != nil {
		t.Fatal(err)
	}
	set(t, r, "limits/players", "31")
	f.want("{31 none map[a:default]}")
}

func TestBindGetAllocatesNothing(t *testing.T) {
	r := discovery.NewMemory().Open()
	defer r.Close()
	c, err := discovery.Bind(r, "x", limits{Players: 1}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(100, func() { _ = c.Get().Players }); n != 0 {
		t.Errorf("Get allocates %v times", n)
	}
}
