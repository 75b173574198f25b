package link

import (
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"sync/atomic"

	"google.golang.org/protobuf/proto"

	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/util/cellnet"
)

// Link is one established link. Its exported fields never change.
type Link struct {
	ID    string // the peer's svcid
	Name  string // its parts
	Group string
	Index int
	Epoch uint64 // of the peer's registration

	links   *Links
	session *cellnet.Session
	dialed  bool // by us

	// Owned by the goroutine that reads the link.
	receiver Receiver
	taking   []taking
	handling bool // a batch has begun

	heard atomic.Uint32 // grows when a batch begins and when it ends: odd while one is handled

	// Owned by the pulse.
	seen   uint32 // heard at the last pulse
	silent int    // pulses since heard has grown
}

// taking is a receiver of one control message.
type taking struct {
	id uint16
	Receiver
}

// Append puts a message into what is about to be written, without writing it.
// first tells that nobody else is going to: the caller must Flush when its
// batch is over. The error is cellnet.ErrFull if the peer does not keep up (the
// message was not taken, the link lives), cellnet.ErrSealed if it is a client's and
// they were ended by Seal, cellnet.ErrFrameTooLarge if the message can never be
// sent; anything else means that the link has ended.
// Append never blocks.
func (l *Link) Append(kind Kind, client uint64, id uint16, body []byte) (first bool, err error) {
	var head [headLen]byte
	putHead(&head, kind, id, client)
	return l.session.Append(head[:], body)
}

// Seal ends the messages of clients in our direction: when it returns, Append has
// taken the last one of kind ToClient. The link lives.
func (l *Link) Seal() { l.session.Seal(byte(ToClient)) }

// Flush writes what was appended. It does not block.
func (l *Link) Flush() { l.session.Flush() }

// Send appends and flushes one control message about client (0: about none).
// The two sides of a link agree on what was said between them: a message that
// finds no room because the peer does not keep up ends the link with ErrBehind.
// To send what may be lost, Append it. Send never blocks.
func (l *Link) Send(client uint64, m pb.Message) error {
	err := sendControl(l.session, client, m)
	if errors.Is(err, cellnet.ErrFull) {
		l.session.Abort(ErrBehind)
		return ErrBehind
	}
	return err
}

// HandOff lets another goroutine read the link while Receiver.Frame is still
// running, because it takes long; Frame must then return cellnet.ErrHandedOff.
// See cellnet.Session.HandOff for what the caller must know.
func (l *Link) HandOff() { l.session.HandOff() }

// More tells Receiver.Frame, which alone may ask, whether more frames of the link
// have arrived already.
func (l *Link) More() bool { return l.session.More() }

// Ended reports whether the link has ended and why; nil while it stands.
func (l *Link) Ended() error { return l.session.Reason() }

// Pending is the number of bytes waiting to be written.
func (l *Link) Pending() int { return l.session.Pending() }

// Close ends the link after what was appended has been written; the dialing
// side will dial again.
func (l *Link) Close(reason error) { l.session.Close(reason) }

func sendControl(s *cellnet.Session, client uint64, m pb.Message) error {
	body, err := proto.Marshal(m)
	if err != nil {
		return fmt.Errorf("encode %s: %w", pb.MessageName(m.MsgID()), err)
	}
	var head [headLen]byte
	putHead(&head, Control, m.MsgID(), client)
	return s.Send(head[:], body)
}

func (l *Link) opened() {
	l.links.cfg.Log.Info("linked", "peer", l.ID)
	open, ok := l.links.receive[l.Name]
	if !ok {
		open = l.links.receive[""]
	}
	if open != nil {
		l.receiver = open(l)
	}
	for _, t := range l.links.takers {
		if r := t.open(l); r != nil {
			l.taking = append(l.taking, taking{t.id, r})
		}
	}
	for _, f := range l.links.up {
		f(l)
	}
}

// frame hands one frame to whom it is for. A handler that panics ends the link
// and nothing else: what it was about to do for this peer is begun anew on the
// next link.
func (l *Link) frame(b []byte) (err error) {
	if !l.handling {
		l.handling = true
		l.heard.Add(1)
	}
	f, err := parseFrame(b)
	if err != nil {
		return err
	}
	defer l.recover(f.ID, &err)
	if f.Kind == Control {
		return l.control(f)
	}
	if l.receiver == nil {
		return fmt.Errorf("link: %s relayed message ID %d, but nobody here takes clients' messages from it", l.ID, f.ID)
	}
	return l.receiver.Frame(f)
}

func (l *Link) control(f Frame) error {
	for i := range l.taking {
		if l.taking[i].id == f.ID {
			return l.taking[i].Frame(f)
		}
	}
	if h, ok := l.links.control[f.ID]; ok {
		return h(l, f.Client, f.Body)
	}
	if f.ID != pulseID { // a newer peer may say more than we understand
		l.links.cfg.Log.Debug("control message not handled here", "peer", l.ID, "message", pb.MessageName(f.ID), "id", f.ID)
	}
	return nil
}

// recover, deferred, makes a panic while message id was handled the error.
func (l *Link) recover(id uint16, err *error) {
	if v := recover(); v != nil {
		l.links.cfg.Log.Error("handler of a link panicked", "peer", l.ID, "message", pb.MessageName(id), "id", id, "panic", v, "stack", string(debug.Stack()))
		*err = fmt.Errorf("link: the handler of message ID %d panicked: %v", id, v)
	}
}

func (l *Link) batch() {
	if !l.handling {
		return
	}
	if l.receiver != nil {
		l.receiver.Batch()
	}
	for _, t := range l.taking {
		t.Batch()
	}
	l.handling = false
	l.heard.Add(1)
}

func (l *Link) closed(reason error) {
	l.links.remove(l)
	if l.receiver != nil {
		l.receiver.Down(reason)
	}
	for _, t := range l.taking {
		t.Down(reason)
	}
	for _, f := range l.links.down {
		f(l)
	}
	l.links.cfg.Log.Info("link ended", "peer", l.ID, "reason", inWords(reason))
}

// inWords says what an operator should read instead of EOF.
func inWords(reason error) error {
	if errors.Is(reason, io.EOF) || errors.Is(reason, io.ErrClosedPipe) {
		return errClosedByPeer
	}
	return reason
}
