package console

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	"github.com/davyxu/cellmesh_demo/basefx"
	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/tool/cluster"
	"github.com/davyxu/cellmesh_demo/util/cellnet"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// terminal is a running client program.
type terminal struct {
	t           *testing.T
	keys        *io.PipeWriter
	out, errors safe
	done        chan error
}

type safe struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (s *safe) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.Write(p)
}

func (s *safe) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.String()
}

// run starts the client program.
func run(t *testing.T, flags ...string) *terminal {
	t.Helper()
	return runPatient(t, lastReplies, flags...)
}

// runPatient is run of a client that waits so long for the last replies.
func runPatient(t *testing.T, patience time.Duration, flags ...string) *terminal {
	t.Helper()
	in, keys := io.Pipe()
	term := &terminal{t: t, keys: keys, done: make(chan error, 1)}
	ctx, cancel := context.WithCancel(context.Background())
	make := func(fs *flag.FlagSet) basefx.Service {
		c := New(fs).(*Console)
		c.patience = patience
		return c
	}
	go func() {
		term.done <- basefx.Run(ctx, "client", make, basefx.Options{
			Args: append([]string{"-flagfile=", "-uid=alice", "-wait=20s"}, flags...), Standalone: true,
			Stdin: in, Stdout: &term.out, Stderr: &term.errors,
		})
	}()
	t.Cleanup(func() {
		cancel()
		keys.Close()
		term.wait()
	})
	return term
}

func (term *terminal) typ(lines string) {
	term.t.Helper()
	if _, err := io.WriteString(term.keys, lines); err != nil {
		term.t.Fatal(err)
	}
}

// wait waits for the end of the program.
func (term *terminal) wait() error {
	term.t.Helper()
	select {
	case err := <-term.done:
		term.done <- err
		return err
	case <-time.After(20 * time.Second):
		term.t.Fatalf("the client does not end; it said %q and %q", &term.out, &term.errors)
	}
	panic("unreachable")
}

// end is the error that the program ended with, as Main prints it.
func (term *terminal) end() string {
	term.t.Helper()
	if err := term.wait(); err != nil {
		return err.Error()
	}
	return ""
}

func (term *terminal) shows(what string) {
	term.t.Helper()
	cluster.Eventually(term.t, fmt.Sprintf("the client shows %q", what), func() bool { return strings.Contains(term.out.String(), what) })
}

// matches waits until what the client shows matches, and returns how.
func (term *terminal) matches(pattern string) (found []string) {
	term.t.Helper()
	is := regexp.MustCompile(pattern)
	cluster.Eventually(term.t, fmt.Sprintf("the client shows %q", pattern), func() bool {
		found = is.FindStringSubmatch(term.out.String())
		return found != nil
	})
	return found
}

func (term *terminal) says(what string) {
	term.t.Helper()
	cluster.Eventually(term.t, fmt.Sprintf("the client says %q", what), func() bool { return strings.Contains(term.errors.String(), what) })
}

