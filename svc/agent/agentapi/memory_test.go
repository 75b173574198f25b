package agentapi_test

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/tool/cluster"
)

// held is how many bytes the heap holds.
func held() int64 {
	var m runtime.MemStats
	for range 3 {
		runtime.GC()
	}
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// What everybody who is online costs a backend that watches, and what a client
// of its own does.
func TestMemory(t *testing.T) {
	const many = 20_000
	b := startGreeter(t, &backend{})
	a := b.greeted(t, 0)
	before := held()
	for i := 0; i < many; i += 500 {
		var all []*pb.Presence_User
		for j := range 500 {
			all = append(all, &pb.Presence_User{Uid: fmt.Sprintf("user%05d", i+j), Name: fmt.Sprintf("User %05d", i+j), Epoch: 1, Features: 3})
		}
		a.here(t, false, all, nil)
	}
	cluster.Eventually(t, "all are online", func() bool { return b.srv.OnlineCount() == many })
	online := held()
	for i := range many {
		a.control(t, number(1, i), &pb.ClientOpen{Uid: fmt.Sprintf("user%05d", i), Name: fmt.Sprintf("User %05d", i), Epoch: 1, Features: 3})
	}
	cluster.Eventually(t, "all are introduced", func() bool { return b.srv.Clients() == many })
	a.control(t, number(1, 0), &pb.ClientName{Name: "last"})
	cluster.Eventually(t, "all are known", func() bool { u, _ := b.srv.Online("user00000"); return u.Name != "" })
	client := held()
	perUser, perClient := (online-before)/many, (client-online)/many
	t.Logf("%d bytes for each who is online, %d more for each client", perUser, perClient)
	if perUser > 200 || perClient > 700 {
		t.Errorf("%d bytes for each who is online, %d more for each client: expected at most 200 and 700", perUser, perClient)
	}
}
