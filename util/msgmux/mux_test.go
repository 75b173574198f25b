package msgmux

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Messages with IDs, made of types that need no generator.

func decode(m proto.Message, b []byte) error { return proto.Unmarshal(b, m) }
func appendTo(m proto.Message, b []byte) ([]byte, error) {
	return proto.MarshalOptions{}.MarshalAppend(b, m)
}

type ask struct{ wrapperspb.StringValue }

func (m *ask) Decode(b []byte) error             { return decode(m, b) }
func (m *ask) DecodeInPlace(b []byte) error      { return decode(m, b) }
func (m *ask) AppendTo(b []byte) ([]byte, error) { return appendTo(m, b) }
func (*ask) MsgID() uint16                       { return 1 }
func (m *ask) ProtoReflect() protoreflect.Message {
	if m == nil {
		return (*wrapperspb.StringValue)(nil).ProtoReflect()
	}
	return m.StringValue.ProtoReflect()
}

type blob struct{ wrapperspb.BytesValue }

func (m *blob) Decode(b []byte) error             { return decode(m, b) }
func (m *blob) DecodeInPlace(b []byte) error      { return decode(m, b) }
func (m *blob) AppendTo(b []byte) ([]byte, error) { return appendTo(m, b) }
func (*blob) MsgID() uint16                       { return 2 }
func (m *blob) ProtoReflect() protoreflect.Message {
	if m == nil {
		return (*wrapperspb.BytesValue)(nil).ProtoReflect()
	}
	return m.BytesValue.ProtoReflect()
}

// verdict has what a refusal needs: an enum "result" and a string "reason".
type verdict struct{ m *dynamicpb.Message }

func (m *verdict) Reset()                            { m.m = nil }
func (m *verdict) Decode(b []byte) error             { return decode(m, b) }
func (m *verdict) DecodeInPlace(b []byte) error      { return decode(m, b) }
func (m *verdict) AppendTo(b []byte) ([]byte, error) { return appendTo(m, b) }
func (*verdict) MsgID() uint16                       { return 3 }
func (m *verdict) ProtoReflect() protoreflect.Message {
	if m == nil {
		return dynamicpb.NewMessage(verdictType())
	}
	if m.m == nil {
		m.m = dynamicpb.NewMessage(verdictType())
	}
	return m.m
}

func (m *verdict) get(field protoreflect.Name) protoreflect.Value {
	return m.ProtoReflect().Get(verdictType().Fields().ByName(field))
}

var verdictType = sync.OnceValue(func() protoreflect.MessageDescriptor {
	field := func(n int32, name string, kind descriptorpb.FieldDescriptorProto_Type, typeName *string) *descriptorpb.FieldDescriptorProto {
		return &descriptorpb.FieldDescriptorProto{
			Name: &name, Number: &n, Type: &kind, TypeName: typeName, Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum(),
		}
	}
	file, err := protodesc.NewFile(&descriptorpb.FileDescriptorProto{
		Name: proto.String("verdict.proto"), Package: proto.String("test"), Syntax: proto.String("proto3"),
		EnumType: []*descriptorpb.EnumDescriptorProto{{
			Name:  proto.String("Code"),
			Value: []*descriptorpb.EnumValueDescriptorProto{{Name: proto.String("Fine"), Number: proto.Int32(0)}},
		}},
		MessageType: []*descriptorpb.DescriptorProto{{
			Name: proto.String("Verdict"),
			Field: []*descriptorpb.FieldDescriptorProto{
				field(1, "result", descriptorpb.FieldDescriptorProto_TYPE_ENUM, proto.String(".test.Code")),
				field(2, "reason", descriptorpb.FieldDescriptorProto_TYPE_STRING, nil),
			},
		}},
	}, nil)
	if err != nil {
		panic(err)
	}
	return file.Messages().Get(0)
})

