package scenario

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/svc/robot/player"
	"github.com/davyxu/cellmesh_demo/svc/robot/robotapi"
)

// echoMark is what the content of an echo begins with: robot u32 LE, seed u32
// LE, number of the request u64 LE. Filling follows, which depends on all three.
const echoMark = 16

// echoer is one robot's part in echo. It encodes by itself: a round trip is to
// cost the robot as little as it can.
type echoer struct {
	r      *player.Robot
	window *player.Window
	fill   *filling
	head   []byte // message ID, protobuf head of the content, mark; the numbers change
	mark   []byte // the end of head
	size   int    // of the content
}

func echo(r *player.Robot) { r.Pace(newEchoer(r).send) }

func newEchoer(r *player.Robot) *echoer {
	o := r.Run().Options
	e := &echoer{
		r: r, window: player.NewWindow(r, "echo"), size: max(o.Size, echoMark),
		fill: player.Shared(r, func(run *player.Run) *filling { return newFilling(run.Seed, run.Size) }),
	}
	e.head = binary.LittleEndian.AppendUint16(nil, pb.EchoREQID)
	e.head = protowire.AppendTag(e.head, 1, protowire.BytesType)
	e.head = protowire.AppendVarint(e.head, uint64(e.size))
	e.head = append(e.head, make([]byte, echoMark)...)
	e.mark = e.head[len(e.head)-echoMark:]
	binary.LittleEndian.PutUint32(e.mark, uint32(r.Index))
	binary.LittleEndian.PutUint32(e.mark[4:], uint32(o.Seed))

	done := r.Op("echo")
	r.Hear(o.EchoID, func(body []byte) {
		number, mine := e.check(body)
		if !mine {
			return
		}
		if due, ok := e.window.Answered(number); ok {
			r.Record(done, due)
			r.Again()
		}
	})
	r.OnRefused(pb.EchoREQID, func(pb.ResultCode) {
		e.window.Refused()
		r.After(player.AfterRefusal, r.Again)
	})
	return e
}

func (e *echoer) send(due time.Duration) {
	number := e.window.Sent(due)
	binary.LittleEndian.PutUint64(e.mark[8:], number)
	e.r.SendRaw(e.head, e.fill.of(e.r.Index, number, e.size-echoMark))
}

// check holds a reply against what was sent and returns the number of the
// request it answers. mine is false for a reply that is another robot's.
func (e *echoer) check(body []byte) (number uint64, mine bool) {
	content, ok := bytesField(body, 1)
	if !ok || len(content) < echoMark || !bytes.Equal(content[4:8], e.mark[4:8]) {
		e.r.Violation(robotapi.ReplyWrong, fmt.Sprintf("the reply to echo #%d or a later one", e.window.Oldest()), fmt.Sprintf("garbled: % x", body))
		return e.window.Oldest(), e.window.Owed() > 0 // of which one it was the reply nobody knows: most likely of this
	}
	robot := int(binary.LittleEndian.Uint32(content))
	number = binary.LittleEndian.Uint64(content[8:])
	switch {
	case robot != e.r.Index && robot < e.r.Run().Robots:
		e.r.Violation(robotapi.ReplyWrong, fmt.Sprintf("replies to %s", e.r.UID), fmt.Sprintf("the reply to echo #%d of another robot, that with index %d", number, robot))
		return 0, false
	case robot != e.r.Index || !bytes.Equal(content[echoMark:], e.fill.of(e.r.Index, number, e.size-echoMark)):
		e.r.Violation(robotapi.ReplyWrong, fmt.Sprintf("what echo #%d was sent with", number), fmt.Sprintf("it differs: % x", content))
		if robot != e.r.Index || !e.window.Awaits(number) {
			number = e.window.Oldest()
		}
	}
	return number, true
}

// bytesField returns field number of an encoded message that has only this
// field. Decoding it would copy.
func bytesField(body []byte, number protowire.Number) ([]byte, bool) {
	n, typ, size := protowire.ConsumeTag(body)
	if size < 0 || n != number || typ != protowire.BytesType {
		return nil, false
	}
	content, read := protowire.ConsumeBytes(body[size:])
	if read < 0 || size+read != len(body) {
		return nil, false
	}
	return content, true
}

// filling is where contents take their bytes from: a different stretch for
// every robot and number, so that mixed up replies are told apart by all of
// their bytes.
type filling struct{ table []byte }

const fillingStretches = 4093 // a prime, so that numbers and robots go through all of them

func newFilling(seed uint64, size int) *filling {
	f := &filling{table: make([]byte, fillingStretches+size)}
	random(seed, f.table)
	return f
}

func (f *filling) of(robot int, number uint64, size int) []byte {
	at := (uint64(robot)*61 + number) % fillingStretches
	return f.table[at : at+uint64(size)]
}
