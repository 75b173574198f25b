package desk

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/davyxu/cellmesh_demo/proto/pb"
)

// While a platform hangs, with all the checks it may have under way, clients of
// others log in as fast as before; its own are told, at once or in time.
func TestHangingPlatform(t *testing.T) {
	var hanging sync.WaitGroup
	hanging.Add(5)
	company := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		hanging.Done()
		buf := make([]byte, 1<<10)
		for r.Context().Err() == nil {
			if _, err := r.Body.Read(buf); err != nil {
				break
			}
		}
		<-r.Context().Done()
	}))
	t.Cleanup(company.Close)
	l := launch(t, "-platforms=demo,http", "-platformurl="+company.URL, "-maxchecks=5", "-checktimeout=2s")
	demo := func() time.Duration {
		start := time.Now()
		for range 100 {
			l.granted(l.ask(goldenBytes(t)), "1234")
		}
		return time.Since(start)
	}
	before := demo()

	ask := packet(t, &pb.LoginREQ{Platform: "http", Uid: "alice", Credential: "pa55word"})
	codes := make(chan pb.ResultCode, 5)
	var clients sync.WaitGroup
	for range 5 {
		clients.Go(func() { codes <- l.ask(ask).Result })
	}
	hanging.Wait()
	if ack := l.ask(ask); ack.Result != pb.ResultCode_ServerBusy {
		t.Errorf("one too many was answered %v", ack)
	}
	start := time.Now()
	if during := demo(); during > 3*before+100*time.Millisecond {
		t.Errorf("100 demo logins took %v while a platform hangs, %v before", during, before)
	}
	if time.Since(start) > time.Second {
		t.Skip("this machine is too slow: the platform may not have hung all the time")
	}
	clients.Wait()
	for range 5 {
		if code := <-codes; code != pb.ResultCode_PlatformFailed {
			t.Errorf("a client of the platform was told %v", code)
		}
	}
	if text := l.log.String(); !strings.Contains(text, "platform failed") || strings.Contains(text, "pa55word") {
		t.Error("the log does not tell, or tells too much")
	}
}
