package crew

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/svc/robot/robotapi"
)

// nth is when faults happen: late enough that robots are on their way.
const nth = 7

// on spoils the nth frame of a message ID.
func on(id uint16, spoil func(c *foreignClient, frame []byte) [][]byte) faults {
	return faults{frame: func(c *foreignClient, is uint16, n int, frame []byte) [][]byte {
		if is == id && n == nth {
			return spoil(c, frame)
		}
		return [][]byte{frame}
	}}
}

func drop(*foreignClient, []byte) [][]byte           { return nil }
func double(_ *foreignClient, frame []byte) [][]byte { return [][]byte{frame, frame} }

func corrupt(_ *foreignClient, frame []byte) [][]byte {
	frame[len(frame)-1] ^= 0x20
	return [][]byte{frame}
}

func garble(_ *foreignClient, frame []byte) [][]byte {
	return [][]byte{append(bytes.Clone(frame[:2]), 0xff, 0xff)}
}

// misroute gives one robot's reply to another.
func misroute(c *foreignClient, frame []byte) [][]byte {
	for _, other := range c.srv.clients {
		if other != c {
			other.Send(frame, nil)
			break
		}
	}
	return nil
}

// swap holds the nth frame of a message ID back until the next of the same kind
// has been sent.
func swap(id uint16, same func(a, b []byte) bool) faults {
	return faults{frame: func(c *foreignClient, is uint16, n int, frame []byte) [][]byte {
		switch {
		case is == id && n == nth:
			c.held = frame
			return nil
		case is == id && c.held != nil && same(c.held, frame):
			held := c.held
			c.held = nil
			return [][]byte{frame, held}
		}
		return [][]byte{frame}
	}}
}

func anyTwo(_, _ []byte) bool { return true }

// sameStream reports whether two lines are of one sender to the same.
func sameStream(a, b []byte) bool {
	x, y := lineOf(a), lineOf(b)
	return x.From == y.From && x.Room == y.Room && x.To == y.To
}

// hangUp ends the connection, with a reason, instead of a message: whether what it
// answers was done the client cannot know.
func hangUp(c *foreignClient, _ []byte) [][]byte {
	c.reply(&pb.RejectACK{Code: pb.ResultCode_ShuttingDown})
	c.Close(nil)
	return nil
}

// cutOff is hangUp without a reason.
func cutOff(c *foreignClient, _ []byte) [][]byte { c.Close(nil); return nil }

// gap makes faults happen on connections that are hung up before a message of
// that ID.
func gap(id uint16, f faults) faults {
	frame := f.frame
	f.frame = func(c *foreignClient, is uint16, n int, b []byte) [][]byte {
		switch {
		case is == id && n == nth:
			return hangUp(c, b)
		case frame == nil:
			return [][]byte{b}
		}
		return frame(c, is, n, b)
	}
	return f
}

// changing spoils a player after every nth change of a kind.
func changing(id uint16, spoil func(p *foreignPlayer, before foreignPlayer)) faults {
	return faults{change: func(p *foreignPlayer, before foreignPlayer, is uint16, n int) {
		if is == id && n%nth == 0 {
			spoil(p, before)
		}
	}}
}

// forget undoes a change that is acknowledged.
func forget(p *foreignPlayer, before foreignPlayer) {
	p.level, p.money, p.revision = before.level, before.money, before.revision
}

// twice does a claim once more than it tells.
func twice(p *foreignPlayer, before foreignPlayer) {
	p.money += p.money - before.money
	p.revision++
}

func mint(p *foreignPlayer, _ foreignPlayer) { p.money += 1000 }

