package contract

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/svc/hub/hubapi"
)

// listener keeps what a subscription delivers.
type listener struct {
	cancel func()

	mu  sync.Mutex
	got []*pb.HubPublish
}

func listen(e hubapi.Engine, pattern string) *listener {
	l := &listener{}
	l.cancel = e.Subscribe(pattern, func(p *pb.HubPublish, _ hubapi.Via) {
		p = proto.CloneOf(p)
		p.Channel, p.From, p.Reply, p.Reason = string([]byte(p.Channel)), string([]byte(p.From)), string([]byte(p.Reply)), string([]byte(p.Reason))
		l.mu.Lock()
		defer l.mu.Unlock()
		l.got = append(l.got, p)
	})
	return l
}

func (l *listener) messages() []*pb.HubPublish {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.got[:len(l.got):len(l.got)]
}

func (l *listener) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.got = nil
}

func (l *listener) texts() (all []string) {
	for _, m := range l.messages() {
		all = append(all, fmt.Sprintf("%s %s %s", m.From, m.Channel, m.Body))
	}
	return all
}

// wait waits for n messages.
func (l *listener) wait(t *testing.T, n int) {
	t.Helper()
	for deadline := time.Now().Add(patience); len(l.messages()) < n; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d messages within %v", len(l.messages()), n, patience)
		}
	}
}
