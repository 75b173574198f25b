// Package console is the client program: it finds login, gets in, sends the
// lines it reads and prints those that come. console.go is the program,
// enter.go how it gets in, secrets.go what it proves itself with, lines.go what
// a line means, requests.go what is asked and answered, chat.go how chat looks,
// player.go what the game answers.
package console

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/user"
	"strconv"
	"sync"
	"time"

	"golang.org/x/term"
	"golang.org/x/time/rate"
	"google.golang.org/protobuf/proto"

	"github.com/davyxu/cellmesh_demo/basefx"
	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/svc/client/clientapi"
)

// lastReplies is how long the client waits, after the last line it read, for
// its lines to come back.
const lastReplies = 10 * time.Second

// Console is the client program.
type Console struct {
	login    string
	commType string
	uid      string
	platform string
	version  string
	secret   string
	next     string // credential, for -change
	register bool
	change   bool
	tls      bool
	ca       string
	wait     time.Duration
	names    string        // whether lines to everybody are shown with who says them
	patience time.Duration // for last replies

	app  *basefx.App
	said map[string]bool // what the person was told while waiting; owned by run
	pace *rate.Limiter   // of lines said; owned by run
	show show
	seen seen
	mine map[uint64]bool // lines of ours that were taken and not heard yet; owned by the connection's goroutine

	mu        sync.Mutex
	receivers map[string]string // of private lines that were not answered, by request ID
	count     int               // requests that were not answered
	back      chan struct{}     // capacity 1: count became 0
}

// New makes the client and adds its flags.
func New(fs *flag.FlagSet) basefx.Service {
	c := &Console{patience: lastReplies, said: map[string]bool{}, pace: newPace(), receivers: map[string]string{}, mine: map[uint64]bool{}, back: make(chan struct{}, 1)}
	fs.StringVar(&c.login, "login", "", "address of login; empty finds it through memsd")
	fs.StringVar(&c.commType, "commtype", "tcp", "how to connect: tcp or ws (WebSocket)")
	fs.StringVar(&c.uid, "uid", defaultUID(), "who to be")
	fs.StringVar(&c.platform, "platform", "demo", "who vouches for the uid")
	fs.StringVar(&c.version, "version", "1.0", "client version to tell")
	fs.StringVar(&c.secret, "credential", "", "what the platform asks for: a password, an ID token; better by CELLMESH_CREDENTIAL, or typed when asked for")
	fs.BoolVar(&c.register, "register", false, "make the account -uid with this credential first (platform password)")
	fs.BoolVar(&c.change, "change", false, "change the credential to -newcredential first (platform password)")
	fs.StringVar(&c.next, "newcredential", "", "for -change; better by CELLMESH_NEWCREDENTIAL, or typed when asked for")
	fs.BoolVar(&c.tls, "tls", false, "use TLS, to login and agent")
	fs.StringVar(&c.ca, "ca", "", "file with the certificates (PEM) to trust with -tls, instead of the system's")
	fs.DurationVar(&c.wait, "wait", time.Minute, "how long to wait for servers that are not up yet")
	fs.StringVar(&c.names, "names", "auto", "show who says a line to everybody: true, false, or auto: on a terminal only")
	basefx.Default(fs, "loglevel", "error")
	basefx.Default(fs, "httpaddr", "")
	return c
}

func defaultUID() string {
	if u, err := user.Current(); err == nil && u.Username != "" {
		return u.Username
	}
	return "player"
}

// Start runs the client; it stops the process when it is done.
func (c *Console) Start(ctx context.Context, app *basefx.App) error {
	if c.commType != "tcp" && c.commType != "ws" { // here, for what fails later is tried again
		return fmt.Errorf("-commtype=%s is not tcp or ws", c.commType)
	}
	if _, _, err := net.SplitHostPort(c.login); c.login != "" && err != nil {
		return fmt.Errorf("-login=%s is not host:port: %w", c.login, err)
	}
	if c.register && c.change {
		return errors.New("-register and -change are one too many")
	}
	c.app = app
	if err := c.prepare(); err != nil {
		return err
	}
	app.Go("console", func(ctx context.Context) error {
		err := c.run(ctx)
		app.Stop(err)
		return nil
	})
	return nil
}

