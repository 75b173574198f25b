package main

import (
	"context"
	"errors"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/svc/agent/route"
	"github.com/davyxu/cellmesh_demo/util/discovery"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestPush(t *testing.T) {
	rules, err := route.FromMessages(pb.Messages())
	if err != nil {
		t.Fatal(err)
	}
	reg := discovery.NewMemory().Open()
	defer reg.Close()
	mustPush := func(want string) {
		t.Helper()
		if said, err := push(t.Context(), reg, rules); err != nil || !strings.HasPrefix(said, want) {
			t.Errorf("push says %q, %v, want %q", said, err, want)
		}
	}

	mustPush("pushed ")
	value, ok := reg.Snapshot().Value(route.Key)
	if !ok || value != string(route.Marshal(rules)) {
		t.Errorf("the value is %q", value)
	}
	if _, err := route.Parse([]byte(value)); err != nil {
		t.Errorf("agents cannot read it: %v", err)
	}

	// Again: nothing is written.
	revision := reg.Snapshot().Revision()
	mustPush("unchanged")
	if got := reg.Snapshot().Revision(); got != revision {
		t.Errorf("the revision went from %d to %d", revision, got)
	}

	// What somebody else wrote there gives way.
	if err := discovery.Set(t.Context(), reg, route.Key, `{"rules":[]}`); err != nil {
		t.Fatal(err)
	}
	mustPush("pushed ")
	if value, _ := reg.Snapshot().Value(route.Key); value != string(route.Marshal(rules)) {
		t.Errorf("the value is %q", value)
	}
}

func TestPushFails(t *testing.T) {
	reg := discovery.NewMemory().Open()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := push(ctx, reg, new(route.Table)); !errors.Is(err, context.Canceled) {
		t.Errorf("push without time gives %v", err)
	}
	reg.Close()
	if _, err := push(t.Context(), reg, new(route.Table)); !errors.Is(err, discovery.ErrClosed) {
		t.Errorf("push through a closed registry gives %v", err)
	}
}
