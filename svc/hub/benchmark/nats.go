package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
)

// measureNATS is one run of nats-server.
func measureNATS(ctx context.Context, o options, n int) (perSecond float64, err error) {
	p, addr, err := start(after("Listening for client connections on "), o.nats, "-a", "127.0.0.1", "-p", "-1")
	if err != nil {
		return 0, err
	}
	defer p.kill()
	got := make([]counter, n)
	var readers sync.WaitGroup
	defer readers.Wait()
	for i := range got {
		conn, err := dialNATS(addr, "SUB "+subject+" 1\r\n")
		if err != nil {
			return 0, err
		}
		defer conn.Close()
		readers.Go(func() { countNATS(conn, &got[i]) })
	}
	conn, err := dialNATS(addr, "")
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	readers.Go(func() { _, _ = io.Copy(io.Discard, conn) }) // it has nothing to say; ends with conn
	body, err := message(o).AppendTo(nil)
	if err != nil {
		return 0, err
	}
	// All of a look's messages in one write: no publisher could do with less.
	line := fmt.Appendf(nil, "PUB %s %d\r\n%s\r\n", subject, len(body), body)
	all := bytes.Repeat(line, between)
	left := 0
	return drive(ctx, o, got, func() error {
		if left > 0 {
			left--
			return nil
		}
		left = between - 1
		_, err := conn.Write(all)
		return err
	})
}

// dialNATS connects, says a line, and waits until the server has done it.
func dialNATS(addr, line string) (net.Conn, error) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	r := bufio.NewReader(conn)
	if _, err = r.ReadString('\n'); err == nil { // INFO
		_, err = io.WriteString(conn, `CONNECT {"verbose":false,"pedantic":false,"lang":"go","version":"1","protocol":1}`+"\r\n"+line+"PING\r\n")
	}
	if err == nil {
		var pong string
		if pong, err = r.ReadString('\n'); err == nil && (pong != "PONG\r\n" || r.Buffered() > 0) {
			err = fmt.Errorf("nats-server says %q", pong)
		}
	}
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}

// countNATS finds the messages in what conn brings, until it ends.
func countNATS(conn net.Conn, got *counter) {
	buf, have := make([]byte, 64<<10), 0
	for {
		n, err := conn.Read(buf[have:])
		if err != nil {
			return
		}
		have += n
		found, used := cutNATS(buf[:have])
		have = copy(buf, buf[used:have])
		got.n.Add(found)
	}
}

// maxNATS is the largest message that nats-server passes on, with its defaults.
const maxNATS = 1 << 20

// cutNATS counts the whole messages at the beginning of b, and their bytes. Lines
// that are none, such as PING, are passed over: with its defaults nats-server asks
// after two minutes.
func cutNATS(b []byte) (messages int64, used int) {
	for {
		end := bytes.IndexByte(b[used:], '\n')
		if end < 0 {
			return messages, used
		}
		line := b[used : used+end]
		used += end + 1
		if len(line) < 4 || line[0] != 'M' {
			continue
		}
		size := 0
		for _, c := range line[bytes.LastIndexByte(line, ' ')+1:] {
			if c < '0' || c > '9' {
				break
			}
			size = min(10*size+int(c-'0'), maxNATS)
		}
		if used+size+2 > len(b) {
			return messages, used - end - 1
		}
		used += size + 2
		messages++
	}
}
