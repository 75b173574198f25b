package route

import (
	"errors"

	"google.golang.org/protobuf/encoding/protowire"
)

// ErrMalformed says that a body is not a protobuf message.
var ErrMalformed = errors.New("route: the body is not a protobuf message")

// StringField returns the string field with this number out of a message body, as a part of body,
// without decoding or allocating; nil when it is not there. As in every protobuf decoder the last
// one counts. The bytes come from an untrusted client and need not be UTF-8.
//
// Groups, which proto3 does not have, are refused: skipping nested ones would let a client choose
// the depth of our stack.
func StringField(body []byte, number uint32) ([]byte, error) {
	var found []byte
	for len(body) > 0 {
		num, kind, n := protowire.ConsumeTag(body)
		if n < 0 {
			return nil, ErrMalformed
		}
		body = body[n:]
		switch kind {
		case protowire.VarintType:
			_, n = protowire.ConsumeVarint(body)
		case protowire.Fixed32Type:
			_, n = protowire.ConsumeFixed32(body)
		case protowire.Fixed64Type:
			_, n = protowire.ConsumeFixed64(body)
		case protowire.BytesType:
			var value []byte
			value, n = protowire.ConsumeBytes(body)
			if n >= 0 && num == protowire.Number(number) {
				found = value
			}
		default:
			return nil, ErrMalformed
		}
		if n < 0 {
			return nil, ErrMalformed
		}
		body = body[n:]
	}
	return found, nil
}
