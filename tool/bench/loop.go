package main

import (
	"bufio"
	"encoding/binary"
	"io"
	"net"
	"sync"

	"github.com/davyxu/cellmesh_demo/proto/pb"
)

// serveLoop is what case broadcast is compared with: a server that takes any
// token, and writes every line of chat it is sent to all its clients, one after
// the other, with nothing around it. It serves until l is closed.
func serveLoop(l net.Listener) error {
	var all looped
	for {
		conn, err := l.Accept()
		if err != nil {
			return err
		}
		go all.serve(conn)
	}
}

// looped are the clients that loop writes to.
type looped struct {
	mu      sync.Mutex
	clients []net.Conn
}

func (all *looped) serve(conn net.Conn) {
	defer conn.Close()
	in := bufio.NewReader(conn)
	var packet []byte
	for {
		var size [2]byte
		if _, err := io.ReadFull(in, size[:]); err != nil {
			return
		}
		packet = append(packet[:0], size[:]...)
		packet = append(packet, make([]byte, binary.LittleEndian.Uint16(size[:]))...)
		if _, err := io.ReadFull(in, packet[2:]); err != nil || len(packet) < 4 {
			return
		}
		switch binary.LittleEndian.Uint16(packet[2:]) {
		case pb.VerifyREQID:
			var ack [4]byte
			ack[0] = 2
			binary.LittleEndian.PutUint16(ack[2:], pb.VerifyACKID)
			all.mu.Lock() // who knows that it is in hears every line from then on
			_, err := conn.Write(ack[:])
			all.clients = append(all.clients, conn)
			all.mu.Unlock()
			if err != nil {
				return
			}
		case pb.ChatREQID:
			binary.LittleEndian.PutUint16(packet[2:], pb.ChatACKID)
			all.write(packet)
		}
	}
}

// write is the loop.
func (all *looped) write(packet []byte) {
	all.mu.Lock()
	defer all.mu.Unlock()
	for _, c := range all.clients {
		c.Write(packet) // one that has left notices by itself
	}
}
