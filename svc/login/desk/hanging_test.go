package desk

import (
	"context"
	"flag"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/davyxu/cellmesh_demo/basefx"
	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/svc/login/platform"
)

// hanging is a platform that does not answer before it is released, not even
// when it is told that nobody waits any more.
type hanging struct {
	asked   sync.WaitGroup
	release chan struct{}
}

func (h *hanging) Verify(context.Context, platform.Credential) (platform.Identity, error) {
	select {
	case <-h.release:
	default:
		h.asked.Done()
		<-h.release
	}
	return platform.Identity{Subject: "alice"}, nil
}

// While a platform hangs, with all the checks it may have under way, clients of
// others log in as fast as before; its own are told, at once or in time, and get
// in when it is well again.
func TestHangingPlatform(t *testing.T) {
	const checks = 5
	h := &hanging{release: make(chan struct{})}
	h.asked.Add(checks)
	release := sync.OnceFunc(func() { close(h.release) })
	l := launchAs(t, func(fs *flag.FlagSet) basefx.Service {
		d := New(fs).(*Desk)
		d.platforms.kinds = append(d.platforms.kinds, platform.Kind{Name: "hanging"})
		d.platforms.open["hanging"] = func(platform.Env) (map[string]platform.Platform, error) {
			return map[string]platform.Platform{"hanging": h}, nil
		}
		return d
	}, "-platforms=demo,hanging", "-maxchecks=5", "-checktimeout=100ms", "-accountrate=0")
	t.Cleanup(release) // before the service is stopped: it waits for its checks
	demo := func() time.Duration {
		start := time.Now()
		for range 20 {
			l.granted(l.ask(goldenBytes(t)), "1234")
		}
		return time.Since(start)
	}
	before := demo()
	for range 4 {
		before = min(before, demo())
	}

	ask := packet(t, &pb.LoginREQ{Platform: "hanging", Uid: "alice", Credential: "pa55word"})
	codes := make(chan pb.ResultCode, checks)
	for range checks {
		go func() { codes <- l.ask(ask).Result }()
	}
	h.asked.Wait()
	if ack := l.ask(ask); ack.Result != pb.ResultCode_ServerBusy {
		t.Errorf("one too many was answered %v", ack)
	}
	for range checks {
		if code := <-codes; code != pb.ResultCode_PlatformFailed {
			t.Errorf("a client of the platform was told %v", code)
		}
	}
	eventually(t, "others log in as fast as before", func() bool { return demo() < 3*before })
	if ack := l.ask(ask); ack.Result != pb.ResultCode_ServerBusy {
		t.Errorf("while it still hangs: %v", ack)
	}
	release()
	eventually(t, "its clients get in when it is well again", func() bool { return l.ask(ask).Result == pb.ResultCode_NoError })
	if text := l.log.String(); !strings.Contains(text, "platform failed") || strings.Contains(text, "pa55word") {
		t.Error("the log does not tell, or tells too much")
	}
}
