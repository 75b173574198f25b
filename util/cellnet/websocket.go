package cellnet

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"unicode/utf8"
)

// This file reads and writes RFC 6455 frames in the session's own buffers, so
// that WebSocket and TCP share batching and neither copies nor allocates per
// message. The handshake is gorilla/websocket's (upgrade.go, dial.go).

const (
	wsContinuation = 0x0
	wsText         = 0x1
	wsBinary       = 0x2
	wsClose        = 0x8
	wsPing         = 0x9
	wsPong         = 0xA

	wsFinal  = 0x80 // in the first byte, beside the opcode
	wsMasked = 0x80 // in the second byte, beside the length

	wsMaxHead = 14 // two bytes, eight of length, four of mask
)

// wsHead is the head of a WebSocket frame.
type wsHead struct {
	opcode  byte
	final   bool
	masked  bool
	long    bool // the length is not in the second byte
	mask    [4]byte
	size    int    // of the head itself
	payload uint64 // bytes that follow
}

// readWSHead reads a head from the beginning of b. A size greater than len(b)
// means that so many bytes are needed first.
func readWSHead(b []byte) (h wsHead, err error) {
	if len(b) < 2 {
		return wsHead{size: 2}, nil
	}
	h = wsHead{
		opcode:  b[0] & 0x0F,
		final:   b[0]&wsFinal != 0,
		masked:  b[1]&wsMasked != 0,
		payload: uint64(b[1] &^ wsMasked),
		size:    2,
	}
	if b[0]&0x70 != 0 {
		return h, fmt.Errorf("%w: reserved bits set in WebSocket frame", ErrBadFrame)
	}
	short := h.payload
	switch short {
	case 126:
		h.size, h.long = 4, true
	case 127:
		h.size, h.long = 10, true
	}
	if h.masked {
		h.size += 4
	}
	if len(b) < h.size {
		return h, nil
	}
	switch short {
	case 126:
		h.payload = uint64(binary.BigEndian.Uint16(b[2:]))
	case 127:
		h.payload = binary.BigEndian.Uint64(b[2:])
	}
	if h.masked {
		copy(h.mask[:], b[h.size-4:])
	}
	return h, nil
}

// webSocket is what a session that is one has besides. The parts are the
// reader's.
type webSocket struct {
	masks bool   // we are the client
	parts []byte // a message in parts so far; nil: none begun
	pong  bool   // pongs were appended that nobody else flushes
}

// nextWSFrame looks for a message at the beginning of b, as the other next*
// functions do. A nil frame with total <= len(b) is a part of a message or a
// control frame, which has been dealt with: look on behind it.
func (s *Session) nextWSFrame(b []byte, limit int) (frame []byte, total int, err error) {
	h, err := readWSHead(b)
	if err != nil || h.size > len(b) {
		return nil, h.size, err
	}
	if err := s.web.check(h, limit); err != nil {
		return nil, 0, err
	}
	total = h.size + int(h.payload)
	if len(b) < total {
		return nil, total, nil
	}
	payload := b[h.size:total:total]
	if h.masked {
		maskWS(h.mask, payload)
	}
	if h.opcode >= wsClose {
		return nil, total, s.wsControl(h.opcode, payload)
	}
	frame, err = s.web.message(h, payload)
	return frame, total, err
}

// check says what is wrong with a head, before its payload is waited for.
func (w *webSocket) check(h wsHead, limit int) error {
	begun := w.parts != nil
	switch h.opcode {
	case wsText:
		return errWSText
	case wsBinary, wsContinuation:
		if begun != (h.opcode == wsContinuation) {
			return fmt.Errorf("%w: WebSocket message parts out of order", ErrBadFrame)
		}
		if h.payload > uint64(limit-len(w.parts)) {
			return tooLarge(uint64(len(w.parts))+h.payload, limit)
		}
	case wsClose, wsPing, wsPong:
		if !h.final || h.long {
			return fmt.Errorf("%w: WebSocket control frame in parts or of more than 125 bytes", ErrBadFrame)
		}
	default:
		return fmt.Errorf("%w: unknown WebSocket opcode %d", ErrBadFrame, h.opcode)
	}
	if h.masked == w.masks {
		return fmt.Errorf("%w: a WebSocket client must mask, a server must not", ErrBadFrame)
	}
	return nil
}