// A person, or a script in a pipe, over a real cluster: lines come back, the end
// of input waits for the last of them, commands do what they say.
func TestChat(t *testing.T) {
	c, game := cluster.StartWithGame(t)
	login := "-login=" + c.Addr("login#0@dev")
	for _, commType := range []string{"tcp", "ws"} {
		t.Run(commType, func(t *testing.T) {
			pipe := run(t, login, "-commtype="+commType)
			pipe.typ("hello\n\n  \nhello\nworld") // no newline at the end
			pipe.keys.Close()
			if end := pipe.end(); end != "" {
				t.Errorf("ended with %q", end)
			}
			if got := pipe.out.String(); got != "hello\nhello\nworld\n" {
				t.Errorf("printed %q", got)
			}
			if got := pipe.errors.String(); got != "" {
				t.Errorf("said %q", got)
			}
		})
	}
	t.Run("two people", func(t *testing.T) {
		alice, bob := run(t, login, "-uid=alice"), run(t, login, "-uid=bob", "-commtype=ws")
		bob.typ("I am in\n")
		bob.shows("I am in\n")
		alice.typ("hello bob\r\n")
		bob.shows("hello bob\n")
		alice.typ("/nonsense x\n/help\n")
		alice.says("there is no command /nonsense; /help lists them")
		alice.says("/quit               leave, as at the end of input")
		alice.typ(strings.Repeat("x", 5000) + "\n")
		alice.says("not taken: its body is larger than its rule's max_size (SayREQ, MessageTooLarge)")
		alice.typ(strings.Repeat("y", 70_000) + "\n" + "\xff\n")
		alice.says("not sent: cellnet: frame too large")
		alice.says("not sent: encode SayREQ")
		alice.typ("goodbye\n/quit\n")
		if end := alice.end(); end != "" {
			t.Errorf("ended with %q", end)
		}
		if got := alice.out.String(); !strings.HasSuffix(got, "goodbye\n") || strings.Contains(got, "x") {
			t.Errorf("printed %q", got)
		}
	})
	t.Run("growing", func(t *testing.T) {
		c.Set("config/game/growth", `{"start":100,"prices":[60,120],"income":[3600,3600,3600]}`)
		cluster.Eventually(t, "the game has the prices", func() bool { return strings.Contains(game.Log(), "config changed") })
		p := run(t, login, "-uid=carol")
		p.typ("/me\n/upgrade\n/upgrade\n/name Carol the 1st\n/name\n/me\n")
		p.matches(`^carol: level 1, 100 gold, \d+ to claim; the next level costs 60\nlevel 2 for 60 gold, you have 40\nyou are called Carol the 1st\nCarol the 1st: level 2, `) // a gold a second
		p.says("needs 120 gold, you have 40")
		p.says("a name is not empty, and neither begins nor ends with a space")
		cluster.Eventually(t, "something is earned", func() bool {
			p.typ("/claim\n")
			time.Sleep(20 * time.Millisecond) // a person types no faster
			return strings.Contains(p.out.String(), "claimed ")
		})
		gold := p.matches(`\nclaimed (\d+) gold, you have (\d+)\n`)
		if claimed, err := strconv.Atoi(gold[1]); err != nil || gold[2] != strconv.Itoa(40+claimed) {
			t.Errorf("claimed %s, has %s", gold[1], gold[2])
		}
		p.typ("/quit\n")
		if end := p.end(); end != "" {
			t.Errorf("ended with %q", end)
		}
	})
	t.Run("refused", func(t *testing.T) {
		nobody := run(t, login, "-uid=")
		if end := nobody.end(); !strings.Contains(end, "login refused: ") || !strings.Contains(end, "CredentialInvalid") {
			t.Errorf("ended with %q", end)
		}
		if out := nobody.out.String() + nobody.errors.String(); out != "" {
			t.Errorf("said %q beside the error", out)
		}
	})
}

// server is login and agent in one, and does what the test wants.
type server struct {
	addr string

	mu     sync.Mutex
	logins int
	refuse int // so many logins
	verify pb.ResultCode
	absent int                          // so many times no game is there to verify
	chat   func(*cellnet.Session) error // instead of answering
}

func serve(t *testing.T, s *server) *server {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.addr = l.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		a := cellnet.Acceptor{Open: func(session *cellnet.Session) (cellnet.Handler, error) { return &visit{s, session}, nil }}
		a.Serve(ctx, l)
	}()
	t.Cleanup(func() { cancel(); <-done })
	return s
}

type visit struct {
	*server
	session *cellnet.Session
}

func (v *visit) Frame(b []byte) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	var reply pb.Message
	switch cellnet.MessageID(b) {
	case pb.LoginREQID:
		host, port, _ := net.SplitHostPort(v.addr)
		var n int32
		fmt.Sscan(port, &n)
		ack := &pb.LoginACK{Server: &pb.LoginACK_Server{Ip: host, Port: n}}
		if v.logins++; v.logins <= v.refuse {
			ack = &pb.LoginACK{Result: pb.ResultCode_GameNotFound, Reason: "no game is up"}
		}
		reply = ack
	case pb.VerifyREQID:
		reply = &pb.VerifyACK{Result: v.verify}
		if v.absent--; v.absent >= 0 {
			reply = &pb.RejectACK{MsgId: uint32(pb.VerifyREQID), Code: pb.ResultCode_ServiceUnavailable, Reason: "no game is there"}
		}
	default:
		return v.chat(v.session)
	}
	body, err := proto.Marshal(reply)
	if err != nil {
		return err
	}
	return v.session.SendMessage(reply.MsgID(), body)
}

func (v *visit) Batch()       {}
func (v *visit) Closed(error) {}

// What ends a connection is told in one line, and is an error.
func TestLostConnection(t *testing.T) {
	for want, test := range map[string]struct {
		chat     func(*cellnet.Session) error
		patience time.Duration
	}{
		"connection lost: the server closed the connection": {func(*cellnet.Session) error { return errors.New("no") }, lastReplies},
		"the server ended the connection: enough (Kicked)": {func(s *cellnet.Session) error {
			body, err := proto.Marshal(&pb.RejectACK{Code: pb.ResultCode_Kicked, Reason: "enough"})
			if err == nil {
				err = s.SendMessage(pb.RejectACKID, body)
			}
			s.Close(nil)
			return err
		}, lastReplies},
		"1 of the lines sent was not answered within 300ms": {func(*cellnet.Session) error { return nil }, 300 * time.Millisecond},
	} {
		s := serve(t, &server{chat: test.chat})
		term := runPatient(t, test.patience, "-login="+s.addr)
		term.typ("hello\n")
		term.keys.Close()
		if end := term.end(); end != want {
			t.Errorf("ended with %q, want %q", end, want)
		}
		if got := term.errors.String(); got != "" {
			t.Errorf("said %q beside the error", got)
		}
	}
}

