package route_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/svc/agent/route"
)

func TestStringField(t *testing.T) {
	verify, err := proto.Marshal(&pb.VerifyREQ{GameToken: "verify", GameSvcId: "game#0@dev", Features: 1})
	if err != nil {
		t.Fatal(err)
	}
	twice := append(bytes.Clone(verify), "\x12\x03two"...)
	for name, test := range map[string]struct {
		body   []byte
		number uint32
		want   string
	}{
		"second field":     {verify, 2, "game#0@dev"},
		"first field":      {verify, 1, "verify"},
		"not a string":     {verify, 10, ""},
		"not there":        {verify, 3, ""},
		"empty body":       {nil, 2, ""},
		"number 0":         {verify, 0, ""},
		"empty string":     {[]byte("\x12\x00"), 2, ""},
		"last one counts":  {twice, 2, "two"},
		"other kinds":      {[]byte("\x11\x01\x02\x03\x04\x05\x06\x07\x08\x15\x01\x02\x03\x04\x10\xff\x01\x12\x01x"), 2, "x"},
		"greatest number":  {protowire.AppendString(protowire.AppendTag(nil, protowire.MaxValidNumber, protowire.BytesType), "z"), uint32(protowire.MaxValidNumber), "z"},
		"longer than 127":  {protowire.AppendString(protowire.AppendTag(nil, 2, protowire.BytesType), strings.Repeat("s", 300)), 2, strings.Repeat("s", 300)},
		"not UTF-8 either": {[]byte("\x12\x02\xff\xfe"), 2, "\xff\xfe"},
	} {
		if got, err := route.StringField(test.body, test.number); err != nil || string(got) != test.want {
			t.Errorf("%s: %q, %v, want %q", name, got, err, test.want)
		}
	}
}

func TestStringFieldMalformed(t *testing.T) {
	for name, body := range map[string]string{
		"cut in the tag":     "\x80",
		"cut in the length":  "\x12\x80",
		"cut in the string":  "\x12\x05four",
		"huge length":        "\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
		"cut in a varint":    "\x10\xff",
		"endless varint":     "\x10" + strings.Repeat("\xff", 11),
		"cut in a fixed32":   "\x15\x00",
		"cut in a fixed64":   "\x11\x00",
		"field 0":            "\x02\x00",
		"group":              "\x13\x14",
		"end of no group":    "\x14",
		"wire type 6":        "\x16",
		"found, then broken": "\x12\x01x\x12",
	} {
		if got, err := route.StringField([]byte(body), 2); !errors.Is(err, route.ErrMalformed) || got != nil {
			t.Errorf("%s: %q, %v, want ErrMalformed", name, got, err)
		}
	}
}

func BenchmarkStringField(b *testing.B) {
	body, err := proto.Marshal(&pb.VerifyREQ{GameToken: strings.Repeat("t", 400), GameSvcId: "game#0@dev"})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if got, err := route.StringField(body, 2); err != nil || len(got) != 10 {
			b.Fatal(got, err)
		}
	}
}

// The scan sees what the real decoder sees.
func FuzzStringField(f *testing.F) {
	f.Add([]byte("\x0a\x06verify\x12\x0agame#0@dev"))
	f.Add([]byte("\x12\x01a\x12\x01b\x10\x05\x13\x14"))
	f.Add([]byte("\x11\x01\x02\x03\x04\x05\x06\x07\x08\x15\x01\x02\x03\x04\x50\x01"))
	f.Fuzz(func(t *testing.T, body []byte) {
		got, err := route.StringField(body, 2)
		var m pb.VerifyREQ
		decodeErr := proto.Unmarshal(body, &m)
		switch {
		case decodeErr != nil: // the scan may be more lenient, it does not look at UTF-8
		case err != nil:
			if !hasGroup(m.ProtoReflect().GetUnknown()) {
				t.Errorf("% x is refused, but decodes to %v", body, &m)
			}
		case string(got) != m.GameSvcId:
			t.Errorf("% x: found %q, decoded %q", body, got, m.GameSvcId)
		}
	})
}

func hasGroup(fields []byte) bool {
	for len(fields) > 0 {
		_, kind, n := protowire.ConsumeField(fields)
		if n < 0 || kind == protowire.StartGroupType {
			return true
		}
		fields = fields[n:]
	}
	return false
}
