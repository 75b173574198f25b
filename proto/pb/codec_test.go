package pb_test

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/davyxu/cellmesh_demo/proto/pb"
)

// Decode and AppendTo do what the official implementation does.
func TestCodec(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, info := range pb.Messages() {
		for range 200 {
			m := info.New()
			fill(random, m.ProtoReflect(), 0)
			want, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
			if err != nil {
				t.Fatal(err)
			}
			got, err := m.AppendTo([]byte("before"))
			if err != nil || string(got) != "before"+string(want) {
				t.Fatalf("%s: AppendTo = % x, %v, want % x", info.Name, got, err, want)
			}
			back := info.New()
			if err := back.DecodeInPlace(want); err != nil || !proto.Equal(m, back) {
				t.Fatalf("%s: DecodeInPlace = %v, %v, want %v", info.Name, back, err, m)
			}
			back = info.New()
			if err := back.Decode(want); err != nil {
				t.Fatalf("%s: %v", info.Name, err)
			}
			for i := range want { // nothing of it is kept
				want[i] = 0xff
			}
			if !proto.Equal(m, back) {
				t.Fatalf("%s: Decode = %v, want %v", info.Name, back, m)
			}
		}
	}
}

// fill sets fields of m, about half of them.
func fill(random *rand.Rand, m protoreflect.Message, depth int) {
	for i := range m.Descriptor().Fields().Len() {
		f := m.Descriptor().Fields().Get(i)
		switch {
		case random.IntN(2) == 0 || depth > 3:
		case f.IsList():
			list := m.Mutable(f).List()
			for range random.IntN(4) {
				if f.Message() != nil {
					fill(random, list.AppendMutable().Message(), depth+1)
				} else {
					list.Append(scalar(random, f))
				}
			}
		case f.Message() != nil:
			fill(random, m.Mutable(f).Message(), depth+1)
		default:
			m.Set(f, scalar(random, f))
		}
	}
}

func scalar(random *rand.Rand, f protoreflect.FieldDescriptor) protoreflect.Value {
	n := random.Int64() >> random.IntN(64)
	switch f.Kind() {
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(n%2 == 0)
	case protoreflect.EnumKind:
		return protoreflect.ValueOfEnum(protoreflect.EnumNumber(n))
	case protoreflect.Int32Kind:
		return protoreflect.ValueOfInt32(int32(n))
	case protoreflect.Uint32Kind:
		return protoreflect.ValueOfUint32(uint32(n))
	case protoreflect.Int64Kind:
		return protoreflect.ValueOfInt64(n)
	case protoreflect.Uint64Kind:
		return protoreflect.ValueOfUint64(uint64(n))
	case protoreflect.DoubleKind:
		return protoreflect.ValueOfFloat64(float64(n) / 3)
	case protoreflect.StringKind:
		return protoreflect.ValueOfString(strings.Repeat("wört", random.IntN(80)))
	case protoreflect.BytesKind:
		return protoreflect.ValueOfBytes(bytes.Repeat([]byte{0xfe, 'b', 0}, random.IntN(80)))
	}
	panic("this test knows no " + f.Kind().String())
}

// Text that is not UTF-8 is refused in both directions: the clients it is shown
// to would fail on it.
func TestCodecRefusesBadText(t *testing.T) {
	const bad = "a\xff"
	for _, m := range []pb.Message{
		&pb.ChatREQ{Content: bad}, &pb.LoginACK{Reason: bad}, &pb.LoginACK{Server: &pb.LoginACK_Server{Ip: bad}},
	} {
		if b, err := m.AppendTo(nil); err == nil {
			t.Errorf("%T encodes to % x", m, b)
		}
	}
	if err := new(pb.ChatREQ).Decode([]byte("\x0a\x02" + bad)); err == nil {
		t.Error("ChatREQ decodes")
	}
	if err := new(pb.LoginACK).Decode([]byte("\x12\x04\x0a\x02" + bad)); err == nil {
		t.Error("LoginACK decodes with bad text in a message within")
	}
	if _, err := (&pb.EchoACK{Content: []byte(bad)}).AppendTo(nil); err != nil {
		t.Error("bytes may be anything:", err)
	}
}

// Whatever comes, Decode makes of it what the official implementation does. All
// that it may add is a tag with too large a number, and then what is passed on is
// good nevertheless.
func FuzzDecode(f *testing.F) {
	random := rand.New(rand.NewPCG(3, 4))
	for i, info := range pb.Messages() {
		m := info.New()
		fill(random, m.ProtoReflect(), 0)
		b, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(uint8(i), b)
	}
	f.Fuzz(func(t *testing.T, which uint8, b []byte) {
		all := pb.Messages()
		info := all[int(which)%len(all)]
		ours, theirs := info.New(), info.New()
		err, want := ours.Decode(b), proto.Unmarshal(b, theirs)
		if want == nil && (err != nil || !proto.Equal(ours, theirs)) {
			t.Fatalf("%s: %v, %v; want %v", info.Name, ours, err, theirs)
		}
		inPlace := info.New()
		if e := inPlace.DecodeInPlace(b); (e == nil) != (err == nil) || err == nil && !proto.Equal(inPlace, ours) {
			t.Fatalf("%s: DecodeInPlace = %v, %v; Decode = %v, %v", info.Name, inPlace, e, ours, err)
		}
		if err != nil {
			return
		}
		again, err := ours.AppendTo(nil)
		if err != nil {
			t.Fatal(err)
		}
		back := info.New()
		if err := proto.Unmarshal(again, back); err != nil || !proto.Equal(back, ours) {
			t.Fatalf("%s: encoded again it is %v, %v; want %v", info.Name, back, err, ours)
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	body, _ := (&pb.EchoREQ{Content: make([]byte, 64)}).AppendTo(nil)
	b.Run("generated", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := new(pb.EchoREQ).Decode(body); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("in place", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := new(pb.EchoREQ).DecodeInPlace(body); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("official", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := proto.Unmarshal(body, new(pb.EchoREQ)); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkEncode(b *testing.B) {
	m, buf := &pb.EchoACK{Content: make([]byte, 64)}, make([]byte, 0, 100)
	b.Run("generated", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := m.AppendTo(buf[:0]); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("official", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := (proto.MarshalOptions{}).MarshalAppend(buf[:0], m); err != nil {
				b.Fatal(err)
			}
		}
	})
}
