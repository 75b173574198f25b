package board

import (
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/util/discovery"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// What services say is shown beside what discovery knows, with its age; who is
// silent, stale, gone or not ready stands out.
func TestBoard(t *testing.T) {
	reg := discovery.NewMemory().Open()
	defer reg.Close()
	epochs := map[string]uint64{}
	for _, svc := range []discovery.Service{
		{Name: "game", Group: "dev", Index: 10, State: discovery.Ready, Addr: "10.0.0.1:7"},
		{Name: "game", Group: "dev", Index: 2, State: discovery.Ready, Meta: map[string]string{discovery.MetaVersion: "v1"}},
		{Name: "agent", Group: "dev", Index: 0, State: discovery.Starting, Meta: map[string]string{discovery.MetaWaits: "waiting for game"}},
		{Name: "hub", Group: "dev", Index: 0, State: discovery.Ready},
	} {
		lease, err := reg.Register(t.Context(), svc)
		if err != nil {
			t.Fatal(err)
		}
		epochs[lease.Service().ID] = lease.Service().Epoch
	}
	rows := Rows(reg.Snapshot(), []Heard{
		{&pb.ServiceStatus{Svcid: "game#10@dev", Epoch: epochs["game#10@dev"], Players: 12, Load: 0.5, UptimeMs: 90_061_000, Links: []string{"a", "b"}}, time.Second},
		{&pb.ServiceStatus{Svcid: "game#10@dev", Epoch: epochs["game#10@dev"], Players: 99}, 2 * time.Second}, // another hub's, older
		{&pb.ServiceStatus{Svcid: "game#2@dev", Epoch: epochs["game#2@dev"], Version: "v2", Draining: true}, 12 * time.Second},
		{&pb.ServiceStatus{Svcid: "hub#0@dev", Epoch: epochs["hub#0@dev"] - 1, Players: 5}, 0}, // of who had the name before
		{&pb.ServiceStatus{Svcid: "social#0@dev", Players: 3}, time.Second},
		{&pb.ServiceStatus{Svcid: "social#1@dev", Players: 3}, time.Minute},
	})
	var text strings.Builder
	if err := Text(&text, rows, false); err != nil {
		t.Fatal(err)
	}
	want := `SERVICE       STATE                       PLAYERS  LOAD  UPTIME  LINKS  VERSION  STATUS   SERVICES AT  CLIENTS AT  HTTP AT
agent#0@dev   starting, waiting for game  -        -     -       -      -        silent   -            -           -
game#2@dev    ready, draining             0        0%    0s      0      v2       12s old  -            -           -
game#10@dev   ready                       12       50%   25h1m   2      -        live     10.0.0.1:7   -           -
hub#0@dev     ready                       -        -     -       -      -        silent   -            -           -
social#0@dev  gone                        3        0%    0s      0      -        live     -            -           -
`
	if text.String() != want {
		t.Errorf("got\n%s\nwant\n%s", text.String(), want)
	}
	text.Reset()
	if err := Text(&text, rows, true); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(text.String(), "\x1b[31m"); n != 4 {
		t.Errorf("%d red lines:\n%s", n, text.String())
	}
	text.Reset()
	if err := JSON(&text, Rows(reg.Snapshot(), nil)[:0]); err != nil || strings.TrimSpace(text.String()) != "[]" {
		t.Errorf("%q, %v", text.String(), err)
	}
}
