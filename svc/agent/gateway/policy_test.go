package gateway_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/svc/agent/route"
	"github.com/davyxu/cellmesh_demo/tool/cluster"
	"github.com/davyxu/cellmesh_demo/util/discovery"
)

// refused is how many messages the agent has refused with a code.
func (r *rig) refused(t testing.TB, code pb.ResultCode) float64 {
	t.Helper()
	return r.agent.Metric(t, fmt.Sprintf("agent_refused_total{code=%q}", code))
}

// Every kind of refusal: a client that understands is told which message, the
// code and why; an old client is told nothing; both connections live. It is
// counted and in the log.
func TestRefusals(t *testing.T) {
	r := newRig(t)
	r.setRules(t, func(rules map[string]*route.Rule) {
		*rules["ChatREQ"] = route.Rule{Msg: "ChatREQ", ID: pb.ChatREQID, Service: "game", Access: route.Auth, MaxSize: 10, Rate: 0.001, Burst: 3}
	})
	w := r.witness(t)
	chat := string([]byte{10, 2, 'h', 'i'})
	for _, client := range []struct {
		name     string
		features uint32
	}{{"old", oldClient}, {"new", newClient}} {
		t.Run(client.name, func(t *testing.T) {
			p := r.enter(t, "tcp", client.name, client.features)
			refused := func(id uint16, body string, code pb.ResultCode, why string) {
				t.Helper()
				before := r.refused(t, code)
				p.sendRaw(t, id, body)
				if client.features == newClient {
					if reason := p.wantReject(t, id, code); !strings.Contains(reason, why) {
						t.Errorf("%s: reason %q, want %q in it", pb.MessageName(id), reason, why)
					}
				}
				p.wantEcho(t, "lives")
				if after := r.refused(t, code); after != before+1 {
					t.Errorf("%v: counted %v before and %v after", code, before, after)
				}
			}
			refused(9999, "", pb.ResultCode_MessageBlocked, "no rule")
			refused(pb.LoginREQID, "", pb.ResultCode_MessageBlocked, "blocked")
			refused(pb.BindBackendACKID, encode(t, &pb.BindBackendACK{Uid: "root"}), pb.ResultCode_MessageBlocked, "no rule")
			refused(pb.ChatREQID, strings.Repeat("x", 11), pb.ResultCode_MessageTooLarge, "max_size")
			for range 3 {
				p.sendRaw(t, pb.ChatREQID, chat)
			}
			refused(pb.ChatREQID, chat, pb.ResultCode_RateLimited, "rate")
		})
	}
	if n := strings.Count(strings.Join(r.game.all(), "\n"), "ChatREQ from"); n != 6 {
		t.Errorf("%d lines of chat reached the game, want 3 of each client", n)
	}
	for _, want := range []string{`uid=new`, `message=ChatREQ`, `code=RateLimited`, `faster than its rule's rate`, `ChatREQ (ID 29052): auth`} {
		if !strings.Contains(r.agent.Log(), want) {
			t.Errorf("the log does not have %q", want)
		}
	}
	w.undisturbed(t)
}

// Before it is verified a client may send what is pass, and nothing else; one
// that announces what it understands is told of refusals already then.
func TestBeforeVerified(t *testing.T) {
	r := newRig(t)
	r.setRules(t, func(rules map[string]*route.Rule) { rules["VerifyREQ"].MaxSize = 64 })
	old, knows := r.dial(t, "tcp"), r.dial(t, "ws")
	for _, p := range []*peer{old, knows} {
		p.send(t, &pb.EchoREQ{}) // not told: the agent knows nothing of the client yet
	}
	cluster.Eventually(t, "both are refused", func() bool { return r.refused(t, pb.ResultCode_NotVerified) == 2 })
	tooLong := strings.Repeat("x", 64)
	old.send(t, &pb.VerifyREQ{GameToken: tooLong})
	knows.send(t, &pb.VerifyREQ{GameToken: tooLong, Features: newClient})
	knows.wantReject(t, pb.VerifyREQID, pb.ResultCode_MessageTooLarge)
	knows.send(t, &pb.EchoREQ{})
	knows.wantReject(t, pb.EchoREQID, pb.ResultCode_NotVerified)
	for _, p := range []*peer{old, knows} {
		p.send(t, &pb.PingACK{})
		p.want(t, &pb.PingACK{})
		p.verify(t, "late", "", oldClient)
		p.wantEcho(t, "in")
	}
}

