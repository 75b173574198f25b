package desk

import (
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/davyxu/cellmesh_demo/proto/pb"
)

// More log in at once than the platform may check: each is let in or told
// ServerBusy, those that are let in are no more at a time than allowed, and when
// the crowd has gone everybody gets in again.
func TestBusyUnderLoad(t *testing.T) {
	const most, clients, rounds = 4, 40, 3
	var checking, tooMany atomic.Int64
	full := make(chan struct{}) // closed when somebody is told that as many are checked as may be
	told := sync.OnceFunc(func() { close(full) })
	company := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if checking.Add(1) > most {
			tooMany.Add(1)
		}
		defer checking.Add(-1)
		<-full
		w.Write([]byte(`{"subject": "alice"}`))
	}))
	t.Cleanup(company.Close)
	l := launch(t, "-platforms=http", "-platformurl="+company.URL, "-maxchecks=4", "-checktimeout=1m")
	ask := packet(t, &pb.LoginREQ{Platform: "http", Uid: "alice", Credential: "pa55word"})
	var in, busy atomic.Int64
	var all sync.WaitGroup
	for range clients {
		all.Go(func() {
			for range rounds {
				switch ack := l.ask(ask); ack.Result {
				case pb.ResultCode_NoError:
					in.Add(1)
				case pb.ResultCode_ServerBusy:
					busy.Add(1)
					told()
				default:
					t.Errorf("answered %v", ack)
				}
			}
		})
	}
	all.Wait()
	if in.Load() < most || busy.Load() < 1 || in.Load()+busy.Load() != clients*rounds {
		t.Errorf("%d were let in, %d told to come again, of %d", in.Load(), busy.Load(), clients*rounds)
	}
	if n := tooMany.Load(); n > 0 {
		t.Errorf("%d times more than %d were checked at a time", n, most)
	}
	if ack := l.ask(ask); ack.Result != pb.ResultCode_NoError {
		t.Errorf("when the crowd has gone: %v", ack)
	}
}
