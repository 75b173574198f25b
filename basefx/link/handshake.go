package link

import (
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/util/cellnet"
	"github.com/davyxu/cellmesh_demo/util/discovery"
	"github.com/davyxu/cellmesh_demo/util/peerauth"
)

// protocolVersion is what both sides of a link must say; raise it when frames
// or the meaning of a control message change.
const protocolVersion = 1

// handshakeTimeout bounds the handshake.
const handshakeTimeout = 5 * time.Second

// maxHandshake is the largest frame of a handshake in bytes: the peer is still
// anybody.
const maxHandshake = 4 << 10

// shaking is a session whose handshake may not be over:
//
//	dialer                          acceptor
//	LinkHelloREQ name, nonce     ->
//	                             <- LinkHelloACK name, nonce, proof
//	LinkConfirm proof            ->
//	                             <- LinkConfirm: the link stands
//
// With a cluster secret each proves to the other that it knows it, the acceptor
// first. Whoever refuses says why, in a LinkHelloACK with a code, and closes.
// Afterwards what is read goes to the Link. All fields belong to the goroutine
// that reads the session.
type shaking struct {
	ls      *Links
	session *cellnet.Session
	key     dialKey // dialing side: who should answer, and where
	expect  step
	nonce   []byte // ours
	theirs  []byte
	peer    *Link // who it says it is
	link    *Link // established
}

// step is the message that comes next in a handshake.
type step uint16

const (
	expectHello   = step(pb.LinkHelloREQID)
	expectAnswer  = step(pb.LinkHelloACKID)
	expectConfirm = step(pb.LinkConfirmID)
)

func newDialing(ls *Links, s *cellnet.Session, k dialKey) *shaking {
	h := &shaking{ls: ls, session: s, key: k, expect: expectAnswer, nonce: peerauth.NewNonce()}
	s.SetReadDeadline(time.Now().Add(handshakeTimeout))
	self := ls.cfg.Self()
	// A failed send closes the session, and Run tells why.
	sendControl(s, 0, &pb.LinkHelloREQ{Svcid: self.ID, Epoch: self.Epoch, Version: protocolVersion, Nonce: h.nonce, Expect: k.id})
	return h
}

func newAccepting(ls *Links, s *cellnet.Session) *shaking {
	s.SetReadDeadline(time.Now().Add(handshakeTimeout))
	return &shaking{ls: ls, session: s, expect: expectHello, nonce: peerauth.NewNonce()}
}

func (h *shaking) dialed() bool { return h.key.id != "" }

// Frame takes a step of the handshake, or hands b to the link.
func (h *shaking) Frame(b []byte) error {
	if h.link != nil {
		return h.link.frame(b)
	}
	err := h.step(b)
	var r *refusal
	if errors.As(err, &r) && !r.theirs {
		h.tell(r)
	}
	return err
}

func (h *shaking) step(b []byte) error {
	if len(b) > maxHandshake {
		return fmt.Errorf("link: %d bytes in the handshake", len(b))
	}
	f, err := parseFrame(b)
	if err != nil {
		return err
	}
	if f.Kind != Control {
		return errors.New("link: a message before the end of the handshake")
	}
	var hello pb.LinkHelloREQ
	var answer pb.LinkHelloACK
	var confirm pb.LinkConfirm
	switch id := step(f.ID); {
	case id == expectHello && h.expect == id:
		if err = proto.Unmarshal(f.Body, &hello); err == nil {
			return h.greeted(&hello)
		}
	case id == expectAnswer:
		if err = proto.Unmarshal(f.Body, &answer); err == nil && answer.Code != pb.ResultCode_NoError {
			return refusedBy(&answer)
		}
		if err == nil && h.expect == id {
			return h.answered(&answer)
		}
	case id == expectConfirm && h.expect == id:
		if err = proto.Unmarshal(f.Body, &confirm); err == nil {
			return h.confirmed(&confirm)
		}
	}
	if err != nil {
		return fmt.Errorf("link: handshake: %w", err)
	}
	return fmt.Errorf("link: message ID %d out of order in the handshake", f.ID)
}

// greeted answers a dialer's hello.
func (h *shaking) greeted(hello *pb.LinkHelloREQ) error {
	h.expect = expectConfirm
	self := h.ls.cfg.Self()
	if err := h.identify(hello.Svcid, hello.Epoch, hello.Version, hello.Nonce); err != nil {
		return err
	}
	if hello.Expect != self.ID {
		return errorf(passing, "%s was dialed, but this is %s", hello.Expect, self.ID)
	}
	return sendControl(h.session, 0, &pb.LinkHelloACK{
		Svcid: self.ID, Epoch: self.Epoch, Version: protocolVersion, Nonce: h.nonce,
		Proof: h.proof("accept", h.theirs, h.nonce, hello.Svcid, self.ID),
	})
}

