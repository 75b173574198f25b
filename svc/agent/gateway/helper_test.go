package gateway_test

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/svc/agent/route"
	"github.com/davyxu/cellmesh_demo/tool/cluster"
	"github.com/davyxu/cellmesh_demo/util/cellnet"
	"github.com/davyxu/cellmesh_demo/util/discovery"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds every wait of these tests, by far more than anything takes.
const patience = time.Minute

// rig is a real agent, with stub backends of this test's own.
type rig struct {
	*cluster.Cluster
	agent *cluster.Process
	game  *stub
}

// newRig starts a stub game and an agent with these flags.
func newRig(t testing.TB, agentFlags ...string) *rig {
	r := emptyRig(t)
	r.game = r.stub(t, "game")
	r.agent = r.Launch("agent", append([]string{"-verifytimeout=10m"}, agentFlags...)...).WaitReady()
	return r
}

// emptyRig has nothing yet.
func emptyRig(t testing.TB) *rig {
	r := &rig{Cluster: cluster.New(t)}
	r.LogLevel = "debug,msg=info"
	return r
}

// setRules pushes the rules of the .proto files after change, and waits until
// they are in force.
func (r *rig) setRules(t testing.TB, change func(byName map[string]*route.Rule)) {
	t.Helper()
	table := changedRules(t, change)
	r.Set(route.Key, string(route.Marshal(table)))
	want := ""
	for _, rule := range table.Rules() {
		want += table.Explain(rule.Msg) + "\n"
	}
	cluster.Eventually(t, "the rules are in force", func() bool { return r.agent.Page(t, "/routes") == want })
}

func changedRules(t testing.TB, change func(byName map[string]*route.Rule)) *route.Table {
	t.Helper()
	table, err := route.FromMessages(pb.Messages())
	if err != nil {
		t.Fatal(err)
	}
	byName := map[string]*route.Rule{}
	for _, rule := range table.Rules() {
		byName[rule.Msg] = &rule
	}
	change(byName)
	var all []route.Rule
	for _, rule := range byName {
		all = append(all, *rule)
	}
	if table, err = route.New(all); err != nil {
		t.Fatal(err)
	}
	return table
}

// wantMetric waits until a metric has a value. It asks less often than others
// do: an answer is long.
func wantMetric(t testing.TB, p *cluster.Process, name string, want float64) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		got := p.Metric(t, name)
		if got == want {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s is %v, want %v", name, got, want)
		}
	}
}

// frame is a message that a client got.
type frame struct {
	id   uint16
	body string
}

func (f frame) String() string { return fmt.Sprintf("%s %q", pb.MessageName(f.id), f.body) }

// peer is one client connection that speaks the client protocol by hand.
type peer struct {
	session *cellnet.Session
	got     chan frame
	ended   chan error // gets the reason, and keeps it
}

