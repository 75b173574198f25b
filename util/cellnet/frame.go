package cellnet

import (
	"encoding/binary"
	"fmt"
)

// MessageID returns the message ID a client frame begins with. The frame must
// have at least 2 bytes, which every frame a Handler gets under ClientFraming has.
func MessageID(frame []byte) uint16 { return binary.LittleEndian.Uint16(frame) }

// Body returns what follows the message ID in a client frame.
func Body(frame []byte) []byte { return frame[2:] }

// AppendMessageHead appends the head of a client frame, its message ID, to b.
func AppendMessageHead(b []byte, id uint16) []byte {
	return binary.LittleEndian.AppendUint16(b, id)
}

// SendMessage sends one client frame: the message ID, then the body.
func (s *Session) SendMessage(id uint16, body []byte) error {
	var head [2]byte
	binary.LittleEndian.PutUint16(head[:], id)
	return s.Send(head[:], body)
}

// AppendMessage appends one client frame as Append does.
func (s *Session) AppendMessage(id uint16, body []byte) (first bool, err error) {
	var head [2]byte
	binary.LittleEndian.PutUint16(head[:], id)
	return s.Append(head[:], body)
}

// The next* functions look for a frame at the beginning of b. They return the
// frame and how many bytes of b it takes up; or, when more bytes are needed
// first, how many there must be in all for a further look (more than len(b)).

func nextClientFrame(b []byte, limit int) (frame []byte, total int, err error) {
	if len(b) < 2 {
		return nil, 2, nil
	}
	size := int(binary.LittleEndian.Uint16(b))
	switch {
	case size < 2:
		return nil, 0, fmt.Errorf("%w: %d bytes", ErrShortFrame, size)
	case size > limit:
		return nil, 0, tooLarge(uint64(size), limit)
	}
	total = 2 + size
	if len(b) < total {
		return nil, total, nil
	}
	return b[2:total:total], total, nil
}

func nextLinkFrame(b []byte, limit int) (frame []byte, total int, err error) {
	if len(b) < 4 {
		return nil, 4, nil
	}
	size := binary.LittleEndian.Uint32(b)
	if uint64(size) > uint64(limit) {
		return nil, 0, tooLarge(uint64(size), limit)
	}
	total = 4 + int(size)
	if len(b) < total {
		return nil, total, nil
	}
	return b[4:total:total], total, nil
}

func tooLarge(size uint64, limit int) error {
	return fmt.Errorf("%w: %d bytes, at most %d are allowed", ErrFrameTooLarge, size, limit)
}