// message returns the message that ends with this data frame, nil if it does
// not end yet.
func (w *webSocket) message(h wsHead, payload []byte) ([]byte, error) {
	if w.parts != nil || !h.final {
		if w.parts == nil {
			w.parts = make([]byte, 0, len(payload))
		}
		w.parts = append(w.parts, payload...)
		if !h.final {
			return nil, nil
		}
		payload, w.parts = w.parts, nil
	}
	if len(payload) < 2 {
		return nil, fmt.Errorf("%w: %d bytes", ErrShortFrame, len(payload))
	}
	return payload, nil
}

var errWSText = fmt.Errorf("%w: WebSocket text message, only binary is taken", ErrBadFrame)

// wsControl answers a ping and returns the reason a close frame gives.
func (s *Session) wsControl(opcode byte, payload []byte) error {
	switch opcode {
	case wsPing:
		return s.appendPong(payload)
	case wsClose:
		return wsCloseReason(payload)
	}
	return nil
}

// appendPong answers a ping. Called by the reader, which flushes after the batch.
func (s *Session) appendPong(payload []byte) error {
	s.mu.Lock()
	if err := s.admit(len(payload)); err != nil {
		s.mu.Unlock()
		if err == ErrFull {
			return nil // the ping goes unanswered, like a frame refused
		}
		return s.turnAway(err)
	}
	s.web.pong = s.web.pong || len(s.out) == 0 && !s.writing
	before := len(s.out)
	s.out = appendWS(s.grow(len(payload)+wsMaxHead), s.web.masks, wsPong, payload, nil)
	s.pending += len(s.out) - before
	s.mu.Unlock()
	return nil
}

// wsCloseReason is io.EOF when the peer just leaves, and wraps it with the
// peer's code and text otherwise.
func wsCloseReason(payload []byte) error {
	if len(payload) == 0 {
		return io.EOF
	}
	if len(payload) == 1 || !utf8.Valid(payload[2:]) {
		return fmt.Errorf("%w: WebSocket close", ErrBadFrame)
	}
	switch code := binary.BigEndian.Uint16(payload); {
	case code == 1000 || code == 1001:
		return io.EOF
	case code < 1000 || code >= 5000 || code >= 1004 && code <= 1006 || code >= 1015 && code < 3000:
		return fmt.Errorf("%w: WebSocket close code %d", ErrBadFrame, code)
	default:
		return fmt.Errorf("peer closed the WebSocket with code %d %q: %w", code, payload[2:], io.EOF)
	}
}

// wsCloseCode is what we tell the peer of a reason.
func wsCloseCode(reason error) uint16 {
	switch {
	case errors.Is(reason, errWSText):
		return 1003
	case errors.Is(reason, ErrBadFrame), errors.Is(reason, ErrShortFrame):
		return 1002
	case errors.Is(reason, ErrFrameTooLarge):
		return 1009
	}
	return 1000
}

// appendWS appends a frame whose payload is head and body, 65535 bytes at most.
// masks is true on the client's side, where RFC 6455 wants the payload masked.
func appendWS(b []byte, masks bool, opcode byte, head, body []byte) []byte {
	masked := byte(0)
	if masks {
		masked = wsMasked
	}
	b = append(b, wsFinal|opcode)
	if n := len(head) + len(body); n < 126 {
		b = append(b, masked|byte(n))
	} else {
		b = append(b, masked|126, byte(n>>8), byte(n))
	}
	if !masks {
		return append(append(b, head...), body...)
	}
	var mask [4]byte
	binary.LittleEndian.PutUint32(mask[:], rand.Uint32())
	b = append(b, mask[:]...)
	start := len(b)
	b = append(append(b, head...), body...)
	maskWS(mask, b[start:])
	return b
}

// maskWS masks or unmasks b in place.
func maskWS(mask [4]byte, b []byte) {
	word := uint64(binary.LittleEndian.Uint32(mask[:]))
	word |= word << 32
	for len(b) >= 8 {
		binary.LittleEndian.PutUint64(b, binary.LittleEndian.Uint64(b)^word)
		b = b[8:]
	}
	for i := range b {
		b[i] ^= mask[i&3]
	}
}
