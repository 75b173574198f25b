package cellnet

import (
	"context"
	"crypto/tls"
	"net"
	"time"
)

// Framing is how frames are delimited on a byte stream.
type Framing uint8

const (
	// ClientFraming is a u16 LE size of the rest, then a message ID (u16 LE)
	// and a body; or one WebSocket binary message of ID and body. A frame is
	// 2 to 65535 bytes.
	ClientFraming Framing = iota
	// LinkFraming is a u32 LE size of the rest, then opaque bytes, maybe none.
	LinkFraming
)

// maxClientFrame is what a u16 can say.
const maxClientFrame = 1<<16 - 1

// Config says how sessions behave. Many sessions share one; it must not be
// changed once one of them exists. The zero Config is ready for clients.
type Config struct {
	Framing Framing

	// MaxFrame is the largest inbound frame in bytes, without its prefix.
	// 0 means 65535 for clients (which is also the most), 8 MiB for links.
	// On links it bounds outbound frames too: both ends are expected to agree.
	MaxFrame int

	// MaxPending is how many bytes may wait to be written.
	// 0 means 1 MiB for clients, 64 MiB for links.
	MaxPending int

	// Refuse says what a full session does. False: it is cut with
	// ErrSlowConsumer. True: Append returns ErrFull and the session lives.
	Refuse bool

	// Gather, if it says so at the moment, makes Flush yield once to other ready
	// goroutines before it writes, so that their frames leave in the same write.
	// Good for links while many goroutines append to them, pointless for
	// clients. nil is never.
	Gather func() bool

	// Attend is how many sessions at a time may wait for their next bytes in a
	// thread of their own, for 2 ms at most, after frames have come one by one:
	// peers that say the next thing when they have heard the answer are answered
	// sooner. Each takes one of GOMAXPROCS meanwhile; leave some for the rest. 0 is
	// none. TLS connections never do.
	Attend    int
	attending int32         // sessions that do; atomic
	attendFor time.Duration // of tests; 0 means the usual

	// WriteTimeout closes a session whose blocked write makes no progress for
	// so long, with ErrWriteTimeout. 0 means 10 s.
	WriteTimeout time.Duration

	// Linger is how long Close waits for pending bytes to be written and for
	// the peer to close its end. 0 means 2 s.
	Linger time.Duration

	// Brief makes Close end a connection, unless it is a WebSocket, as soon as
	// all is written, and not wait for the peer to close its end. It saves much
	// of what a short connection costs, and is for peers that say nothing more:
	// what they send nevertheless may cost them our last words.
	Brief bool

	// Counters is added to by all sessions of the Config; nil counts nothing.
	Counters *Counters

	// TLS is what Dial uses for tls:// and wss://; nil means the defaults.
	TLS *tls.Config

	// DialContext is what Dial connects with; nil means a plain net.Dialer.
	DialContext func(ctx context.Context, network, addr string) (net.Conn, error)
}

func (c *Config) maxFrame() int {
	switch {
	case c.Framing == ClientFraming && (c.MaxFrame <= 0 || c.MaxFrame > maxClientFrame):
		return maxClientFrame
	case c.MaxFrame <= 0:
		return 8 << 20
	}
	return c.MaxFrame
}

// maxOut is the largest frame Append takes.
func (c *Config) maxOut() int {
	if c.Framing == ClientFraming {
		return maxClientFrame
	}
	return c.maxFrame()
}

func (c *Config) maxPending() int {
	switch {
	case c.MaxPending > 0:
		return c.MaxPending
	case c.Framing == ClientFraming:
		return 1 << 20
	}
	return 64 << 20
}

func (c *Config) writeTimeout() time.Duration {
	if c.WriteTimeout > 0 {
		return c.WriteTimeout
	}
	return 10 * time.Second
}

func (c *Config) linger() time.Duration {
	if c.Linger > 0 {
		return c.Linger
	}
	return 2 * time.Second
}
