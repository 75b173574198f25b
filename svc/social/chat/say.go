package chat

import (
	"context"
	"errors"
	"time"

	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/svc/agent/agentapi"
	"github.com/davyxu/cellmesh_demo/svc/social/rules"
	"github.com/davyxu/cellmesh_demo/svc/social/store"
	"github.com/davyxu/cellmesh_demo/util/msgmux"
	"github.com/davyxu/cellmesh_demo/util/sqldb"
)

// lines is the feature of clients that get a LineACK instead of a ChatACK.
const lines = uint32(pb.VerifyREQ_Lines)

// maxRequestID is the longest request ID in bytes.
const maxRequestID = 64

// chat shows a line to everybody, its sender too.
func (s *Social) chat(ctx context.Context, c *agentapi.Client, req *pb.ChatREQ) error {
	text, err := s.pass(ctx, c.Who(), req.Content, s.settings.Get().TextMax)
	if err == nil {
		s.toWorld(s.line(c.Who(), "", text))
	}
	return err
}

// say shows a line to whom it is for.
func (s *Social) say(ctx context.Context, c *agentapi.Client, req *pb.SayREQ) error {
	ack := &pb.SayACK{RequestId: req.RequestId}
	show, err := s.sayTo(ctx, c, req, ack)
	if err != nil {
		ack.Result, ack.Reason, err = s.told(c.Who(), err)
	}
	if err != nil {
		return err
	}
	// The answer goes first: who hears the own line has it, even if we die between.
	_ = c.Send(ack) // the sender is gone, and it is counted; the others hear the line
	show()
	return nil
}

// sayTo returns what is left to do when the line is acknowledged.
func (s *Social) sayTo(ctx context.Context, c *agentapi.Client, req *pb.SayREQ, ack *pb.SayACK) (show func(), err error) {
	show = func() {}
	switch {
	case req.Room != "" && req.To != "":
		return show, msgmux.Refuse(pb.ResultCode_BadRequest, "a line is for a room or for a player, not both")
	case len(req.RequestId) > maxRequestID:
		ack.RequestId = "" // else it would be a way to send a lot to oneself
		return show, msgmux.Refuse(pb.ResultCode_BadRequest, "a request ID has at most %d bytes", maxRequestID)
	case req.Room != "" && !isMember(c, req.Room):
		return show, notInRoom(req.Room)
	}
	text, err := s.pass(ctx, c.Who(), req.Text, s.settings.Get().TextMax)
	if err != nil {
		return show, err
	}
	l := s.line(c.Who(), req.Room, text)
	switch {
	case req.To != "":
		if ack.Stored, err = s.toPlayer(ctx, c, l, req.To); err != nil {
			return show, err
		}
	case req.Room != "":
		show = func() { s.toRoom(l) }
	default:
		show = func() { s.toWorld(l) }
	}
	ack.LineId = l.ID
	return show, nil
}

// pass holds a text and its author against the rules, and returns the text as
// others shall see it.
func (s *Social) pass(ctx context.Context, who agentapi.Identity, text string, most int) (string, error) {
	if mute, is := s.mutes.Muted(who.UID); is {
		return "", msgmux.Refuse(pb.ResultCode_Muted, "%s", mute.Reason())
	}
	if err := rules.Text(text, most); err != nil {
		return "", msgmux.Refuse(pb.ResultCode_TextRefused, "%v", err)
	}
	return s.filter.Pass(ctx, who.UID, text)
}

// line is a line that is said now.
func (s *Social) line(who agentapi.Identity, room, text string) store.Line {
	now := time.Now()
	return store.Line{ID: s.ids.Next(now), Room: room, From: who.UID, Name: nameOf(who), At: now, Text: text}
}

// said is how clients are told a line.
func said(l store.Line) *pb.LineACK_Line {
	return &pb.LineACK_Line{Id: l.ID, From: l.From, Name: l.Name, Room: l.Room, UnixMs: l.At.UnixMilli(), Text: l.Text}
}

