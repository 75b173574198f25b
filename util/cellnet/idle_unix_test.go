//go:build unix

package cellnet

import (
	"encoding/binary"
	"net"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"
)

// benchIdle measures what a session costs that has opened, exchanged a frame
// and waits: heap and stacks of this process, which has only the server's end.
func benchIdle(b *testing.B, request []byte) {
	const conns = 9_000
	var open sync.WaitGroup
	open.Add(conns)
	addr := serve(b, &Acceptor{
		WebSocket: true,
		Open:      func(s *Session) (Handler, error) { return &firstFrame{echo{s: s}, open.Done}, nil },
	})
	for b.Loop() {
		before := residentBytes()
		peers := rawPeers(b, addr, conns, request)
		open.Wait()
		time.Sleep((quietSweeps + 2) * sweepEvery)
		after := residentBytes()
		b.ReportMetric(float64(after-before)/conns, "B/conn")
		peers()
	}
}

type firstFrame struct {
	echo
	seen func()
}

func (f *firstFrame) Batch() {
	f.echo.Batch()
	if f.seen != nil {
		f.seen()
		f.seen = nil
	}
}

func residentBytes() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse + m.StackInuse + m.MSpanInuse + m.OtherSys + m.GCSys
}

func BenchmarkIdleTCP(b *testing.B) {
	benchIdle(b, binary.LittleEndian.AppendUint16([]byte{2, 0}, 16241))
}

// rawPeers connects n peers by bare system calls, so that they cost this
// process no memory, and sends request from each.
func rawPeers(b *testing.B, addr string, n int, request []byte) (closeAll func()) {
	host, port, _ := net.SplitHostPort(addr)
	p, _ := strconv.Atoi(port)
	to := &syscall.SockaddrInet4{Port: p, Addr: [4]byte(net.ParseIP(host).To4())}
	fds := make([]int, n)
	for i := range fds {
		fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
		if err == nil {
			err = syscall.Connect(fd, to)
		}
		if err == nil {
			_, err = syscall.Write(fd, request)
		}
		if err != nil {
			b.Fatal(err)
		}
		fds[i] = fd
	}
	return func() {
		for _, fd := range fds {
			syscall.Close(fd)
		}
	}
}

func BenchmarkIdleWebSocket(b *testing.B) {
	request := "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
	benchIdle(b, append([]byte(request), wsFrame(0x82, "\x71\x3f")...))
}