// The connection is lost while nothing is typed: the client ends at once.
func TestLostWhileWaitingForInput(t *testing.T) {
	hit := make(chan *cellnet.Session, 1)
	s := serve(t, &server{chat: func(s *cellnet.Session) error { hit <- s; return nil }})
	term := run(t, "-login="+s.addr)
	term.typ("hello\n")
	(<-hit).Close(nil)
	if end := term.end(); end != "connection lost: the server closed the connection" {
		t.Errorf("ended with %q", end)
	}
}

// Servers that are not up yet are waited for; the person is told once for what.
func TestWaiting(t *testing.T) {
	s := serve(t, &server{refuse: 3, absent: 2, chat: func(*cellnet.Session) error { return nil }})
	term := run(t, "-login="+s.addr)
	term.keys.Close()
	if end := term.end(); end != "" {
		t.Errorf("ended with %q", end)
	}
	if got, want := term.errors.String(), "waiting: login refused: no game is up (GameNotFound)\nwaiting: verify refused: no game is there (ServiceUnavailable)\n"; got != want {
		t.Errorf("said %q, want %q", got, want)
	}
}

// Waiting ends, with the reason.
func TestWaitingEnds(t *testing.T) {
	s := serve(t, &server{refuse: 1 << 30})
	refused, nobody, away := run(t, "-login="+s.addr, "-wait=2s"), run(t, "-login=127.0.0.1:1", "-wait=2s"), run(t, "-sdaddr=127.0.0.1:1", "-wait=100ms")
	if end, want := refused.end(), "gave up after 2s: login refused: no game is up (GameNotFound)"; end != want {
		t.Errorf("ended with %q, want %q", end, want)
	}
	if end := nobody.end(); !strings.HasPrefix(end, "gave up after 2s: login: ") || !strings.Contains(end, "refused") {
		t.Errorf("ended with %q", end)
	}
	if end, want := away.end(), "gave up after 100ms: no memsd at 127.0.0.1:1 (start it, or give -login=host:port)"; end != want {
		t.Errorf("ended with %q, want %q", end, want)
	}
}

// Who is at -sdaddr and hangs up may be a memsd with TLS: the person is told what
// it takes.
func TestMemsdWantsTLS(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var hangsUp sync.WaitGroup
	hangsUp.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			conn.Close()
		}
	})
	t.Cleanup(func() { l.Close(); hangsUp.Wait() })
	term := run(t, "-sdaddr="+l.Addr().String(), "-wait=2s")
	if end := term.end(); !strings.Contains(end, "does it want TLS (then start this process with -sdca)") {
		t.Errorf("ended with %q", end)
	}
}

// What waiting does not mend ends at once.
func TestNoUseToWait(t *testing.T) {
	s := serve(t, &server{verify: pb.ResultCode_TokenExpired})
	for want, flag := range map[string]string{
		"verify refused: TokenExpired":                "-login=" + s.addr,
		"-commtype=udp is not tcp or ws":              "-commtype=udp",
		"-login=localhost is not host:port":           "-login=localhost",
		`-names="perhaps" is not true, false or auto`: "-names=perhaps",
	} {
		if end := run(t, flag).end(); !strings.HasPrefix(end, want) {
			t.Errorf("%s: ended with %q, want %q", flag, end, want)
		}
	}
}

// A client that is stopped ends without an error, whatever it does.
func TestStopped(t *testing.T) {
	s := serve(t, &server{refuse: 1 << 30})
	in, keys := io.Pipe()
	defer keys.Close()
	ctx, cancel := context.WithCancel(context.Background())
	var says safe
	done := make(chan error)
	go func() {
		done <- basefx.Run(ctx, "client", New, basefx.Options{Args: []string{"-flagfile=", "-login=" + s.addr}, Standalone: true, Stdin: in, Stdout: &says, Stderr: &says})
	}()
	cluster.Eventually(t, "it waits", func() bool { return strings.Contains(says.String(), "waiting") })
	cancel()
	if err := <-done; err != nil {
		t.Errorf("ended with %v", err)
	}
}
