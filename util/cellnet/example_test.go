package cellnet_test

import (
	"context"
	"fmt"
	"net"

	"github.com/davyxu/cellmesh_demo/util/cellnet"
)

// greeter answers every message with a greeting, under the next message ID.
type greeter struct{ s *cellnet.Session }

func (g *greeter) Frame(b []byte) error {
	// The bytes are good until Frame returns; Append copies them.
	_, err := g.s.AppendMessage(cellnet.MessageID(b)+1, fmt.Appendf(nil, "hello, %s", cellnet.Body(b)))
	return err
}

func (g *greeter) Batch()       { g.s.Flush() } // one write for all the answers
func (g *greeter) Closed(error) {}

// printer prints what it is handed, and closes when that is enough.
type printer struct {
	s    *cellnet.Session
	left int
}

func (p *printer) Frame(b []byte) error {
	fmt.Printf("message %d: %s\n", cellnet.MessageID(b), cellnet.Body(b))
	if p.left--; p.left == 0 {
		p.s.Close(nil)
	}
	return nil
}

func (p *printer) Batch()              {}
func (p *printer) Closed(reason error) { fmt.Println("closed:", cellnet.ReasonLabel(reason)) }

// An acceptor takes TCP and WebSocket clients on one port.
func ExampleAcceptor() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	acceptor := &cellnet.Acceptor{
		WebSocket: true,
		MaxConns:  1000,
		Open:      func(s *cellnet.Session) (cellnet.Handler, error) { return &greeter{s}, nil },
	}
	done := make(chan error)
	go func() { done <- acceptor.Serve(ctx, l) }()

	for _, scheme := range []string{"tcp", "ws"} {
		s, err := cellnet.Dial(ctx, scheme+"://"+l.Addr().String(), nil)
		if err != nil {
			fmt.Println(err)
			return
		}
		s.SendMessage(1, []byte(scheme))
		s.Run(ctx, &printer{s, 1})
	}

	stop()
	fmt.Println("served:", <-done)
	// Output:
	// message 2: hello, tcp
	// closed: closed
	// message 2: hello, ws
	// closed: closed
	// served: <nil>
}

// A pipe is a connection in memory, with all that a session does.
func ExamplePipe() {
	server, client := cellnet.Pipe(nil, nil)
	done := make(chan error)
	go func() { done <- server.Run(context.Background(), &greeter{server}) }()

	client.AppendMessage(1, []byte("one"))
	client.AppendMessage(3, []byte("two"))
	client.Flush() // both leave in one write
	client.Run(context.Background(), &printer{client, 2})
	fmt.Println("server saw:", <-done)
	// Output:
	// message 2: hello, one
	// message 4: hello, two
	// closed: closed
	// server saw: EOF
}
