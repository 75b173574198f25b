package link

import (
	"encoding/binary"
	"errors"
)

// Kind says how the receiver of a frame reads it.
type Kind uint8

// The kinds of frames on a link.
const (
	Control  Kind = iota // a cluster.proto message for the peer itself; Client is whom it concerns, or 0
	ToClient             // a client message: from Client (agent to backend) or for Client (backend to agent)
	ToMany               // for the clients listed at the start of the body: u32 LE count, count times u64 LE
	ToGroup              // for the members of the group named at the start of the body: u8 length, name; Client is a Filter
	ToAll                // for every verified client of the receiving agent; Client is a Filter
	kinds
)

// pulseID is the message ID of a control frame without a message, which says
// only that the sender is there. No message has this ID.
const pulseID = 0

// headLen is the length of a frame's head: kind u8, flags u8 (0), message ID
// u16 LE, client u64 LE.
const headLen = 12

var errFrame = errors.New("link: malformed frame: the peer was built from another version, or is no service of ours")

// Frame is one message on a link. Body is valid only until the handler that
// was given it returns.
type Frame struct {
	Kind   Kind
	ID     uint16
	Client uint64
	Body   []byte
}

func parseFrame(b []byte) (Frame, error) {
	if len(b) < headLen || Kind(b[0]) >= kinds || b[1] != 0 {
		return Frame{}, errFrame
	}
	return Frame{
		Kind:   Kind(b[0]),
		ID:     binary.LittleEndian.Uint16(b[2:]),
		Client: binary.LittleEndian.Uint64(b[4:]),
		Body:   b[headLen:],
	}, nil
}

func putHead(h *[headLen]byte, kind Kind, id uint16, client uint64) {
	h[0], h[1] = byte(kind), 0
	binary.LittleEndian.PutUint16(h[2:], id)
	binary.LittleEndian.PutUint64(h[4:], client)
}

// AppendList appends the client list that begins the body of a ToMany frame.
func AppendList(b []byte, clients []uint64) []byte {
	b = binary.LittleEndian.AppendUint32(b, uint32(len(clients)))
	for _, c := range clients {
		b = binary.LittleEndian.AppendUint64(b, c)
	}
	return b
}

// List is the client list of a ToMany frame, read in place.
type List []byte

// Len is the number of clients in l.
func (l List) Len() int { return len(l) / 8 }

// At is client i of l.
func (l List) At(i int) uint64 { return binary.LittleEndian.Uint64(l[i*8:]) }

// CutList splits the body of a ToMany frame into its list and the message
// body; ok is false when the list says it is longer than the body.
func CutList(body []byte) (list List, rest []byte, ok bool) {
	if len(body) < 4 {
		return nil, nil, false
	}
	n := uint64(binary.LittleEndian.Uint32(body)) * 8
	body = body[4:]
	if uint64(len(body)) < n {
		return nil, nil, false
	}
	return List(body[:n]), body[n:], true
}

// Filter leaves out clients from a ToGroup or ToAll frame by their features, two
// masks: with in its lower half, without in its upper one. The zero Filter
// leaves out nobody.
type Filter uint64

// NewFilter makes a Filter that passes clients with all features of with and
// none of without.
func NewFilter(with, without uint32) Filter { return Filter(with) | Filter(without)<<32 }

// Passes reports whether a client with these features is meant.
func (f Filter) Passes(features uint32) bool {
	with, without := uint32(f), uint32(f>>32)
	return features&with == with && features&without == 0
}

// Features are those that the Filter looks at.
func (f Filter) Features() uint32 { return uint32(f) | uint32(f>>32) }

// MaxGroup is the longest name of a group, in bytes.
const MaxGroup = 255

// AppendGroup appends the group name that begins the body of a ToGroup frame.
// It must not be longer than MaxGroup.
func AppendGroup(b []byte, group string) []byte {
	return append(append(b, byte(len(group))), group...)
}

// CutGroup splits the body of a ToGroup frame into the group's name and the
// message body.
func CutGroup(body []byte) (group, rest []byte, ok bool) {
	if len(body) < 1 || len(body) < 1+int(body[0]) {
		return nil, nil, false
	}
	n := 1 + int(body[0])
	return body[1:n], body[n:], true
}
