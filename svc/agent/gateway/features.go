package gateway

import (
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/davyxu/cellmesh_demo/proto/pb"
)

// featuresField is the number of VerifyREQ's field features.
func featuresField() protowire.Number {
	return (&pb.VerifyREQ{}).ProtoReflect().Descriptor().Fields().ByName("features").Number()
}

// readFeatures notes what a client announces in its VerifyREQ. A backend says
// the same once it has verified the client (BindBackendACK); but when there is
// none to do so, the client can be told only because of this.
func (c *client) readFeatures(body []byte) {
	if c.user.Load() == nil {
		c.announced.Store(uint32(varintField(body, c.g.featuresField)))
	}
}

// understands reports whether the client has announced a feature.
func (c *client) understands(f pb.VerifyREQ_Feature) bool {
	features := c.announced.Load()
	if u := c.user.Load(); u != nil {
		features = u.features
	}
	return features&uint32(f) != 0
}

// varintField returns the integer field with this number out of a message body,
// without decoding or allocating; the last one counts, as in every protobuf
// decoder. It is 0 when the field is not there, or something before it is no
// protobuf: then the backend will refuse the message.
func varintField(body []byte, number protowire.Number) (value uint64) {
	for len(body) > 0 {
		num, kind, n := protowire.ConsumeTag(body)
		if n < 0 {
			return 0
		}
		body = body[n:]
		switch kind {
		case protowire.VarintType:
			var v uint64
			if v, n = protowire.ConsumeVarint(body); num == number {
				value = v
			}
		case protowire.StartGroupType, protowire.EndGroupType: // nested ones would let a client choose the depth of our stack
			return 0
		default:
			n = protowire.ConsumeFieldValue(num, kind, body)
		}
		if n < 0 {
			return 0
		}
		body = body[n:]
	}
	return value
}
