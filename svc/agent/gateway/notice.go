package gateway

import (
	"context"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/util/msgmux"
)

// maxNotice is the longest notice in characters.
const maxNotice = 1000

// maxNotices is how many notices are remembered, so that one that comes again,
// because whoever asked has not heard our answer, is not shown again.
const maxNotices = 256

// notices are those shown lately.
type notices struct {
	mu    sync.Mutex
	seen  map[uint64]uint32 // by ID: by how many clients
	order []uint64          // oldest first
}

// notice shows the operator's words to one client, a group, or all.
func (g *Gateway) notice(_ context.Context, from string, q *pb.NoticeREQ) (*pb.NoticeACK, error) {
	if err := checkNotice(q); err != nil {
		return nil, err
	}
	g.notices.mu.Lock()
	defer g.notices.mu.Unlock()
	if seen, again := g.notices.seen[q.Id]; again {
		return &pb.NoticeACK{Seen: seen}, nil
	}
	seen, err := g.showNotice(q)
	if err != nil {
		return nil, err
	}
	g.notices.note(q.Id, seen)
	g.log.Info("notice", "from", from, "id", q.Id, "uid", q.Uid, "group", q.Group, "seen", seen)
	return &pb.NoticeACK{Seen: seen}, nil
}

func checkNotice(q *pb.NoticeREQ) error {
	switch n := utf8.RuneCountInString(q.Text); {
	case strings.TrimSpace(q.Text) == "" || n > maxNotice:
		return msgmux.Refuse(pb.ResultCode_TextRefused, "a notice has 1 to %d characters, not %d", maxNotice, n)
	case strings.ContainsFunc(q.Text, unicode.IsControl):
		return msgmux.Refuse(pb.ResultCode_TextRefused, "control characters are not allowed in a notice")
	case q.Id == 0:
		return msgmux.Refuse(pb.ResultCode_BadRequest, "a notice has an ID, so that nobody sees it twice")
	case q.Uid != "" && q.Group != "":
		return msgmux.Refuse(pb.ResultCode_BadRequest, "a notice is for a uid or for a group, not for both")
	}
	return nil
}

// note remembers a notice. The caller holds mu.
func (n *notices) note(id uint64, seen uint32) {
	if n.seen == nil {
		n.seen = map[uint64]uint32{}
	}
	if len(n.order) == maxNotices {
		delete(n.seen, n.order[0])
		n.order = n.order[1:]
	}
	n.seen[id] = seen
	n.order = append(n.order, id)
}

// showNotice sends a notice to clients in the form that each understands, and
// counts them.
func (g *Gateway) showNotice(q *pb.NoticeREQ) (seen uint32, err error) {
	text, err := encode(&pb.ChatACK{Content: q.Text})
	if err != nil {
		return 0, err
	}
	line, err := encode(&pb.LineACK{Lines: []*pb.LineACK_Line{{
		Id: q.Id, Kind: pb.LineACK_Notice, UnixMs: time.Now().UnixMilli(), Text: q.Text,
	}}})
	if err != nil {
		return 0, err
	}
	show := func(c *client) {
		if c.user.Load() == nil {
			return
		}
		frame := text
		if c.understands(pb.VerifyREQ_Lines) {
			frame = line
		}
		if c.session.Send(frame, nil) == nil { // if it fails the session has ended
			seen++
		}
	}
	switch {
	case q.Uid != "":
		if c := g.users.client(q.Uid); c != nil {
			show(c)
		}
	case q.Group != "":
		g.groups.each([]byte(q.Group), show)
	default:
		g.slots.each(show)
	}
	return seen, nil
}
