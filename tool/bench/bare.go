package main

import (
	"bufio"
	"encoding/binary"
	"io"
	"net"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/svc/login/loginapi"
)

// serveBare is what case login is compared with: a server that accepts, reads
// one LoginREQ, signs one token of Ed25519, answers and closes, with nothing
// around it. It serves until l is closed.
func serveBare(l net.Listener) error {
	signer, err := loginapi.NewSigner()
	if err != nil {
		return err
	}
	for {
		conn, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer conn.Close()
			answerBare(conn, signer)
		}()
	}
}

// answerBare answers one client; one that makes no sense hears nothing.
func answerBare(conn net.Conn, signer *loginapi.Signer) {
	in := bufio.NewReaderSize(conn, 512)
	var head [4]byte // size and message ID
	if _, err := io.ReadFull(in, head[:]); err != nil {
		return
	}
	size := binary.LittleEndian.Uint16(head[:])
	if size < 2 {
		return
	}
	body := make([]byte, size-2)
	if _, err := io.ReadFull(in, body); err != nil {
		return
	}
	var req pb.LoginREQ
	if err := proto.Unmarshal(body, &req); err != nil {
		return
	}
	now := time.Now()
	token, err := signer.Sign(loginapi.Grant{UID: req.Uid, Epoch: uint64(now.UnixMicro()), GameID: "game#0@dev", Expires: now.Add(time.Minute)}, now)
	if err != nil {
		return
	}
	answer, err := proto.MarshalOptions{}.MarshalAppend(head[:], &pb.LoginACK{
		Server: &pb.LoginACK_Server{Ip: "127.0.0.1", Port: 1}, GameToken: token, GameSvcId: "game#0@dev",
	})
	if err != nil {
		return
	}
	binary.LittleEndian.PutUint16(answer, uint16(len(answer)-2))
	binary.LittleEndian.PutUint16(answer[2:], pb.LoginACKID)
	if _, err := conn.Write(answer); err != nil {
		return
	}
}
