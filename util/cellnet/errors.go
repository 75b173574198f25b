package cellnet

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
)

// Reasons a session ends for, and errors of its methods. Reasons may wrap
// these with detail; compare with errors.Is, or ask ReasonLabel.
var (
	// ErrClosed is returned by Append on a session that is closing, and is the
	// reason of Close(nil).
	ErrClosed = errors.New("cellnet: session closed")
	// ErrFull is returned by Append with Config.Refuse: the frame was not
	// taken because MaxPending bytes are waiting; try later or drop it.
	ErrFull = errors.New("cellnet: too many bytes pending")
	// ErrSlowConsumer is the reason of a session cut because its peer does not
	// read fast enough.
	ErrSlowConsumer = errors.New("cellnet: slow consumer: too many bytes pending")
	// ErrWriteTimeout is the reason of a session whose peer took nothing for
	// Config.WriteTimeout.
	ErrWriteTimeout = errors.New("cellnet: write made no progress in time")
	// ErrReadTimeout is the reason of a session that sent nothing before the
	// deadline of SetReadDeadline.
	ErrReadTimeout = errors.New("cellnet: nothing read before the deadline")
	// ErrIdle is the reason of a session that sent nothing for Acceptor.Idle.
	ErrIdle = errors.New("cellnet: idle for too long")
	// ErrBlocks is what Handler.Frame returns where it must not block
	// (Session.MayBlock) and would have to. It is no reason: the same frame is
	// handed over again, by a goroutine of the session's own, and those behind it
	// wait for that.
	ErrBlocks = errors.New("cellnet: the frame's handler must wait")
	// ErrSealed is returned by Append for a frame of a kind that Session.Seal has
	// ended.
	ErrSealed = errors.New("cellnet: no more frames of this kind")
	// ErrFrameTooLarge: a frame is larger than Config allows.
	ErrFrameTooLarge = errors.New("cellnet: frame too large")
	// ErrShortFrame: a client frame has no room for its message ID.
	ErrShortFrame = errors.New("cellnet: frame too short for a message ID")
	// ErrBadFrame: bytes that are not what the protocol (WebSocket) allows.
	ErrBadFrame = errors.New("cellnet: malformed frame")
	// ErrHandshake: the first bytes did not come in time, or were no valid
	// WebSocket upgrade.
	ErrHandshake = errors.New("cellnet: handshake failed")
	// ErrTLSRequired: a plain client on a port that wants TLS.
	ErrTLSRequired = errors.New("cellnet: this port wants TLS")
	// ErrTLSUnexpected: a TLS client on a plain port.
	ErrTLSUnexpected = errors.New("cellnet: this port does not speak TLS")
	// ErrTooManyConns: Acceptor.MaxConns reached.
	ErrTooManyConns = errors.New("cellnet: too many connections")
	// ErrTooManyFromAddr: Acceptor.MaxPerAddr reached.
	ErrTooManyFromAddr = errors.New("cellnet: too many connections from this address")
)

// ReasonLabel names the class of a close reason in one word, for metrics and
// logs: "eof", "closed", "slow_consumer", ... and "other" for what only the
// caller can know.
func ReasonLabel(reason error) string {
	for _, r := range []struct {
		err   error
		label string
	}{
		{ErrClosed, "closed"},
		{ErrSlowConsumer, "slow_consumer"},
		{ErrWriteTimeout, "write_timeout"},
		{ErrReadTimeout, "read_timeout"},
		{ErrIdle, "idle"},
		{ErrFrameTooLarge, "frame_too_large"},
		{ErrShortFrame, "short_frame"},
		{ErrBadFrame, "bad_frame"},
		{ErrTLSRequired, "tls_required"},
		{ErrTLSUnexpected, "tls_unexpected"},
		{ErrTooManyConns, "too_many_conns"},
		{ErrTooManyFromAddr, "too_many_from_addr"},
		{ErrHandshake, "handshake"},
		{ErrFull, "full"},
		{io.EOF, "eof"},
		{io.ErrUnexpectedEOF, "eof_in_frame"},
		{io.ErrClosedPipe, "eof"},
		{syscall.ECONNRESET, "reset"},
		{syscall.EPIPE, "reset"},
		{os.ErrDeadlineExceeded, "timeout"},
		{context.Canceled, "canceled"},
		{net.ErrClosed, "closed"},
	} {
		if errors.Is(reason, r.err) {
			return r.label
		}
	}
	return "other"
}
