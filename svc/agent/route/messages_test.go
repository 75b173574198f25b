package route_test

import (
	"strings"
	"testing"

	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/svc/agent/route"
)

// The table of this project has what clients of 2019 need, and nothing of what services say to each
// other.
func TestFromMessages(t *testing.T) {
	rules, err := route.FromMessages(pb.Messages())
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []route.Rule{
		{ID: pb.PingACKID, Service: "agent", Access: route.Pass},
		{ID: pb.LoginREQID, Service: "login", Access: route.Blocked},
		{ID: pb.VerifyREQID, Service: "game", Access: route.Pass, SvcIDField: 2},
		{ID: pb.ChatREQID, Service: "social", Access: route.Auth},
		{ID: pb.EchoREQID, Service: "game", Access: route.Auth},
	} {
		got := rules.Lookup(want.ID)
		if got == nil || got.Service != want.Service || got.Access != want.Access || got.SvcIDField != want.SvcIDField {
			t.Errorf("the rule of %s is %+v, want %+v", pb.MessageName(want.ID), got, want)
		}
	}
	for _, m := range pb.Messages() {
		if got := rules.Lookup(m.ID); (got != nil) != (m.Service != "") {
			t.Errorf("the rule of %s is %+v, its service is %q", m.Name, got, m.Service)
		}
	}
}

func TestFromMessagesOfEverything(t *testing.T) {
	got, err := route.FromMessages([]pb.MessageInfo{
		{Name: "Renamed", ID: 7, Explicit: true, Service: "game", Rule: pb.Rule_AUTH, MaxSize: 1, Rate: 2, Burst: 3, SvcIDField: 4},
		{Name: "ChatACK", ID: pb.ChatACKID},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := route.Rule{Msg: "Renamed", ID: 7, Explicit: true, Service: "game", Access: route.Auth, MaxSize: 1, Rate: 2, Burst: 3, SvcIDField: 4}
	if got.Len() != 1 || *got.Lookup(7) != want {
		t.Errorf("the table is %+v, want only %+v", got.Rules(), want)
	}
	for name, bad := range map[string]pb.MessageInfo{
		"unknown rule":  {Name: "ChatREQ", ID: pb.ChatREQID, Service: "social", Rule: 9},
		"route.New's":   {Name: "ChatREQ", ID: pb.ChatREQID, Service: "social", Rate: -1},
		"not its hash ": {Name: "ChatREQ", ID: 5, Service: "social"},
	} {
		if _, err := route.FromMessages([]pb.MessageInfo{bad}); err == nil || !strings.Contains(err.Error(), "ChatREQ") {
			t.Errorf("%s: the error is %v, want the message's name in it", name, err)
		}
	}
}
