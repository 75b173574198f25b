package broker

import (
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/davyxu/cellmesh_demo/proto/pb"
)

// Whatever a publisher sends that decodes, what subscribers get of it decodes
// too, differs in nothing but from, and that is what the hub knows.
func FuzzFrom(f *testing.F) {
	for _, p := range []*pb.HubPublish{
		{}, {Channel: "news", MsgId: 7, Body: []byte("x")}, {Channel: "news", From: "game#9@liar", Reply: "r", Request: 1, Nobody: true},
	} {
		body, err := proto.Marshal(p)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var in pb.HubPublish
		if in.DecodeInPlace(body) != nil {
			return
		}
		var out pb.HubPublish
		if err := out.Decode(append(append([]byte(nil), body...), from("game#0@dev")...)); err != nil {
			t.Fatal(err)
		}
		in.From = "game#0@dev"
		if !proto.Equal(&in, &out) {
			t.Errorf("%v became %v", &in, &out)
		}
	})
}
