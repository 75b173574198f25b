package chat

import (
	"context"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/svc/agent/agentapi"
	"github.com/davyxu/cellmesh_demo/svc/social/rules"
	"github.com/davyxu/cellmesh_demo/svc/social/store"
	"github.com/davyxu/cellmesh_demo/util/msgmux"
)

// groupPrefix begins the names of groups that are rooms.
const groupPrefix = "room/"

func groupOf(room string) string { return groupPrefix + room }

// roomsOf are the rooms that the client is in.
func roomsOf(c *agentapi.Client) (rooms []string) {
	for _, group := range c.Groups() {
		if room, is := strings.CutPrefix(group, groupPrefix); is {
			rooms = append(rooms, room)
		}
	}
	return rooms
}

func isMember(c *agentapi.Client, room string) bool { return slices.Contains(roomsOf(c), room) }

func notInRoom(room string) error {
	return msgmux.Refuse(pb.ResultCode_NotInRoom, "you are not in room %q: join it first", room)
}

// readPatience is how long a client waits for topic and history. It may read
// what it wants of them later.
const readPatience = 2 * time.Second

// join makes the client a member of a room. Those who are there see it, if it
// was not one already.
func (s *Social) join(ctx context.Context, c *agentapi.Client, req *pb.JoinREQ) (*pb.JoinACK, error) {
	ack := &pb.JoinACK{Room: req.Room}
	if err := s.enter(ctx, c, req.Room); err != nil {
		ack.Result, ack.Reason, err = s.told(c.Who(), err)
		return ack, err
	}
	n, err := s.clients.CountMembers(ctx, groupOf(req.Room))
	if err != nil {
		s.failed("members of a room not counted at all agents", c.Who(), err)
	}
	ack.Members = uint32(n)
	ctx, cancel := context.WithTimeout(ctx, readPatience)
	defer cancel()
	if ack.Topic, err = s.store.Topic(ctx, req.Room); err != nil {
		s.failed("topic of a room not read", c.Who(), err)
	}
	history, err := s.recorder.History(ctx, req.Room, 0, s.settings.Get().JoinLines)
	if err != nil {
		s.failed("history of a room not read", c.Who(), err)
	}
	ack.History = fit(history)
	return ack, nil
}

// enter is join without what is answered.
func (s *Social) enter(ctx context.Context, c *agentapi.Client, room string) error {
	if err := rules.Room(room); err != nil {
		return msgmux.Refuse(pb.ResultCode_RoomNameRefused, "%v", err)
	}
	rooms := roomsOf(c)
	if slices.Contains(rooms, room) {
		return nil
	}
	if most := s.settings.Get().RoomsMax; len(rooms) >= most {
		return msgmux.Refuse(pb.ResultCode_TooManyRooms, "you are in %d rooms, as many as you may: leave one first", len(rooms))
	}
	who := c.Who()
	if shown, err := s.filter.Pass(ctx, who.UID, room); err != nil || shown != room {
		return msgmux.Refuse(pb.ResultCode_RoomNameRefused, "a room cannot be called that here")
	}
	if !s.departures.back(room, who.UID) {
		s.system(room, who.UID, nameOf(who), nameOf(who)+" joined")
	}
	return c.Join(groupOf(room))
}

// leave ends a membership. Those who stay see it.
func (s *Social) leave(_ context.Context, c *agentapi.Client, req *pb.LeaveREQ) (*pb.LeaveACK, error) {
	ack := &pb.LeaveACK{Room: req.Room}
	if !isMember(c, req.Room) {
		var err error
		ack.Result, ack.Reason, err = s.told(c.Who(), notInRoom(req.Room))
		return ack, err
	}
	if err := c.Leave(groupOf(req.Room)); err != nil {
		return nil, err
	}
	who := c.Who()
	s.system(req.Room, who.UID, nameOf(who), nameOf(who)+" left")
	return ack, nil
}

// system shows the members of a room what somebody has done.
func (s *Social) system(room, uid, name, text string) {
	now := time.Now()
	l := &pb.LineACK_Line{Id: s.ids.Next(now), Kind: pb.LineACK_System, From: uid, Name: name, Room: room, UnixMs: now.UnixMilli(), Text: text}
	s.push(agentapi.Addressed{To: agentapi.Audience{Group: groupOf(room)}, Message: alone(l)})
}

