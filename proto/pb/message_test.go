package pb_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/davyxu/cellmesh_demo/proto/msgid"
	"github.com/davyxu/cellmesh_demo/proto/pb"
)

// What clients of 2019 have compiled in: IDs and field numbers.
func TestOldMessages(t *testing.T) {
	for _, want := range []struct {
		message pb.Message
		id      uint16
		fields  string
	}{
		{&pb.PingACK{}, 16241, ""},
		{&pb.LoginREQ{}, 18837, "version=1 string, platform=2 string, uid=3 string"},
		{&pb.LoginACK{}, 46204, "result=1 enum, server=2 message, game_token=3 string, game_svc_id=4 string"},
		{&pb.VerifyREQ{}, 13457, "game_token=1 string, game_svc_id=2 string"},
		{&pb.VerifyACK{}, 40824, "result=1 enum"},
		{&pb.ChatREQ{}, 29052, "content=1 string"},
		{&pb.ChatACK{}, 56419, "content=1 string"},
		{&pb.EchoREQ{}, 3323, "content=1 bytes"},
		{&pb.EchoACK{}, 30690, "content=1 bytes"},
	} {
		d := want.message.ProtoReflect().Descriptor()
		if got := want.message.MsgID(); got != want.id {
			t.Errorf("%s has ID %d, want %d", d.Name(), got, want.id)
		}
		if got := oldFields(d); got != want.fields {
			t.Errorf("%s has fields %q, want %q", d.Name(), got, want.fields)
		}
	}
	if got, want := oldFields((&pb.LoginACK_Server{}).ProtoReflect().Descriptor()), "ip=1 string, port=2 int32"; got != want {
		t.Errorf("LoginACK.Server has fields %q, want %q", got, want)
	}
}

// oldFields lists the fields below number 10, where new ones begin.
func oldFields(d protoreflect.MessageDescriptor) string {
	var list []string
	for i := range d.Fields().Len() {
		if f := d.Fields().Get(i); f.Number() < 10 {
			list = append(list, string(f.Name())+"="+string(rune('0'+f.Number()))+" "+f.Kind().String())
		}
	}
	return strings.Join(list, ", ")
}

func TestOldResultCodes(t *testing.T) {
	for code, want := range map[pb.ResultCode]int{
		pb.ResultCode_NoError: 0, pb.ResultCode_AgentNotFound: 101, pb.ResultCode_AgentAddressError: 102, pb.ResultCode_GameNotFound: 103,
	} {
		if int(code) != want {
			t.Errorf("%s = %d, want %d", code, code, want)
		}
	}
}

func TestGoldenBytes(t *testing.T) {
	for _, test := range []struct {
		message pb.Message
		packet  string
	}{
		{&pb.LoginREQ{Version: "1.0", Platform: "demo", Uid: "1234"}, "13 00 95 49 0a 03 31 2e 30 12 04 64 65 6d 6f 1a 04 31 32 33 34"},
		{&pb.VerifyREQ{GameToken: "verify", GameSvcId: "game#0@dev"}, "16 00 91 34 0a 06 76 65 72 69 66 79 12 0a 67 61 6d 65 23 30 40 64 65 76"},
		{&pb.ChatREQ{Content: "hello"}, "09 00 7c 71 0a 05 68 65 6c 6c 6f"},
		{&pb.PingACK{}, "02 00 71 3f"},
	} {
		want, err := hex.DecodeString(strings.ReplaceAll(test.packet, " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		body, err := proto.Marshal(test.message)
		if err != nil {
			t.Fatal(err)
		}
		var packet []byte
		packet = binary.LittleEndian.AppendUint16(packet, uint16(2+len(body)))
		packet = binary.LittleEndian.AppendUint16(packet, test.message.MsgID())
		packet = append(packet, body...)
		if !bytes.Equal(packet, want) {
			t.Errorf("%T is % x, want % x", test.message, packet, want)
		}
		back := test.message.ProtoReflect().New().Interface()
		if err := proto.Unmarshal(want[4:], back); err != nil || !proto.Equal(back, test.message) {
			t.Errorf("% x reads as %v (%v), want %v", want[4:], back, err, test.message)
		}
	}
}

// The generated list agrees with itself, with the descriptors and with the hash.
func TestMessages(t *testing.T) {
	infos := pb.Messages()
	if !slices.IsSortedFunc(infos, func(a, b pb.MessageInfo) int { return strings.Compare(a.Name, b.Name) }) {
		t.Error("Messages is not sorted by name")
	}
	listed := map[protoreflect.FullName]bool{}
	for _, info := range infos {
		m := info.New()
		listed[m.ProtoReflect().Descriptor().FullName()] = true
		if name := string(m.ProtoReflect().Descriptor().Name()); name != info.Name {
			t.Errorf("New of %s makes a %s", info.Name, name)
		}
		if m.MsgID() != info.ID || pb.MessageName(info.ID) != info.Name {
			t.Errorf("%s: ID %d, MsgID %d, name of the ID %q", info.Name, info.ID, m.MsgID(), pb.MessageName(info.ID))
		}
		if !info.Explicit && info.ID != msgid.Of(info.Name) {
			t.Errorf("%s: ID %d is not the hash of its name, and not said to be explicit", info.Name, info.ID)
		}
	}
	for _, file := range []protoreflect.FileDescriptor{pb.File_proto_client_proto, pb.File_proto_cluster_proto} {
		for i := range file.Messages().Len() {
			if name := file.Messages().Get(i).FullName(); !listed[name] {
				t.Errorf("%s is not in Messages", name)
			}
		}
	}
	if name := pb.MessageName(0); name != "" {
		t.Errorf("MessageName(0) = %q, want none", name)
	}
}

// The routes in the list are the options in the .proto files.
func TestRoutes(t *testing.T) {
	for _, info := range pb.Messages() {
		d := info.New().ProtoReflect().Descriptor()
		route := proto.GetExtension(d.Options(), pb.E_Route).(*pb.Route)
		var field uint32
		if name := route.GetSvcidField(); name != "" {
			field = uint32(d.Fields().ByName(protoreflect.Name(name)).Number())
		}
		if info.Service != route.GetService() || info.Rule != route.GetRule() || info.MaxSize != route.GetMaxSize() ||
			info.Rate != route.GetRate() || info.Burst != route.GetBurst() || info.SvcIDField != field {
			t.Errorf("%s: listed as %+v, the option says %v", info.Name, info, route)
		}
		if file := d.ParentFile().Path(); file == "proto/cluster.proto" && (info.Service != "" || info.Rule != pb.Rule_BLOCKED) {
			t.Errorf("%s is between services and has a route: clients could send it", info.Name)
		}
	}
}

func TestHandledBy(t *testing.T) {
	names := func(service string) (list []string) {
		for _, info := range pb.HandledBy(service) {
			list = append(list, info.Name)
		}
		return list
	}
	for service, want := range map[string]string{"agent": "PingACK", "login": "LoginREQ", "game": "VerifyREQ", "social": "ChatREQ"} {
		if got := names(service); !slices.Contains(got, want) {
			t.Errorf("HandledBy(%q) = %q, want %s in it", service, got, want)
		}
	}
	for _, service := range []string{"", "nobody"} {
		if got := names(service); len(got) > 0 {
			t.Errorf("HandledBy(%q) = %q, want none", service, got)
		}
	}
}

func TestMessageNameAllocs(t *testing.T) {
	if n := testing.AllocsPerRun(100, func() { _ = pb.MessageName(pb.ChatREQID) }); n != 0 {
		t.Errorf("MessageName allocates %v times", n)
	}
}
