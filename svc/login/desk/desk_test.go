package desk

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"flag"
	"io"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	"github.com/davyxu/cellmesh_demo/basefx"
	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/svc/login/loginapi"
	"github.com/davyxu/cellmesh_demo/util/discovery"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const timeout = time.Minute

// service is a running login service, in a cluster of one agent and one game that
// exist on paper.
type service struct {
	t           *testing.T
	addr        string
	reg         discovery.Registry
	agent, game discovery.Lease
	log         logBuffer
}

func launch(t *testing.T, args ...string) *service { return launchAs(t, New, args...) }

// launchAs launches a service that is made otherwise than by New.
func launchAs(t *testing.T, newService func(*flag.FlagSet) basefx.Service, args ...string) *service {
	memory := discovery.NewMemory()
	l := &service{t: t, reg: memory.Open()}
	t.Cleanup(func() { l.reg.Close() })
	register := func(name string, meta map[string]string) discovery.Lease {
		lease, err := l.reg.Register(t.Context(), discovery.Service{Name: name, Group: "dev", State: discovery.Ready, Meta: meta})
		if err != nil {
			t.Fatal(err)
		}
		return lease
	}
	l.agent = register("agent", map[string]string{discovery.MetaWAN: "127.0.0.1:8001"})
	l.game = register("game", nil)
	ctx, stop := context.WithCancel(context.Background())
	ready, done := make(chan struct{}), make(chan struct{})
	var err error
	go func() {
		defer close(done)
		reg := memory.Open()
		defer reg.Close()
		err = basefx.Run(ctx, "login", newService, basefx.Options{
			Args:   append([]string{"-flagfile=", "-httpaddr=", "-loglevel=debug", "-platforms=demo", "-database=sqlite:" + filepath.Join(t.TempDir(), "x.db")}, args...),
			Stdout: &l.log, Stderr: &l.log, Registry: reg,
			Ready: func(a *basefx.App) { l.addr = a.Self().Meta[discovery.MetaWAN]; close(ready) },
		})
	}()
	t.Cleanup(func() {
		stop()
		<-done
		if err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("log:\n%s", l.log.String())
		}
	})
	select {
	case <-ready:
	case <-done:
		t.Fatal(err)
	}
	return l
}

// dial connects as a plain TCP client.
func (l *service) dial() net.Conn {
	l.t.Helper()
	conn, err := net.Dial("tcp", l.addr)
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(timeout))
	return conn
}

// packet is a TCP packet of the client protocol.
func packet(t *testing.T, m pb.Message) []byte {
	t.Helper()
	body, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	b := binary.LittleEndian.AppendUint16(nil, uint16(2+len(body)))
	b = binary.LittleEndian.AppendUint16(b, m.MsgID())
	return append(b, body...)
}

// ask sends a request and reads the answer, behind which the connection must
// end.
func (l *service) ask(request []byte) *pb.LoginACK {
	l.t.Helper()
	return l.askOn(l.dial(), request)
}

func (l *service) askOn(conn net.Conn, request []byte) *pb.LoginACK {
	l.t.Helper()
	if _, err := conn.Write(request); err != nil {
		l.t.Fatal(err)
	}
	b, err := io.ReadAll(conn)
	if err != nil {
		l.t.Fatal(err)
	}
	if len(b) < 4 || int(binary.LittleEndian.Uint16(b)) != len(b)-2 {
		l.t.Fatalf("answered % x", b)
	}
	return l.parse(b[2:])
}

func (l *service) parse(frame []byte) *pb.LoginACK {
	l.t.Helper()
	if id := binary.LittleEndian.Uint16(frame); id != 46204 {
		l.t.Fatalf("message ID %d is not LoginACK", id)
	}
	var ack pb.LoginACK
	if err := proto.Unmarshal(frame[2:], &ack); err != nil {
		l.t.Fatal(err)
	}
	return &ack
}