func encode(t testing.TB, m proto.Message) []byte {
	t.Helper()
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func askFor(s string) *ask {
	m := &ask{}
	m.Value = s
	return m
}

// A handler is told who asks and what, and its reply is Dispatch's.
func TestHandle(t *testing.T) {
	mux := New[string]()
	Handle(mux, func(ctx context.Context, from string, req *ask) (*blob, error) {
		if req.Value == "nothing" {
			return nil, nil
		}
		ack := &blob{}
		ack.Value = []byte(from + " says " + req.Value)
		return ack, nil
	})
	var heard string
	HandleOneWay(mux, func(_ context.Context, from string, req *blob) error {
		heard = from + ": " + string(req.Value)
		return nil
	})
	reply, err := mux.Dispatch(t.Context(), "alice", 1, encode(t, askFor("hello")))
	if ack, ok := reply.(*blob); err != nil || !ok || string(ack.Value) != "alice says hello" {
		t.Errorf("reply %v, %v", reply, err)
	}
	if reply, err = mux.Dispatch(t.Context(), "alice", 1, encode(t, askFor("nothing"))); reply != nil || err != nil {
		t.Errorf("reply %v, %v, want none", reply, err)
	}
	b := &blob{}
	b.Value = []byte("bye")
	if reply, err = mux.Dispatch(t.Context(), "bob", 2, encode(t, b)); reply != nil || err != nil || heard != "bob: bye" {
		t.Errorf("one way: reply %v, %v, heard %q", reply, err, heard)
	}
	if !mux.Handles(1) || !mux.Handles(2) || mux.Handles(3) || mux.Handles(0) {
		t.Error("Handles is wrong")
	}
}

// What a handler keeps of a message is its own: the body may be reused.
func TestBodyMayBeReused(t *testing.T) {
	mux := New[int]()
	var kept *blob
	HandleOneWay(mux, func(_ context.Context, _ int, req *blob) error { kept = req; return nil })
	b := &blob{}
	b.Value = []byte("keep me")
	body := encode(t, b)
	if _, err := mux.Dispatch(t.Context(), 0, 2, body); err != nil {
		t.Fatal(err)
	}
	clear(body)
	if string(kept.Value) != "keep me" {
		t.Errorf("kept %q", kept.Value)
	}
}

// Errors are Dispatch's: the handler's own, a body that is no such message, and
// an ID nobody handles.
func TestErrors(t *testing.T) {
	boom := errors.New("disk is full")
	mux := New[int]()
	Handle(mux, func(context.Context, int, *ask) (*verdict, error) { return &verdict{}, boom })
	if reply, err := mux.Dispatch(t.Context(), 0, 1, nil); reply != nil || !errors.Is(err, boom) {
		t.Errorf("%v %v", reply, err)
	}
	if reply, err := mux.Dispatch(t.Context(), 0, 1, []byte{0xff}); reply != nil || !errors.Is(err, ErrMalformed) {
		t.Errorf("%v %v", reply, err)
	}
	if reply, err := mux.Dispatch(t.Context(), 0, 77, nil); reply != nil || err == nil || err.Error() != "message ID 77: no handler" {
		t.Errorf("%v %v", reply, err)
	}
}

// code is a result enum.
type code int32

// A refusal becomes a reply with code and reason, where the reply can carry
// them; else it is an error like any other.
func TestRefuse(t *testing.T) {
	mux := New[int]()
	refusal := Refuse(code(204), "no such account as %q", "bob")
	Handle(mux, func(_ context.Context, _ int, req *ask) (*verdict, error) {
		if req.Value == "wrapped" {
			return nil, fmt.Errorf("password platform: %w", refusal)
		}
		return nil, refusal
	})
	Handle(mux, func(context.Context, int, *blob) (*ask, error) { return nil, refusal })
	HandleOneWay(mux, func(context.Context, int, *verdict) error { return refusal })
	for _, how := range []string{"plain", "wrapped"} {
		reply, err := mux.Dispatch(t.Context(), 0, 1, encode(t, askFor(how)))
		v, ok := reply.(*verdict)
		if err != nil || !ok || v.get("result").Enum() != 204 || v.get("reason").String() != `no such account as "bob"` {
			t.Errorf("%s: %v, %v", how, reply, err)
		}
	}
	for _, id := range []uint16{2, 3} { // a reply without those fields, and none at all
		reply, err := mux.Dispatch(t.Context(), 0, id, nil)
		var r *Refusal
		if reply != nil || !errors.As(err, &r) || r.Code != 204 {
			t.Errorf("message %d: %v, %v", id, reply, err)
		}
	}
	if got := refusal.Error(); got != `refused with code 204: no such account as "bob"` {
		t.Error(got)
	}
}

// A panic costs one request; the error has where it was.
func TestPanic(t *testing.T) {
	mux := New[int]()
	Handle(mux, func(_ context.Context, _ int, req *ask) (*blob, error) {
		if req.Value == "panic" {
			var names []string
			names[len(req.Value)] = req.Value
		}
		return &blob{}, nil
	})
	reply, err := mux.Dispatch(t.Context(), 0, 1, encode(t, askFor("panic")))
	var p *PanicError
	if reply != nil || !errors.As(err, &p) {
		t.Fatalf("%v, %v", reply, err)
	}
	if !strings.Contains(string(p.Stack), "mux_test.go") || !strings.Contains(p.Error(), "handler panicked: runtime error: index out of range") {
		t.Errorf("%v\n%s", p, p.Stack)
	}
	if strings.Contains(p.Error(), "goroutine") {
		t.Error("the stack is in the text")
	}
	if _, err := mux.Dispatch(t.Context(), 0, 1, nil); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// Check names each message that is missing, too much, or there twice.
func TestCheck(t *testing.T) {
	one, two := New[int](), New[string]()
	HandleOneWay(one, func(context.Context, int, *ask) error { return nil })
	if err := Check(map[uint16]string{1: "StringValue"}, one, two); err != nil {
		t.Error(err)
	}
	if err := Check(nil); err != nil {
		t.Error(err)
	}
	HandleOneWay(one, func(context.Context, int, *ask) error { return nil })
	HandleOneWay(two, func(context.Context, string, *ask) error { return nil })
	HandleOneWay(two, func(context.Context, string, *blob) error { return nil })
	err := Check(map[uint16]string{1: "StringValue", 9: "UpgradeREQ"}, one, two)
	want := "message handlers: " +
		"message BytesValue (ID 2) has a handler here, but no route brings it: set its route option in the .proto file; " +
		"message StringValue (ID 1) has handlers in two muxes; " +
		"message StringValue has two handlers (ID 1, first for StringValue); " +
		"message UpgradeREQ (ID 9) has no handler: register one with msgmux.Handle"
	if err == nil || err.Error() != want {
		t.Errorf("%v\nwant %v", err, want)
	}
}

// Any number of goroutines may dispatch.
func TestConcurrentDispatch(t *testing.T) {
	mux := New[int]()
	Handle(mux, func(_ context.Context, from int, req *ask) (*blob, error) {
		ack := &blob{}
		ack.Value = fmt.Appendf(nil, "%d %s", from, req.Value)
		return ack, nil
	})
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for j := range 200 {
				s := fmt.Sprint(j)
				reply, err := mux.Dispatch(t.Context(), i, 1, encode(t, askFor(s)))
				if err != nil || string(reply.(*blob).Value) != fmt.Sprintf("%d %s", i, s) {
					t.Errorf("%v %v", reply, err)
				}
			}
		})
	}
	all.Wait()
}