// prepare finds out how lines look: a person at a terminal sees more than a
// script in a pipe expects.
func (c *Console) prepare() (err error) {
	out, is := c.app.Stdout.(*os.File)
	terminal := is && term.IsTerminal(int(out.Fd()))
	c.show.colors = terminal && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	if c.show.names = terminal; c.names != "auto" {
		if c.show.names, err = strconv.ParseBool(c.names); err != nil {
			return fmt.Errorf("-names=%q is not true, false or auto", c.names)
		}
	}
	return nil
}

// run is the client from login to the last reply.
func (c *Console) run(ctx context.Context) error {
	if err := c.askSecrets(); err != nil {
		return err
	}
	conn, err := c.enter(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	done := make(chan struct{})
	defer close(done)
	lines := c.readLines(done)
	for {
		select {
		case line, more := <-lines:
			if !more {
				return c.awaitReplies(ctx, conn)
			}
			if c.handleLine(ctx, conn, line) {
				return c.awaitReplies(ctx, conn)
			}
		case <-conn.Done():
			return lost(conn)
		case <-ctx.Done():
			return nil
		}
	}
}

// readLines reads standard input until done. Its goroutine may be left behind
// when the process ends: a read cannot be called off.
func (c *Console) readLines(done <-chan struct{}) <-chan string {
	lines := make(chan string)
	go func() {
		defer close(lines)
		in := bufio.NewReader(c.app.Stdin)
		for {
			line, err := in.ReadString('\n')
			if line != "" {
				select {
				case lines <- line:
				case <-done:
					return
				}
			}
			if err != nil {
				return
			}
		}
	}()
	return lines
}

// lost tells why a connection has ended.
func lost(conn *clientapi.Conn) error {
	var told *endedByServer
	if errors.As(conn.Err(), &told) {
		return told
	}
	return fmt.Errorf("connection lost: %w", conn.Err())
}

// endedByServer is the server's last word.
type endedByServer struct {
	code   pb.ResultCode
	reason string
}

func (e *endedByServer) Error() string {
	return fmt.Sprintf("the server ended the connection: %s (%v)", e.reason, e.code)
}

// awaitReplies waits until everything is answered.
func (c *Console) awaitReplies(ctx context.Context, conn *clientapi.Conn) error {
	timeout := time.NewTimer(c.patience)
	defer timeout.Stop()
	for {
		c.mu.Lock()
		n := c.count
		c.mu.Unlock()
		if n == 0 {
			return nil
		}
		select {
		case <-c.back:
		case <-conn.Done():
			return lost(conn)
		case <-timeout.C:
			return fmt.Errorf("%d of the lines sent %s not answered within %v", n, plural(n, "was", "were"), c.patience)
		case <-ctx.Done():
			return nil
		}
	}
}

func plural(n int, one, more string) string {
	if n == 1 {
		return one
	}
	return more
}

// Message prints what the server sends.
func (c *Console) Message(id uint16, body []byte) error {
	switch id {
	case pb.ChatACKID:
		var m pb.ChatACK
		if err := proto.Unmarshal(body, &m); err != nil {
			return fmt.Errorf("decode ChatACK: %w", err)
		}
		c.print(clean(m.Content))
	case pb.LineACKID:
		return c.heard(body)
	case pb.RejectACKID:
		var m pb.RejectACK
		if err := proto.Unmarshal(body, &m); err != nil {
			return fmt.Errorf("decode RejectACK: %w", err)
		}
		return c.rejected(&m)
	default:
		if _, is := answers[id]; is {
			return c.answered(id, body)
		}
	}
	return nil // a newer server may say more than we understand
}

// rejected tells the person what the server did not take; about the connection
// as a whole it is the end.
func (c *Console) rejected(m *pb.RejectACK) error {
	if m.MsgId == 0 {
		return &endedByServer{m.Code, m.Reason}
	}
	c.say("not taken: %s (%s, %v)", clean(m.Reason), pb.MessageName(uint16(m.MsgId)), m.Code)
	if isRequest(uint16(m.MsgId)) {
		c.settle()
	}
	return nil
}

// Batch has nothing to do: lines are printed as they come.
func (c *Console) Batch() {}

func (c *Console) print(line string) { fmt.Fprintln(c.app.Stdout, line) }

// say tells the person something that is no chat, where it does not mix with
// the lines of a pipe.
func (c *Console) say(format string, args ...any) { fmt.Fprintf(c.app.Stderr, format+"\n", args...) }