// granted checks a grant as agent and game will.
func (l *service) granted(ack *pb.LoginACK, uid string) {
	l.t.Helper()
	if ack.Result != pb.ResultCode_NoError || ack.Server.GetIp() != "127.0.0.1" || ack.Server.GetPort() != 8001 || ack.GameSvcId != "game#0@dev" {
		l.t.Errorf("answered %v", ack)
	}
	grant, err := loginapi.NewVerifier(l.reg).Verify(context.Background(), ack.GameToken, "game#0@dev")
	if err != nil || grant.UID != uid {
		l.t.Errorf("the token grants %+v, %v", grant, err)
	}
}

// golden is LoginREQ version "1.0" platform "demo" uid "1234", as clients of
// 2019 send it.
var golden = "130095490a03312e30120464656d6f1a0431323334"

func goldenBytes(t *testing.T) []byte {
	b, err := hex.DecodeString(golden)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// An old client logs in, over TCP, in one piece or byte by byte, and over
// WebSocket.
func TestGolden(t *testing.T) {
	l := launch(t)
	l.granted(l.ask(goldenBytes(t)), "1234")

	conn := l.dial()
	for _, b := range goldenBytes(t) {
		if _, err := conn.Write([]byte{b}); err != nil {
			t.Fatal(err)
		}
	}
	b, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	l.granted(l.parse(b[2:]), "1234")

	ws, resp, err := websocket.DefaultDialer.Dial("ws://"+l.addr+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer ws.Close()
	resp.Body.Close()
	if err := ws.WriteMessage(websocket.BinaryMessage, goldenBytes(t)[2:]); err != nil {
		t.Fatal(err)
	}
	kind, frame, err := ws.ReadMessage()
	if err != nil || kind != websocket.BinaryMessage {
		t.Fatalf("kind %d, %v", kind, err)
	}
	l.granted(l.parse(frame), "1234")
	if _, _, err := ws.ReadMessage(); !websocket.IsCloseError(err, websocket.CloseNormalClosure, websocket.CloseGoingAway) {
		t.Errorf("afterwards: %v", err)
	}
}

// Every refusal has its code and a reason, and the log tells who and why.
func TestRefusals(t *testing.T) {
	l := launch(t)
	req := func(platform, uid string) []byte {
		return packet(t, &pb.LoginREQ{Version: "1.0", Platform: platform, Uid: uid, Credential: "pa55word"})
	}
	refused := func(request []byte, code pb.ResultCode, words string) {
		t.Helper()
		ack := l.ask(request)
		if ack.Result != code || !strings.Contains(ack.Reason, words) || ack.GameToken != "" || ack.Server != nil {
			t.Errorf("answered %v, want %v because %q", ack, code, words)
		}
	}
	refused(req("steam", "alice"), pb.ResultCode_PlatformUnknown, `platform "steam" is not switched on here`)
	refused(req("", "alice"), pb.ResultCode_PlatformUnknown, "")
	refused(req(strings.Repeat("x", 10_000), "alice"), pb.ResultCode_PlatformUnknown, "")
	refused(req("demo", ""), pb.ResultCode_CredentialInvalid, "1 to 128 bytes")
	refused(req("demo", strings.Repeat("x", 129)), pb.ResultCode_CredentialInvalid, "1 to 128 bytes")
	l.granted(l.ask(req("demo", strings.Repeat("x", 128))), strings.Repeat("x", 128))

	update := func(lease discovery.Lease, change func(*discovery.Service)) {
		t.Helper()
		if err := lease.Update(t.Context(), change); err != nil {
			t.Fatal(err)
		}
	}
	update(l.agent, func(s *discovery.Service) { s.Meta[discovery.MetaWAN] = "nowhere" })
	refused(req("demo", "alice"), pb.ResultCode_AgentAddressError, `agent#0@dev announces the address "nowhere"`)
	update(l.agent, func(s *discovery.Service) { delete(s.Meta, discovery.MetaWAN) })
	refused(req("demo", "alice"), pb.ResultCode_AgentNotFound, "no agent is up")
	update(l.agent, func(s *discovery.Service) { s.Meta[discovery.MetaWAN] = "127.0.0.1:8001" })
	update(l.game, func(s *discovery.Service) { s.State = discovery.Draining })
	refused(req("demo", "alice"), pb.ResultCode_GameNotFound, "no game is up")
	update(l.game, func(s *discovery.Service) { s.State = discovery.Ready })
	l.granted(l.ask(req("demo", "alice")), "alice")

	text := l.log.String()
	for _, words := range []string{`"steam\"`, "result=PlatformUnknown", "uid=alice", "result=AgentAddressError", "result=GameNotFound"} {
		if !strings.Contains(text, words) && !strings.Contains(text, strings.ReplaceAll(words, `\"`, `"`)) {
			t.Errorf("the log does not say %s", words)
		}
	}
	if strings.Contains(text, "pa55word") {
		t.Error("the log has a credential in it")
	}
	for line := range strings.Lines(text) {
		if len(line) > 1000 {
			t.Errorf("a line of %d bytes in the log", len(line))
		}
	}
}

// What is no login request ends the connection without an answer, and the next
// client does not notice.
func TestGarbage(t *testing.T) {
	l := launch(t)
	for name, b := range map[string][]byte{
		"another message":           packet(t, &pb.ChatREQ{Content: "hello"}),
		"a body that is no message": {4, 0, 0x95, 0x49, 0xff, 0xff},
		"a size below 2":            {1, 0, 0x95, 0x49},
		"a request too large":       packet(t, &pb.LoginREQ{Platform: strings.Repeat("x", maxRequest)}),
		"HTTP":                      []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
		"TLS":                       {0x16, 3, 1, 0, 5, 1, 0, 0, 1, 0},
	} {
		conn := l.dial()
		if _, err := conn.Write(b); err != nil {
			t.Fatal(err)
		}
		got, _ := io.ReadAll(conn) // a reset will do, too
		if name != "HTTP" && len(got) != 0 {
			t.Errorf("%s was answered with % x", name, got)
		}
	}
	l.granted(l.ask(goldenBytes(t)), "1234")
	l.granted(l.ask(append(goldenBytes(t), goldenBytes(t)...)), "1234") // one answer a connection
}

// A connection whose request does not come, or not to its end, is closed.
func TestIdle(t *testing.T) {
	l := launch(t, "-logintimeout=100ms")
	for _, b := range [][]byte{nil, goldenBytes(t)[:10]} {
		conn := l.dial()
		if _, err := conn.Write(b); err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(conn); len(got) != 0 || err != nil && strings.Contains(err.Error(), "timeout") {
			t.Errorf("read % x, %v", got, err)
		}
	}
}

func TestFlags(t *testing.T) {
	for _, arg := range []string{"-tokenlife=1h", "-tokenlife=0", "-logintimeout=0s", "-tlscert=x", "-platforms=", "-platforms=steam",
		"-platforms=demo,oidc", "-addrrate=-1", "-accountrate=-1", "-registerrate=-1", "-maxchecks=0", "-checktimeout=0s", "-prefer=eu",
		"-keyrotate=1s", "-database=oracle:x"} {
		err := basefx.Run(t.Context(), "login", func(fs *flag.FlagSet) basefx.Service { return New(fs) }, basefx.Options{
			Args: []string{"-flagfile=", "-httpaddr=", "-platforms=demo", "-database=sqlite:" + filepath.Join(t.TempDir(), "x.db"), arg}, Stdout: io.Discard, Stderr: io.Discard, Registry: discovery.NewMemory().Open(),
		})
		name, _, _ := strings.Cut(strings.Replace(arg, "platforms=demo,", "", 1), "=")
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", arg, err)
		}
	}
}

// eventually polls until ok says so.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(timeout); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", timeout, what)
		}
	}
}

type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