// dial connects a client: scheme is tcp, tls, ws or wss.
func (r *rig) dial(t testing.TB, scheme string) *peer {
	t.Helper()
	p, err := r.tryDial(t, scheme)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (r *rig) tryDial(t testing.TB, scheme string) (*peer, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	s, err := cellnet.Dial(ctx, scheme+"://"+r.addr()+"/", &cellnet.Config{TLS: &tls.Config{InsecureSkipVerify: true}, WriteTimeout: patience})
	if err != nil {
		return nil, err
	}
	p := &peer{session: s, got: make(chan frame, 1<<14), ended: make(chan error, 1)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Run(context.Background(), p)
	}()
	t.Cleanup(func() {
		s.Abort(nil)
		<-done
	})
	return p, nil
}

// raw connects without a session: for those that do not speak the protocol.
func (r *rig) raw(t testing.TB) *net.TCPConn {
	t.Helper()
	c, err := net.DialTimeout("tcp", r.addr(), patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(patience))
	return c.(*net.TCPConn)
}

// addr is where the agent listens for clients.
func (r *rig) addr() string { return r.agent.App.Self().Meta[discovery.MetaWAN] }

// linked waits until the agent is linked to so many instances of a service.
func (r *rig) linked(t testing.TB, service string, n int) {
	t.Helper()
	cluster.Eventually(t, fmt.Sprintf("the agent is linked to %d of %s", n, service), func() bool {
		return len(r.agent.App.Links.Named(service)) == n
	})
}

// closed waits until so many connections have been closed for a reason.
func (r *rig) closed(t testing.TB, reason string, want float64) {
	t.Helper()
	wantMetric(t, r.agent, fmt.Sprintf("agent_closed_total{reason=%q}", reason), want)
}

func (p *peer) Frame(b []byte) error {
	select {
	case p.got <- frame{cellnet.MessageID(b), string(cellnet.Body(b))}:
		return nil
	default:
		return errors.New("the test does not take what it is sent")
	}
}

func (p *peer) Batch()           {}
func (p *peer) Closed(err error) { p.ended <- err }

func (p *peer) send(t testing.TB, m pb.Message) {
	t.Helper()
	p.sendRaw(t, m.MsgID(), encode(t, m))
}

func (p *peer) sendRaw(t testing.TB, id uint16, body string) {
	t.Helper()
	if err := p.session.SendMessage(id, []byte(body)); err != nil {
		t.Fatalf("send %s: %v", pb.MessageName(id), err)
	}
}

func encode(t testing.TB, m pb.Message) string {
	t.Helper()
	body, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// want takes the next message, which must be this one.
func (p *peer) want(t testing.TB, m pb.Message) {
	t.Helper()
	got := p.next(t)
	have := m.ProtoReflect().New().Interface()
	if got.id != m.MsgID() || proto.Unmarshal([]byte(got.body), have) != nil || !proto.Equal(have, m) {
		t.Fatalf("got %v, want %s %v", got, pb.MessageName(m.MsgID()), m)
	}
}

func (p *peer) next(t testing.TB) frame {
	t.Helper()
	select {
	case f := <-p.got:
		return f
	case <-time.After(patience):
		t.Fatalf("no message within %v", patience)
	case err := <-p.ended:
		p.ended <- err
		select {
		case f := <-p.got: // before the end
			return f
		default:
			t.Fatalf("the connection ended: %v", err)
		}
	}
	panic("unreachable")
}

// wantReject takes the next message, which must be a RejectACK; it returns the
// reason.
func (p *peer) wantReject(t testing.TB, id uint16, code pb.ResultCode) string {
	t.Helper()
	return p.next(t).rejects(t, id, code)
}

// rejects makes sure that the message is this RejectACK; it returns the reason.
func (f frame) rejects(t testing.TB, id uint16, code pb.ResultCode) string {
	t.Helper()
	var m pb.RejectACK
	if f.id != pb.RejectACKID || proto.Unmarshal([]byte(f.body), &m) != nil || uint16(m.MsgId) != id || m.Code != code || m.Reason == "" {
		t.Fatalf("got %v %v, want RejectACK of %d (%s) with %v", f, &m, id, pb.MessageName(id), code)
	}
	return m.Reason
}

// wantEnd waits for the end of the connection.
func (p *peer) wantEnd(t testing.TB) error {
	t.Helper()
	select {
	case err := <-p.ended:
		p.ended <- err
		return err
	case <-time.After(patience):
		t.Fatalf("the connection did not end within %v", patience)
	}
	panic("unreachable")
}

// wantEcho sends an echo and takes the next message, which must be the answer:
// the connection lives, and nothing else has come.
func (p *peer) wantEcho(t testing.TB, content string) {
	t.Helper()
	p.send(t, &pb.EchoREQ{Content: []byte(content)})
	p.want(t, &pb.EchoACK{Content: []byte(content)})
}

// What clients announce in VerifyREQ.
const (
	oldClient = uint32(0)
	newClient = uint32(pb.VerifyREQ_Reject)
)

// enter connects a client and verifies it at whichever game.
func (r *rig) enter(t testing.TB, scheme, uid string, features uint32) *peer {
	t.Helper()
	p := r.dial(t, scheme)
	p.verify(t, uid, "", features)
	return p
}

// verify verifies a client at a stub game.
func (p *peer) verify(t testing.TB, uid, game string, features uint32) {
	t.Helper()
	p.send(t, &pb.VerifyREQ{GameToken: uid, GameSvcId: game, Features: features})
	p.want(t, &pb.VerifyACK{})
}

// onWire is a message as it is on a TCP connection.
func onWire(id uint16, body string) []byte {
	b := binary.LittleEndian.AppendUint16(nil, uint16(2+len(body)))
	b = binary.LittleEndian.AppendUint16(b, id)
	return append(b, body...)
}
