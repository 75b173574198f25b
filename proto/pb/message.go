// Package pb is everything that goes over a wire in this project, generated from the .proto files
// one folder up. Open this file first, then message_gen.go, which has the message IDs and the list
// of all messages. Only this file and the tests are written by hand; to change the rest, change a
// .proto file and run proto/MakeProto.sh.
package pb

import (
	"slices"

	"google.golang.org/protobuf/proto"
)

// Message is a protobuf message that has an ID, so that it can stand in a frame.
type Message interface {
	proto.Message
	MsgID() uint16
	// Decode reads the message, which must be new or reset, from a body. It keeps
	// nothing of b.
	Decode(b []byte) error
	// DecodeInPlace is Decode, but text and bytes of the message are those of b:
	// it is good only as long as b is.
	DecodeInPlace(b []byte) error
	// AppendTo appends the message's body to b.
	AppendTo(b []byte) ([]byte, error)
}

// coded is what the generators make of a message: vtprotobuf, which works
// without reflection, and plain_gen.go.
type coded interface {
	proto.Message
	UnmarshalVT(b []byte) error
	UnmarshalVTUnsafe(b []byte) error
	MarshalToSizedBufferVT(b []byte) (int, error)
	SizeVT() int
	plain() bool // text is UTF-8, no field is unknown
}

// decode leaves what is not plain to the official implementation, so that all of
// it means the same.
func decode[M coded](m M, b []byte) error {
	if m.UnmarshalVT(b) == nil && m.plain() {
		return nil
	}
	return proto.Unmarshal(b, m)
}

func decodeInPlace[M coded](m M, b []byte) error {
	if m.UnmarshalVTUnsafe(b) == nil && m.plain() {
		return nil
	}
	return proto.Unmarshal(b, m)
}

func appendTo[M coded](m M, b []byte) ([]byte, error) {
	if !m.plain() {
		return proto.MarshalOptions{}.MarshalAppend(b, m)
	}
	n := m.SizeVT()
	whole := slices.Grow(b, n)[:len(b)+n]
	if _, err := m.MarshalToSizedBufferVT(whole[len(b):]); err != nil {
		return b, err
	}
	return whole, nil
}

// MessageInfo tells about one message what its .proto file says, see options.proto.
type MessageInfo struct {
	ID       uint16
	Name     string
	Explicit bool // the ID was set with option (msg_id), it is not the hash of the name

	Service    string  // who handles it; "" when it has no route
	Rule       Rule    // which clients may send it
	MaxSize    uint32  // largest body in bytes, 0 = what a client frame can hold
	Rate       float64 // messages a second per client, 0 = unlimited
	Burst      uint32  // how many at once, 0 = what Rate gives in a second
	SvcIDField uint32  // number of the string field that names the wished instance, 0 = none

	New func() Message // a new, empty one
}

// HandledBy returns the messages that the service called name must handle, by message name.
func HandledBy(service string) []MessageInfo {
	var infos []MessageInfo
	for _, info := range Messages() {
		if info.Service != "" && info.Service == service {
			infos = append(infos, info)
		}
	}
	return infos
}
