package desk_test

import (
	"context"
	"errors"
	"testing"

	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/svc/client/clientapi"
	"github.com/davyxu/cellmesh_demo/tool/cluster"
)

// An account of platform password over a whole cluster with two logins: made at
// one, used at the other, changed; and nobody gets in as somebody else by
// another platform.
func TestPasswordAccounts(t *testing.T) {
	c := cluster.New(t)
	var all []*cluster.Process
	for _, name := range []string{"hub", "game", "agent"} {
		all = append(all, c.Launch(name))
	}
	for range 2 {
		all = append(all, c.Launch("login", "-platforms=demo,password", "-checktimeout=1m"))
	}
	for _, p := range all {
		p.WaitReady()
	}
	ask := func(login int, cfg clientapi.Config, code pb.ResultCode) clientapi.Grant {
		t.Helper()
		cfg.CommType, cfg.Version = "tcp", "1.0"
		if cfg.Platform == "" {
			cfg.Platform = "password"
		}
		grant, err := clientapi.Login(t.Context(), c.Addr([]string{"login#0@dev", "login#1@dev"}[login]), &cfg)
		var no *clientapi.Refused
		if errors.As(err, &no) != (code != 0) || no != nil && no.Code != code || err != nil && no == nil {
			t.Fatalf("%+v: %v, want %v", cfg, err, code)
		}
		return grant
	}
	enter := func(grant clientapi.Grant) {
		t.Helper()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		conn, err := clientapi.Connect(ctx, grant, &clientapi.Config{CommType: "tcp"}, nobody{})
		if err != nil {
			t.Fatal(err)
		}
		conn.Close()
	}
	ask(0, clientapi.Config{UID: "alice", Credential: "correct horse"}, pb.ResultCode_CredentialInvalid)
	enter(ask(0, clientapi.Config{UID: "alice", Credential: "correct horse", Action: pb.LoginREQ_Register}, 0))
	ask(1, clientapi.Config{UID: "alice", Credential: "correct horse", Action: pb.LoginREQ_Register}, pb.ResultCode_AccountExists)
	enter(ask(1, clientapi.Config{UID: "alice", Credential: "correct horse"}, 0))
	enter(ask(1, clientapi.Config{UID: "alice", Credential: "correct horse", Action: pb.LoginREQ_ChangeCredential, NewCredential: "battery staple"}, 0))
	ask(0, clientapi.Config{UID: "alice", Credential: "correct horse"}, pb.ResultCode_CredentialInvalid)
	enter(ask(0, clientapi.Config{UID: "alice", Credential: "battery staple"}, 0))
	ask(0, clientapi.Config{Platform: "demo", UID: "alice", Action: pb.LoginREQ_Register}, pb.ResultCode_BadRequest)
	enter(ask(0, clientapi.Config{Platform: "demo", UID: "alice"}, 0)) // gets another uid
	for range 4 {
		ask(0, clientapi.Config{UID: "alice", Credential: "wrong guess"}, pb.ResultCode_CredentialInvalid)
	}
	ask(1, clientapi.Config{UID: "alice", Credential: "wrong guess"}, pb.ResultCode_CredentialInvalid)
	ask(1, clientapi.Config{UID: "alice", Credential: "battery staple"}, pb.ResultCode_AccountLocked)
}
