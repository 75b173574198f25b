package gateway

import (
	"testing"

	"github.com/davyxu/cellmesh_demo/basefx/link"
)

func TestKinds(t *testing.T) {
	for _, c := range []struct {
		clients       []uint32
		with, without uint32
		none          bool
	}{
		{nil, 2, 0, true},
		{[]uint32{0, 1}, 2, 0, true},
		{[]uint32{0, 1}, 0, 2, false},
		{[]uint32{2, 3}, 2, 0, false},
		{[]uint32{2, 3}, 0, 2, true},
		{[]uint32{1, 3}, 2, 0, false},
		{[]uint32{1, 3}, 0, 2, false},
		{[]uint32{1, 3}, 1, 0, false},
		{[]uint32{3}, 1, 2, true},
		{[]uint32{1 << 10}, 0, 2, false},       // a feature that does not tell kinds
		{[]uint32{1 << 10}, 1 << 10, 0, false}, // and is asked for
		{[]uint32{0}, 0, 1 << 31, false},
	} {
		var k kinds
		for _, features := range c.clients {
			k.of(features).Add(1)
		}
		if none := k.none(link.NewFilter(c.with, c.without)); none != c.none {
			t.Errorf("%+v: %v", c, none)
		}
	}
}