// A table that is pushed is in force at once and as a whole. One with a mistake
// is refused as a whole, the log says why, and the old one stays; so it does
// when the key is deleted.
func TestRulesAreSwapped(t *testing.T) {
	r := newRig(t)
	w := r.witness(t)
	p := r.enter(t, "tcp", "alice", newClient)
	p.wantEcho(t, "one")
	r.setRules(t, func(rules map[string]*route.Rule) {
		rules["EchoREQ"].MaxSize = 20
		rules["PingACK"].Access = route.Blocked
	})
	p.wantEcho(t, "two")
	p.send(t, &pb.EchoREQ{Content: make([]byte, 30)})
	p.wantReject(t, pb.EchoREQID, pb.ResultCode_MessageTooLarge)
	p.send(t, &pb.PingACK{})
	p.wantReject(t, pb.PingACKID, pb.ResultCode_MessageBlocked)

	good := r.agent.Page(t, "/routes")
	for _, bad := range []struct{ text, why string }{
		{`{"rules":[{"msg":"EchoREQ","id":1,"service":"game","rule":"pass"}]}`, "id is 1, but the name gives 3323"},
		{`{"rules":[`, "unexpected EOF"},
		{strings.Replace(string(route.Marshal(changedRules(t, func(map[string]*route.Rule) {}))), `"pass"`, `"sometimes"`, 1), "must be blocked, pass or auth"},
		{"", "empty"},
	} {
		r.Set(route.Key, bad.text)
		cluster.Eventually(t, "the log says: "+bad.why, func() bool { return strings.Contains(r.agent.Log(), bad.why) })
		if now := r.agent.Page(t, "/routes"); now != good {
			t.Fatalf("after a table that is refused (%s) the rules are\n%s\nwant\n%s", bad.why, now, good)
		}
	}
	if err := discovery.Delete(t.Context(), r.Registry, route.Key); err != nil {
		t.Fatal(err)
	}
	p.wantEcho(t, "three")
	if now := r.agent.Page(t, "/routes"); now != good {
		t.Errorf("after the key is deleted the rules are\n%s\nwant\n%s", now, good)
	}
	r.setRules(t, func(map[string]*route.Rule) {})
	p.send(t, &pb.PingACK{})
	p.want(t, &pb.PingACK{})
	w.undisturbed(t)
}

// The page that explains has one line a rule, and answers by name or number.
func TestRoutesPage(t *testing.T) {
	r := newRig(t)
	for question, want := range map[string]string{
		"ChatREQ": "ChatREQ (ID 29052): auth",
		"13457":   "VerifyREQ (ID 13457): pass",
		"Nobody":  "Nobody: blocked, because it has no rule",
	} {
		if got := r.agent.Page(t, "/routes?explain="+question); !strings.HasPrefix(got, want) {
			t.Errorf("%s: %q, want it to begin with %q", question, got, want)
		}
	}
}

// Refusals again and again end the connection, and only that one: a client that
// understands is told the code, behind all that came before.
func TestViolations(t *testing.T) {
	r := newRig(t, "-maxviolations=5")
	w := r.witness(t)
	knows, old := r.enter(t, "tcp", "new", newClient), r.enter(t, "ws", "old", oldClient)
	for range 5 {
		knows.send(t, &pb.LoginREQ{})
		old.send(t, &pb.LoginREQ{})
	}
	for range 5 {
		knows.wantReject(t, pb.LoginREQID, pb.ResultCode_MessageBlocked)
	}
	knows.wantReject(t, 0, pb.ResultCode_TooManyViolations)
	knows.wantEnd(t)
	old.wantEnd(t)
	if len(old.got) != 0 {
		t.Errorf("the old client was told something: %v", old.next(t))
	}
	r.game.wantEvent(t, "closed new: agent: 5 messages refused within 10s")
	wantMetric(t, r.agent, `agent_closed_total{reason="violations"}`, 2)
	w.undisturbed(t)
}

// Without a limit refusals never end a connection.
func TestNoLimitOfViolations(t *testing.T) {
	r := newRig(t, "-maxviolations=0")
	p := r.enter(t, "tcp", "alice", newClient)
	for range 1000 {
		p.send(t, &pb.LoginREQ{})
	}
	for range 1000 {
		p.wantReject(t, pb.LoginREQID, pb.ResultCode_MessageBlocked)
	}
	p.wantEcho(t, "lives")
}

// The log of messages, for developers, has every message that goes through,
// less those that are muted, and never what is in it.
func TestMessageLog(t *testing.T) {
	r := newRig(t, "-loglevel=info,msg=debug", "-mutemsglog=PingACK,VerifyACK")
	p := r.enter(t, "tcp", "alice", oldClient)
	p.send(t, &pb.PingACK{})
	p.want(t, &pb.PingACK{})
	p.wantEcho(t, "secret")
	log := r.agent.Log()
	for _, want := range []string{"from client svc=agent#0@dev logger=msg message=VerifyREQ", "message=EchoREQ bytes=8 uid=alice", "to client svc=agent#0@dev logger=msg message=EchoACK bytes=8 uid=alice"} {
		if !strings.Contains(log, want) {
			t.Errorf("the log does not have %q", want)
		}
	}
	for _, not := range []string{"PingACK", "VerifyACK", "secret"} {
		if strings.Contains(log, not) {
			t.Errorf("the log has %q", not)
		}
	}
}

// Flags that make no sense are refused by name.
func TestFlags(t *testing.T) {
	for flag, why := range map[string]string{
		"-maxviolations=-1": "-maxviolations=-1: must not be negative",
		"-maxpending=100":   "-maxpending=100: must be at least",
		"-hold=-1s":         "-hold=-1s: must not be negative",
		"-verifytimeout=0s": "-verifytimeout=0s: must be more than 0",
		"-maxconns=0":       "-maxconns=0: must be at least 1",
		"-maxperaddr=-1":    "-maxperaddr=-1: must not be negative",
		"-tlscert=x":        "-tlscert and -tlskey go together",
		"-explain=ChatREQ":  "-explain works on the command line only",
	} {
		c := cluster.New(t)
		p := c.Launch("agent", flag)
		if err := p.Wait(); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%s: %v, want %q", flag, err, why)
		}
	}
}