// Every promise can be broken, and the right complaint is made, about each of
// two robots.
func TestFaultsAreCaught(t *testing.T) {
	const (
		missing, doubled, reordered, wrong           = robotapi.ReplyMissing, robotapi.ReplyDoubled, robotapi.ReplyReordered, robotapi.ReplyWrong
		lost, more, money                            = robotapi.ChangeLost, robotapi.ChangeDoubled, robotapi.Money
		lineMissing, lineDoubled, lineOut, lineWrong = robotapi.LineMissing, robotapi.LineDoubled, robotapi.LineReordered, robotapi.LineWrong
	)
	echo, upgrade, claim, say, line := pb.EchoACKID, pb.UpgradeACKID, pb.ClaimREQID, pb.SayACKID, pb.LineACKID
	for _, test := range []struct {
		name     string
		faults   faults
		scenario string
		inflight int
		want     string // kinds
	}{
		{"drop", on(echo, drop), "echo", 1, missing},
		{"drop", on(echo, drop), "echo", 4, missing},
		{"double", on(echo, double), "echo", 1, doubled},
		{"double", on(echo, double), "echo", 4, doubled},
		{"swap", swap(echo, anyTwo), "echo", 4, reordered},
		{"corrupt", on(echo, corrupt), "echo", 1, wrong},
		{"corrupt", on(echo, corrupt), "echo", 4, wrong},
		{"garble", on(echo, garble), "echo", 4, wrong},
		{"drop", on(pb.ChatACKID, drop), "broadcast", 4, lineMissing},
		{"double", on(pb.ChatACKID, double), "broadcast", 4, lineDoubled},
		{"corrupt", on(pb.ChatACKID, corrupt), "broadcast", 4, lineMissing + ", " + lineWrong},

		{"drop", on(upgrade, drop), "grow", 1, missing},
		{"drop", on(upgrade, drop), "grow", 4, missing},
		{"double", on(upgrade, double), "grow", 1, doubled},
		{"swap", swap(upgrade, anyTwo), "grow", 4, reordered},
		{"garble", on(upgrade, garble), "grow", 1, missing + ", " + wrong},
		{"forget an upgrade", changing(pb.UpgradeREQID, forget), "grow", 1, lost + ", " + money},
		{"forget an upgrade", changing(pb.UpgradeREQID, forget), "play", 1, lost + ", " + money},
		{"claim twice", changing(claim, twice), "grow", 1, more + ", " + money},
		{"mint money", changing(claim, mint), "grow", 1, money},
		{"do again what comes again", faults{forgetful: true}, "grow", 1, more + ", " + money},

		{"drop a line", on(line, drop), "chat", 1, lineMissing},
		{"double a line", on(line, double), "chat", 1, lineDoubled},
		{"swap two lines", swap(line, sameStream), "chat", 1, lineOut},
		{"drop a reply", on(say, drop), "chat", 1, missing},
		{"double a reply", on(say, double), "chat", 1, doubled},
		{"in another's name", on(line, retold(func(l *pb.LineACK_Line) { l.From = "somebody" })), "chat", 1, lineMissing + ", " + lineWrong},
		{"another text", on(line, retold(func(l *pb.LineACK_Line) { l.Text = "x" + l.Text })), "chat", 1, lineMissing + ", " + lineWrong},
		{"never said", on(line, retold(func(l *pb.LineACK_Line) { l.Text = l.Text + "9999" })), "chat", 1, lineMissing + ", " + lineWrong},
		{"heard though refused", on(say, refuse), "chat", 1, lineWrong},

		{"close without a reason", on(echo, cutOff), "echo", 1, robotapi.CloseUnexplained},

		// What is broken over a gap, when a robot comes back and asks again.
		{"hang up, and do again what comes again", gap(pb.ClaimACKID, faults{forgetful: true}), "grow", 1, more + ", " + money},
		{"hang up, and forget an upgrade", gap(pb.ClaimACKID, changing(pb.UpgradeREQID, forget)), "grow", 1, lost + ", " + money},
		{"hang up, and mint money", gap(pb.ClaimACKID, changing(claim, mint)), "grow", 1, money},
		{"hang up, and drop a line", gap(say, on(line, drop)), "chat", 1, lineMissing},
		{"hand over twice", gap(say, faults{sticky: true}), "chat", 1, lineDoubled},
		{"hand over nothing", gap(say, spoil(func(m *pb.LineACK) bool { return !m.Missed })), "chat", 1, lineMissing},

		{"forget a topic", spoil(func(m *pb.JoinACK) bool { m.Topic = ""; return true }), "chat", 1, lost},
		{"a topic that nobody set", spoil(func(m *pb.JoinACK) bool { m.Topic += "9"; return true }), "chat", 1, wrong},
		{"another text in the history", spoil(func(m *pb.HistoryACK) bool { return retell(m, func(l *pb.LineACK_Line) { l.Text = "x" + l.Text }) }), "chat", 1, robotapi.History},
		{"another ID in the history", spoil(func(m *pb.HistoryACK) bool { return retell(m, func(l *pb.LineACK_Line) { l.Id = 1 << 40 }) }), "chat", 1, robotapi.History},
		{"not let go", faults{frame: func(c *foreignClient, id uint16, _ int, frame []byte) [][]byte {
			if id == pb.LeaveACKID {
				c.rooms["tavern-0"] = true
			}
			return [][]byte{frame}
		}}, "chat", 1, lineWrong},
	} {
		t.Run(fmt.Sprint(test.scenario, test.inflight, " ", test.name), func(t *testing.T) {
			t.Parallel()
			kindsOf := func(r *robotapi.Report) string {
				var all []string
				for _, v := range r.Violations {
					all = append(all, v.Kind)
				}
				slices.Sort(all)
				return strings.Join(slices.Compact(all), ", ")
			}
			bothIn := func(r *robotapi.Report) bool {
				robots := map[string]bool{}
				for _, v := range r.Violations {
					robots[v.Robot] = true
				}
				few := r.ViolationCount == int64(len(r.Violations)) // else the first that are told may be all of one robot
				return !few || robots["robot0"] && robots["robot1"]
			}
			f := startForeign(t, test.faults)
			report, out, err := runSpoiled(t, func(r *robotapi.Report) bool { return kindsOf(r) == test.want && bothIn(r) },
				"-noverify-token", "-agent="+f.addr, "-n=2", "-scenario="+test.scenario, fmt.Sprint("-inflight=", test.inflight), "-think=1ms")
			if err == nil || !strings.Contains(err.Error(), "promises broken") {
				t.Fatalf("error is %v\n%s", err, out)
			}
			for _, v := range report.Violations {
				if v.At <= 0 || v.Expected == "" || v.Seen == "" || !strings.Contains(out, v.Expected+"; seen "+v.Seen) {
					t.Errorf("not told in full: %+v", v)
				}
			}
			if got := kindsOf(report); got != test.want || !bothIn(report) {
				t.Errorf("violations are %q, want %q of both robots:\n%s", got, test.want, out)
			}
		})
	}
}

