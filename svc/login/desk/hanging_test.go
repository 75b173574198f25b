package desk

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/davyxu/cellmesh_demo/proto/pb"
)

// While a platform hangs, with all the checks it may have under way, clients of
// others log in as fast as before; its own are told, at once or in time.
func TestHangingPlatform(t *testing.T) {
	for limit, hung := 2*time.Second, false; !hung; limit *= 4 { // on a slow machine a check may end before we are done
		t.Run(fmt.Sprint("for ", limit), func(t *testing.T) { hung = hangingPlatform(t, limit) })
		if t.Failed() {
			return
		}
	}
}

// hangingPlatform has a platform hang for as long as a check may take. It reports
// whether that was for as long as we looked.
func hangingPlatform(t *testing.T, limit time.Duration) bool {
	const checks = 5
	hangs := make(chan struct{}, checks)
	company := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case hangs <- struct{}{}:
		default: // asked again
		}
		buf := make([]byte, 1<<10)
		for r.Context().Err() == nil {
			if _, err := r.Body.Read(buf); err != nil {
				break
			}
		}
		<-r.Context().Done()
	}))
	t.Cleanup(company.Close)
	l := launch(t, "-platforms=demo,http", "-platformurl="+company.URL, fmt.Sprint("-maxchecks=", checks), fmt.Sprint("-checktimeout=", limit))
	demo := func() (median time.Duration) {
		var took []time.Duration
		for range 99 {
			start := time.Now()
			l.granted(l.ask(goldenBytes(t)), "1234")
			took = append(took, time.Since(start))
		}
		slices.Sort(took)
		return took[len(took)/2]
	}
	before := demo()

	ask := packet(t, &pb.LoginREQ{Platform: "http", Uid: "alice", Credential: "pa55word"})
	codes := make(chan pb.ResultCode, checks)
	var clients sync.WaitGroup
	for range checks {
		clients.Go(func() { codes <- l.ask(ask).Result })
	}
	for range checks {
		<-hangs
	}
	more, during := l.ask(ask), demo()
	hung := len(codes) == 0
	clients.Wait()
	if !hung {
		return false
	}
	if more.Result != pb.ResultCode_ServerBusy {
		t.Errorf("one too many was answered %v", more)
	}
	if during > 3*before+100*time.Millisecond {
		t.Errorf("a demo login took %v while a platform hangs, %v before", during, before)
	}
	for range checks {
		if code := <-codes; code != pb.ResultCode_PlatformFailed {
			t.Errorf("a client of the platform was told %v", code)
		}
	}
	if text := l.log.String(); !strings.Contains(text, "platform failed") || strings.Contains(text, "pa55word") {
		t.Error("the log does not tell, or tells too much")
	}
	return true
}
