package msgid_test

import (
	"testing"

	"github.com/davyxu/cellmesh_demo/proto/msgid"
)

// The IDs that clients of 2019 have.
func TestOf(t *testing.T) {
	for name, want := range map[string]uint16{
		"PingACK": 16241, "LoginREQ": 18837, "LoginACK": 46204, "VerifyREQ": 13457, "VerifyACK": 40824,
		"ChatREQ": 29052, "ChatACK": 56419, "EchoREQ": 3323, "EchoACK": 30690,
	} {
		if got := msgid.Of(name); got != want {
			t.Errorf("Of(%q) = %d, want %d", name, got, want)
		}
	}
}

func TestReserved(t *testing.T) {
	for id, free := range map[uint16]bool{0: false, 8276: false, 1: true, 16241: true} {
		if reason := msgid.Reserved(id); (reason == "") != free {
			t.Errorf("Reserved(%d) = %q", id, reason)
		}
	}
}