// spoil changes all messages of a kind, or drops those for which change says so by
// false.
func spoil[M any, P interface {
	*M
	pb.Message
}](change func(m *M) bool) faults {
	var zero P
	return faults{frame: func(_ *foreignClient, id uint16, _ int, frame []byte) [][]byte {
		if id != zero.MsgID() {
			return [][]byte{frame}
		}
		m := P(new(M))
		if err := proto.Unmarshal(frame[2:], m); err != nil {
			panic(err)
		}
		if !change((*M)(m)) {
			return nil
		}
		body, err := proto.Marshal(m)
		if err != nil {
			panic(err)
		}
		return [][]byte{append(bytes.Clone(frame[:2]), body...)}
	}}
}

// retell changes the newest line of a history.
func retell(m *pb.HistoryACK, change func(l *pb.LineACK_Line)) bool {
	if len(m.Lines) > 0 {
		change(m.Lines[len(m.Lines)-1])
	}
	return true
}

// retold changes a line.
func retold(change func(l *pb.LineACK_Line)) func(*foreignClient, []byte) [][]byte {
	return func(_ *foreignClient, frame []byte) [][]byte {
		l := lineOf(frame)
		change(l)
		body, err := proto.Marshal(&pb.LineACK{Lines: []*pb.LineACK_Line{l}})
		if err != nil {
			panic(err)
		}
		return [][]byte{append(binary.LittleEndian.AppendUint16(nil, pb.LineACKID), body...)}
	}
}

// refuse tells the sender of a line that it was not taken, before others hear it.
func refuse(_ *foreignClient, frame []byte) [][]byte {
	var m pb.SayACK
	if err := proto.Unmarshal(frame[2:], &m); err != nil {
		panic(err)
	}
	m.Result = pb.ResultCode_Muted
	body, err := proto.Marshal(&m)
	if err != nil {
		panic(err)
	}
	return [][]byte{append(binary.LittleEndian.AppendUint16(nil, pb.SayACKID), body...)}
}