// answered checks what the accepting side said, and proves who we are.
func (h *shaking) answered(ack *pb.LinkHelloACK) error {
	h.expect = expectConfirm
	self := h.ls.cfg.Self()
	if ack.Svcid != h.key.id {
		return errorf(passing, "%s was dialed, but %q answers", h.key.id, ack.Svcid)
	}
	if err := h.identify(ack.Svcid, ack.Epoch, ack.Version, ack.Nonce); err != nil {
		return err
	}
	if err := h.check(ack.Proof, "accept", h.nonce, h.theirs, self.ID, ack.Svcid); err != nil {
		return err
	}
	return sendControl(h.session, 0, &pb.LinkConfirm{Proof: h.proof("dial", h.nonce, h.theirs, self.ID, ack.Svcid)})
}

// confirmed ends the handshake on either side: on the accepting one the dialer
// has proved who it is, on the dialing one the acceptor has taken the link.
func (h *shaking) confirmed(confirm *pb.LinkConfirm) error {
	if h.dialed() {
		return h.establish(func() error { return nil })
	}
	if err := h.check(confirm.Proof, "dial", h.theirs, h.nonce, h.peer.ID, h.ls.cfg.Self().ID); err != nil {
		return err
	}
	// The first frame of the link, whoever else sends on it the moment it is in
	// the view.
	return h.establish(func() error { return sendControl(h.session, 0, &pb.LinkConfirm{}) })
}

// identify notes who the peer says it is, unless a link to it would not be
// entered anyway.
func (h *shaking) identify(svcid string, epoch uint64, version uint32, nonce []byte) error {
	name, index, group, err := discovery.ParseID(svcid)
	if err != nil {
		return fmt.Errorf("link: handshake: %w", err)
	}
	h.peer = &Link{ID: svcid, Name: name, Index: index, Group: group, Epoch: epoch, links: h.ls, session: h.session, dialed: h.dialed()}
	h.theirs = nonce
	if version != protocolVersion {
		return errorf(lasting, "link protocol %d of %s and %d of %s: build both from one version", version, svcid, protocolVersion, h.ls.cfg.Self().ID)
	}
	if len(nonce) != peerauth.NonceSize {
		return fmt.Errorf("link: handshake: a nonce of %d bytes", len(nonce))
	}
	h.ls.mu.Lock()
	defer h.ls.mu.Unlock()
	return h.ls.objection(h.peer)
}

// proof shows one side's knowledge of the secret to the other, bound to its
// role, both nonces and both names, so that it fits nowhere else.
func (h *shaking) proof(role string, dialer, acceptor []byte, dialerID, acceptorID string) []byte {
	if h.ls.cfg.Secret == "" {
		return nil
	}
	return peerauth.Proof(h.ls.cfg.Secret, "link "+role, dialer, acceptor, []byte(dialerID), []byte(acceptorID))
}

// check checks the other side's proof.
func (h *shaking) check(proof []byte, role string, dialer, acceptor []byte, dialerID, acceptorID string) error {
	secret := h.ls.cfg.Secret
	switch {
	case secret == "" && len(proof) == 0:
		return nil
	case secret == "":
		return errorf(lasting, "%s has a cluster secret, %s has none: start both with the same -secret", h.peer.ID, h.ls.cfg.Self().ID)
	case len(proof) == 0:
		return errorf(lasting, "%s has a cluster secret, %s has none: start both with the same -secret", h.ls.cfg.Self().ID, h.peer.ID)
	case !peerauth.Verify(proof, secret, "link "+role, dialer, acceptor, []byte(dialerID), []byte(acceptorID)):
		return errorf(lasting, "%s and %s have different cluster secrets: start both with the same -secret", h.ls.cfg.Self().ID, h.peer.ID)
	}
	return nil
}

// tell tells the peer why it is refused.
func (h *shaking) tell(r *refusal) {
	code := pb.ResultCode_ServiceBusy
	if r.lasting {
		code = pb.ResultCode_BadRequest
	}
	// If it fails the session is closed already.
	sendControl(h.session, 0, &pb.LinkHelloACK{Svcid: h.ls.cfg.Self().ID, Code: code, Reason: r.words})
}

func (h *shaking) establish(ready func() error) error {
	if err := h.ls.add(h.peer, ready); err != nil {
		return err
	}
	h.session.SetReadDeadline(time.Time{}) // fails if it has ended already
	h.link = h.peer
	h.ls.linkedTo(h.link, h.key)
	h.link.opened()
	return nil
}

// Batch tells the link that a batch is over.
func (h *shaking) Batch() {
	if h.link != nil {
		h.link.batch()
	}
}

// Closed ends the link, if there ever was one. Of a handshake that failed the
// dialing side is told by Run.
func (h *shaking) Closed(reason error) {
	if h.link != nil {
		h.link.closed(reason)
		return
	}
	if h.dialed() {
		return
	}
	var r *refusal
	if h.peer != nil && errors.As(reason, &r) && r.lasting && h.ls.refused.news(h.peer.ID, r.words) {
		h.ls.cfg.Log.Warn("link refused", "peer", h.peer.ID, "remote", h.session.RemoteAddr(), "reason", reason)
		return
	}
	h.ls.cfg.Log.Debug("link not established", "remote", h.session.RemoteAddr(), "reason", inWords(reason))
}
