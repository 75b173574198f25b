package chat_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/svc/client/clientapi"
	"github.com/davyxu/cellmesh_demo/tool/cluster"
)

// site is a cluster with some socials and agents.
type site struct {
	*cluster.Cluster
	tokens  *cluster.Tokens
	socials []*cluster.Process
	agents  []*cluster.Process
}

func newSite(t *testing.T, socials, agents int) *site {
	t.Helper()
	s := &site{Cluster: cluster.New(t)}
	s.tokens = s.NewTokens()
	s.Launch("game").WaitReady()
	for range socials {
		s.socials = append(s.socials, s.Launch("social").WaitReady())
	}
	for range agents {
		s.agents = append(s.agents, s.Launch("agent").WaitReady())
	}
	return s
}

// lift takes the rates out of the routes, and waits until the agents follow.
func (s *site) lift(t testing.TB) {
	t.Helper()
	s.LiftRates()
	for _, agent := range s.agents {
		cluster.Eventually(t, "an agent has the rates lifted", func() bool {
			return strings.Count(agent.Log(), "route rules in force") > 1
		})
	}
}

// person is a client and all that it has been told.
type person struct {
	t    testing.TB
	uid  string
	conn *clientapi.Conn

	mu   sync.Mutex
	all  []pb.Message
	read int              // of all, by next
	also func(pb.Message) // is told, too
}

// listen has f told what comes from now on.
func (p *person) listen(f func(pb.Message)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.also = f
}

// news makes the messages that people are told.
var news = map[uint16]func() pb.Message{
	pb.ChatACKID:    func() pb.Message { return &pb.ChatACK{} },
	pb.LineACKID:    func() pb.Message { return &pb.LineACK{} },
	pb.SayACKID:     func() pb.Message { return &pb.SayACK{} },
	pb.JoinACKID:    func() pb.Message { return &pb.JoinACK{} },
	pb.LeaveACKID:   func() pb.Message { return &pb.LeaveACK{} },
	pb.TopicACKID:   func() pb.Message { return &pb.TopicACK{} },
	pb.WhoACKID:     func() pb.Message { return &pb.WhoACK{} },
	pb.HistoryACKID: func() pb.Message { return &pb.HistoryACK{} },
	pb.RejectACKID:  func() pb.Message { return &pb.RejectACK{} },
}

// Message notes what has come.
func (p *person) Message(id uint16, body []byte) error {
	make := news[id]
	if make == nil {
		return fmt.Errorf("message %s", pb.MessageName(id))
	}
	m := make()
	if err := proto.Unmarshal(body, m); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.all = append(p.all, m)
	if p.also != nil {
		p.also(m)
	}
	return nil
}

// Batch has nothing to do.
func (p *person) Batch() {}

const (
	old = 0
	new = uint32(pb.VerifyREQ_Reject | pb.VerifyREQ_Lines)
)

// enter lets a client in at an agent.
func (s *site) enter(t testing.TB, uid string, agent int, features uint32) *person {
	t.Helper()
	p := &person{t: t, uid: uid}
	cfg := &clientapi.Config{CommType: "tcp", Version: "1.0", UID: uid, Features: features}
	grant := clientapi.Grant{Agent: s.Addr(fmt.Sprintf("agent#%d@dev", agent)), Token: s.tokens.New(uid, "game#0@dev"), GameID: "game#0@dev"}
	conn, err := clientapi.Connect(context.Background(), grant, cfg, p)
	if err != nil {
		t.Fatal(err)
	}
	p.conn = conn
	t.Cleanup(conn.Close)
	return p
}

// here waits until all socials know who is online.
func (s *site) here(t testing.TB, n int) {
	t.Helper()
	for _, social := range s.socials {
		cluster.Eventually(t, fmt.Sprint(n, " are online"), func() bool { return social.Metric(t, "backend_online") == float64(n) })
	}
}

func (p *person) send(m pb.Message) {
	p.t.Helper()
	if err := p.conn.Send(m); err != nil {
		p.t.Fatalf("%s: %v", p.uid, err)
	}
}

func (p *person) got() []pb.Message {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.all)
}

// told is what a message says, as tests write it.
func told(m pb.Message) string {
	switch m := m.(type) {
	case *pb.ChatACK:
		return "chat " + m.Content
	case *pb.LineACK:
		all := lines(m.Lines)
		if m.Missed {
			return "missed " + all
		}
		return all
	case *pb.SayACK:
		if m.Result != 0 {
			return fmt.Sprintf("say %s: %v: %s", m.RequestId, m.Result, m.Reason)
		}
		if m.Stored {
			return "stored " + m.RequestId
		}
		return "said " + m.RequestId
	case *pb.JoinACK:
		if m.Result != 0 {
			return fmt.Sprintf("join %s: %v: %s", m.Room, m.Result, m.Reason)
		}
		return fmt.Sprintf("join %s: %d, topic %q, history %s", m.Room, m.Members, m.Topic, lines(m.History))
	case *pb.LeaveACK:
		return fmt.Sprintf("leave %s: %v", m.Room, m.Result)
	case *pb.TopicACK:
		return fmt.Sprintf("topic %s: %v %q", m.Room, m.Result, m.Topic)
	case *pb.WhoACK:
		var uids []string
		for _, p := range m.Players {
			uids = append(uids, p.Uid+"="+p.Name)
		}
		return fmt.Sprintf("who %s: %v %d %s", m.Room, m.Result, m.Total, strings.Join(uids, " "))
	case *pb.HistoryACK:
		return fmt.Sprintf("history %s: %v %s", m.Room, m.Result, lines(m.Lines))
	case *pb.RejectACK:
		return fmt.Sprintf("reject %s: %v: %s", pb.MessageName(uint16(m.MsgId)), m.Code, m.Reason)
	}
	return "?"
}

func lines(all []*pb.LineACK_Line) string {
	var list []string
	for _, l := range all {
		where := ""
		switch {
		case l.Room != "":
			where = "#" + l.Room
		case l.To != "":
			where = "@" + l.To
		}
		from := l.From
		if l.Kind == pb.LineACK_System {
			from = "*"
		}
		list = append(list, fmt.Sprintf("%s%s: %s", from, where, l.Text))
	}
	return strings.Join(list, " | ")
}

// next waits for the next message, which must say this.
func (p *person) next(want ...string) {
	p.t.Helper()
	for _, w := range want {
		var all []pb.Message
		cluster.Eventually(p.t, fmt.Sprintf("%s is told %q", p.uid, w), func() bool { all = p.got(); return len(all) > p.read })
		got := told(all[p.read])
		p.read++
		if got != w {
			p.t.Fatalf("%s is told %q, want %q", p.uid, got, w)
		}
	}
}

// asks sends a request and waits for what must come next.
func (p *person) asks(m pb.Message, want ...string) {
	p.t.Helper()
	p.send(m)
	p.next(want...)
}

// nothing fails if somebody has been told more than they have read. A question
// that each asks itself shows that nothing is under way.
func nothing(t testing.TB, people ...*person) {
	t.Helper()
	for _, p := range people {
		if p.read < len(p.got()) {
			t.Errorf("%s is told %q", p.uid, told(p.got()[p.read]))
		}
	}
}