// A message costs itself and what is in it, nothing more.
func TestDispatchAllocs(t *testing.T) {
	mux := New[int]()
	HandleOneWay(mux, func(context.Context, int, *ask) error { return nil })
	empty, text := encode(t, &ask{}), encode(t, askFor("hello"))
	ctx := t.Context()
	dispatch := func(body []byte) float64 {
		return testing.AllocsPerRun(1000, func() {
			if _, err := mux.Dispatch(ctx, 0, 1, body); err != nil {
				t.Fatal(err)
			}
		})
	}
	if n := dispatch(empty); n > 1 {
		t.Errorf("%v allocations for an empty message", n)
	}
	if n := dispatch(text); n > 2 {
		t.Errorf("%v allocations for a message with a string", n)
	}
}

// What is lent comes back clean, and a message handled with it makes no garbage.
func TestLent(t *testing.T) {
	mux := New[int]()
	HandleLent(mux, func(_ context.Context, _ int, req *blob, ack *blob) error {
		if len(ack.Value) > 0 {
			t.Errorf("lent an ack that holds %q", ack.Value)
		}
		switch string(req.Value) {
		case "refuse":
			return Refuse(int32(7), "no")
		case "fail":
			return errors.New("broken")
		case "panic":
			panic("boom")
		}
		ack.Value = req.Value
		return nil
	})
	ctx := t.Context()
	for _, text := range []string{"one", "refuse", "", "fail", "two", "panic", "three"} {
		reply, err := mux.Dispatch(ctx, 0, 2, encode(t, &blob{wrapperspb.BytesValue{Value: []byte(text)}}))
		var no *Refusal
		var panicked *PanicError
		switch text {
		case "refuse":
			if !errors.As(err, &no) || no.Code != 7 { // blob has no field for it
				t.Errorf("refusal: %v", err)
			}
		case "fail":
			if err == nil || errors.As(err, &no) {
				t.Errorf("failure: %v", err)
			}
		case "panic":
			if !errors.As(err, &panicked) {
				t.Errorf("panic: %v", err)
			}
		default:
			if err != nil {
				t.Fatal(err)
			}
			got, err := reply.AppendTo(nil)
			if err != nil || string(got) != string(encode(t, &blob{wrapperspb.BytesValue{Value: []byte(text)}})) || reply.MsgID() != 2 {
				t.Errorf("%q: reply %x, %v, ID %d", text, got, err, reply.MsgID())
			}
		}
		Free(reply)
	}
	Free(&ask{}) // one that was not lent
	if _, err := mux.Dispatch(ctx, 0, 2, []byte{0xff}); !errors.Is(err, ErrMalformed) {
		t.Errorf("malformed: %v", err)
	}
}

// A refusal goes into a lent reply that can carry it.
func TestLentRefusal(t *testing.T) {
	mux := New[int]()
	HandleLent(mux, func(context.Context, int, *ask, *verdict) error { return Refuse(int32(3), "not now") })
	reply, err := mux.Dispatch(t.Context(), 0, 1, encode(t, askFor("x")))
	if err != nil {
		t.Fatal(err)
	}
	m := reply.ProtoReflect()
	if got := m.Get(verdictType().Fields().ByName("reason")).String(); got != "not now" {
		t.Errorf("reason %q", got)
	}
	Free(reply)
}

func BenchmarkDispatch(b *testing.B) {
	mux := New[int]()
	reply := &blob{}
	Handle(mux, func(context.Context, int, *ask) (*blob, error) { return reply, nil })
	body := encode(b, askFor("hello"))
	ctx := b.Context()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := mux.Dispatch(ctx, 0, 1, body); err != nil {
			b.Fatal(err)
		}
	}
}