// topic sets what a room is about.
func (s *Social) topic(ctx context.Context, c *agentapi.Client, req *pb.TopicREQ) (*pb.TopicACK, error) {
	ack := &pb.TopicACK{Room: req.Room}
	err := s.setTopic(ctx, c, req, ack)
	if err != nil {
		ack.Result, ack.Reason, err = s.told(c.Who(), err)
	}
	return ack, err
}

func (s *Social) setTopic(ctx context.Context, c *agentapi.Client, req *pb.TopicREQ, ack *pb.TopicACK) error {
	if !isMember(c, req.Room) {
		return notInRoom(req.Room)
	}
	who := c.Who()
	text, what := "", nameOf(who)+" has taken the topic back"
	if req.Topic != "" {
		var err error
		if text, err = s.pass(ctx, who, req.Topic, s.settings.Get().TopicMax); err != nil {
			return err
		}
		what = nameOf(who) + " has set the topic: " + text
	}
	if err := s.store.SetTopic(ctx, req.Room, text, time.Now()); err != nil {
		return err
	}
	ack.Topic = text
	s.system(req.Room, who.UID, nameOf(who), what)
	s.tellTopic(ctx, req.Room, text)
	return nil
}

// tellTopic tells a room its topic, unless that is the one it was told last. Another
// social may have set it at the same time: then ours may have been the first to be
// stored and the last to be told. Agents answer behind what they were told before:
// whatever is stored after that is told after ours, too.
func (s *Social) tellTopic(ctx context.Context, room, told string) {
	for {
		_, _ = s.clients.CountMembers(ctx, groupOf(room)) // one that does not answer has its own troubles
		topic, err := s.store.Topic(ctx, room)
		if err != nil || topic == told {
			return
		}
		if told = topic; topic == "" {
			s.system(room, "", "", "there is no topic")
		} else {
			s.system(room, "", "", "the topic is: "+topic)
		}
	}
}

// maxPlayers is how many players one answer names.
const maxPlayers = 100

// who tells who is in a room, or online.
func (s *Social) who(ctx context.Context, c *agentapi.Client, req *pb.WhoREQ) (*pb.WhoACK, error) {
	ack := &pb.WhoACK{Room: req.Room}
	var users []agentapi.User
	switch {
	case req.Room == "":
		users, ack.Total = s.clients.OnlineUsers(maxPlayers), uint32(s.clients.OnlineCount())
	case !isMember(c, req.Room):
		var err error
		ack.Result, ack.Reason, err = s.told(c.Who(), notInRoom(req.Room))
		return ack, err
	default:
		var err error
		if users, err = s.clients.Members(ctx, groupOf(req.Room)); err != nil {
			s.failed("members of a room not known from all agents", c.Who(), err)
		}
		ack.Total = uint32(len(users))
	}
	for _, u := range users[:min(len(users), maxPlayers)] {
		ack.Players = append(ack.Players, &pb.WhoACK_Player{Uid: u.UID, Name: u.Name})
	}
	return ack, nil
}

// defaultHistory is how many lines who does not say how many gets.
const defaultHistory = 20

// history tells what was said.
func (s *Social) history(ctx context.Context, c *agentapi.Client, req *pb.HistoryREQ) (*pb.HistoryACK, error) {
	ack := &pb.HistoryACK{Room: req.Room}
	err := s.readHistory(ctx, c, req, ack)
	if err != nil {
		ack.Result, ack.Reason, err = s.told(c.Who(), err)
	}
	return ack, err
}

func (s *Social) readHistory(ctx context.Context, c *agentapi.Client, req *pb.HistoryREQ, ack *pb.HistoryACK) error {
	if req.Room != "" && !isMember(c, req.Room) {
		return notInRoom(req.Room)
	}
	limit := defaultHistory
	if req.Limit > 0 {
		limit = int(min(req.Limit, maxAnswer))
	}
	history, err := s.recorder.History(ctx, req.Room, req.Before, limit)
	if err != nil {
		return err
	}
	ack.Lines = fit(history)
	return nil
}

// maxBytes is how many bytes of lines one answer holds: a client frame holds
// 64 KB.
const maxBytes = 48 << 10

// fit is the newest of lines that fit into one answer.
func fit(all []store.Line) []*pb.LineACK_Line {
	var shown []*pb.LineACK_Line
	size := 0
	for _, l := range slices.Backward(all) {
		line := said(l)
		if size += proto.Size(line) + 4; size > maxBytes {
			break
		}
		shown = append(shown, line)
	}
	slices.Reverse(shown)
	return shown
}