func alone(l *pb.LineACK_Line) *pb.LineACK { return &pb.LineACK{Lines: []*pb.LineACK_Line{l}} }

// toWorld shows a line to everybody. The larger crowd comes last.
func (s *Social) toWorld(l store.Line) {
	s.world.Add(1)
	first := agentapi.Addressed{To: agentapi.Audience{With: lines}, Message: alone(said(l))}
	last := agentapi.Addressed{To: agentapi.Audience{Without: lines}, Message: &pb.ChatACK{Content: l.Text}}
	if s.fresh.Load() > s.old.Load() {
		first, last = last, first
	}
	s.push(first, last)
	s.recorder.Said(l)
}

// toRoom shows a line to the members of its room: who has joined one understands
// LineACK.
func (s *Social) toRoom(l store.Line) {
	s.rooms.Add(1)
	s.push(agentapi.Addressed{To: agentapi.Audience{Group: groupOf(l.Room)}, Message: alone(said(l))})
	s.recorder.Said(l)
}

// push sends to audiences. An agent that does not keep up misses it, and it is
// no fault of the sender.
func (s *Social) push(messages ...agentapi.Addressed) {
	if err := s.clients.PushTogether(messages...); err != nil {
		s.failed("line not shown to everybody", agentapi.Identity{}, err)
	}
}

// toPlayer shows a line to one player, now, or, if that player is not online, at
// the next login: then it is on the disk when toPlayer returns. The sender sees
// it, too.
func (s *Social) toPlayer(ctx context.Context, c *agentapi.Client, l store.Line, to string) (stored bool, err error) {
	delivered, err := s.deliver(ctx, to, l)
	if err != nil { // it is not known whether it got there: better twice, with the same ID, than never
		s.failed("private line is stored: its receiver's agent does not answer", c.Who(), err)
	}
	if !delivered {
		if err := s.keep(ctx, to, l); err != nil {
			return false, err
		}
		s.stored.Add(1)
		s.inbox.look(to, time.Now(), loginWindow) // in case it is coming just now
	} else {
		s.private.Add(1)
	}
	if c.Who().UID != to || !delivered {
		line := said(l)
		line.To = to
		if err := c.Send(alone(line)); err != nil { // the sender is gone, and it is counted
			return !delivered, nil
		}
	}
	return !delivered, nil
}

// deliver shows a line to a player who is online; false if the player is not.
func (s *Social) deliver(ctx context.Context, to string, l store.Line) (bool, error) {
	u, online := s.clients.Online(to)
	if !online {
		return false, nil
	}
	s.catchUp(ctx, to)
	return s.clients.Deliver(ctx, to, forOne(u, l))
}

// forOne is a private line as the client of its receiver understands it.
func forOne(u agentapi.User, l store.Line) pb.Message {
	if u.Features&lines == 0 {
		return &pb.ChatACK{Content: l.Name + " (private): " + l.Text}
	}
	line := said(l)
	line.To = u.UID
	return alone(line)
}

// keep stores a line for a player who is not online.
func (s *Social) keep(ctx context.Context, to string, l store.Line) error {
	known, err := s.logins.Known(ctx, to)
	if err == nil && !known {
		return msgmux.Refuse(pb.ResultCode_PlayerUnknown, "nobody called %.64q was ever here", to)
	}
	if err == nil {
		err = s.store.Keep(ctx, to, l, s.settings.Get().InboxMax)
	}
	if errors.Is(err, store.ErrFull) {
		return msgmux.Refuse(pb.ResultCode_InboxFull, "too many lines wait for %s already", to)
	}
	return err
}

// told is what the client is told about an error; one that it cannot help is
// left.
func (s *Social) told(who agentapi.Identity, err error) (code pb.ResultCode, reason string, left error) {
	var no *msgmux.Refusal
	switch {
	case errors.As(err, &no):
		return pb.ResultCode(no.Code), no.Reason, nil
	case errors.Is(err, sqldb.ErrUnavailable):
		s.failed("chat's database not there", who, err)
		return pb.ResultCode_ServerBusy, "the database is away: try again later", nil
	}
	return 0, "", err
}
