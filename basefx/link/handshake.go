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

// handshakeTimeout bounds the three messages: hello, answer with the accepting
// side's proof, confirm with the dialing side's.
const handshakeTimeout = 5 * time.Second

// shaking is a session whose handshake may not be over: the dialing side sends
// LinkHelloREQ, the accepting side answers LinkHelloACK, the dialing side ends
// with LinkConfirm. With a cluster secret each proves to the other that it
// knows it. Afterwards it hands what it reads to its Link. All fields belong to
// the goroutine that reads the session.
type shaking struct {
	ls      *Links
	session *cellnet.Session
	expect  string // dialing side: who should answer
	nonce   []byte // ours
	peer    *Link  // accepting side: who said hello, not yet confirmed
	theirs  []byte // accepting side: the dialer's nonce
	link    *Link  // established
}

func newDialing(ls *Links, s *cellnet.Session, expect string) *shaking {
	h := &shaking{ls: ls, session: s, expect: expect, nonce: peerauth.NewNonce()}
	s.SetReadDeadline(time.Now().Add(handshakeTimeout))
	self := ls.cfg.Self()
	// A failed send closes the session, and Run tells why.
	sendControl(s, 0, &pb.LinkHelloREQ{Svcid: self.ID, Epoch: self.Epoch, Version: protocolVersion, Nonce: h.nonce, Expect: expect})
	return h
}

func newAccepting(ls *Links, s *cellnet.Session) (cellnet.Handler, error) {
	s.SetReadDeadline(time.Now().Add(handshakeTimeout))
	return &shaking{ls: ls, session: s, nonce: peerauth.NewNonce()}, nil
}

// Frame takes a step of the handshake, or hands b to the link.
func (h *shaking) Frame(b []byte) error {
	f, err := parseFrame(b)
	if err != nil {
		return err
	}
	if h.link != nil {
		return h.link.frame(f)
	}
	if f.Kind != Control {
		return errors.New("link: a message before the handshake")
	}
	switch {
	case h.expect != "" && f.ID == pb.LinkHelloACKID:
		return h.answered(f.Body)
	case h.expect == "" && h.peer == nil && f.ID == pb.LinkHelloREQID:
		return h.greeted(f.Body)
	case h.expect == "" && h.peer != nil && f.ID == pb.LinkConfirmID:
		return h.confirmed(f.Body)
	}
	return fmt.Errorf("link: message ID %d out of order in the handshake", f.ID)
}

// greeted answers a dialer's hello.
func (h *shaking) greeted(body []byte) error {
	var hello pb.LinkHelloREQ
	if err := proto.Unmarshal(body, &hello); err != nil {
		return fmt.Errorf("link: hello: %w", err)
	}
	self := h.ls.cfg.Self()
	peer, err := h.identify(hello.Svcid, hello.Epoch, hello.Version)
	if err == nil && hello.Expect != self.ID {
		err = fmt.Errorf("you dialed %s, this is %s", hello.Expect, self.ID)
	}
	ack := &pb.LinkHelloACK{Svcid: self.ID, Epoch: self.Epoch, Version: protocolVersion, Nonce: h.nonce}
	if err != nil {
		ack.Code, ack.Reason = pb.ResultCode_BadRequest, err.Error()
		sendControl(h.session, 0, ack)
		return fmt.Errorf("link: refused %s: %w", hello.Svcid, err)
	}
	h.peer, h.theirs = peer, hello.Nonce
	ack.Proof = h.proof("accept", hello.Nonce, h.nonce, hello.Svcid, self.ID)
	return sendControl(h.session, 0, ack)
}

// answered checks what the accepting side said, and confirms.
func (h *shaking) answered(body []byte) error {
	var ack pb.LinkHelloACK
	if err := proto.Unmarshal(body, &ack); err != nil {
		return fmt.Errorf("link: hello answer: %w", err)
	}
	if ack.Code != pb.ResultCode_NoError {
		return fmt.Errorf("link: %s refused: %s", h.expect, ack.Reason)
	}
	peer, err := h.identify(ack.Svcid, ack.Epoch, ack.Version)
	if err != nil {
		return fmt.Errorf("link: %w", err)
	}
	if ack.Svcid != h.expect {
		return fmt.Errorf("link: %s answered where discovery shows %s", ack.Svcid, h.expect)
	}
	self := h.ls.cfg.Self().ID
	if !h.proves(ack.Proof, "accept", h.nonce, ack.Nonce, self, ack.Svcid) {
		return fmt.Errorf("link: %s does not know our cluster secret: start both with the same -secret", ack.Svcid)
	}
	confirm := &pb.LinkConfirm{Proof: h.proof("dial", h.nonce, ack.Nonce, self, ack.Svcid)}
	if err := sendControl(h.session, 0, confirm); err != nil {
		return err
	}
	return h.establish(peer)
}

// confirmed checks the dialer's proof.
func (h *shaking) confirmed(body []byte) error {
	var confirm pb.LinkConfirm
	if err := proto.Unmarshal(body, &confirm); err != nil {
		return fmt.Errorf("link: confirm: %w", err)
	}
	if !h.proves(confirm.Proof, "dial", h.theirs, h.nonce, h.peer.ID, h.ls.cfg.Self().ID) {
		return fmt.Errorf("link: %s does not know our cluster secret: start both with the same -secret", h.peer.ID)
	}
	return h.establish(h.peer)
}

// proof shows one side's knowledge of the secret to the other, bound to its
// role, both nonces and both names, so that it fits nowhere else.
func (h *shaking) proof(role string, dialer, acceptor []byte, dialerID, acceptorID string) []byte {
	if h.ls.cfg.Secret == "" {
		return nil
	}
	return peerauth.Proof(h.ls.cfg.Secret, "link "+role, dialer, acceptor, []byte(dialerID), []byte(acceptorID))
}

func (h *shaking) proves(proof []byte, role string, dialer, acceptor []byte, dialerID, acceptorID string) bool {
	if h.ls.cfg.Secret == "" {
		return true
	}
	return len(dialer) == peerauth.NonceSize && len(acceptor) == peerauth.NonceSize &&
		peerauth.Verify(proof, h.ls.cfg.Secret, "link "+role, dialer, acceptor, []byte(dialerID), []byte(acceptorID))
}

func (h *shaking) identify(svcid string, epoch uint64, version uint32) (*Link, error) {
	name, index, group, err := discovery.ParseID(svcid)
	if err != nil {
		return nil, err
	}
	if version != protocolVersion {
		return nil, fmt.Errorf("%s speaks link protocol %d, this is %d: build both from one version", svcid, version, protocolVersion)
	}
	return &Link{ID: svcid, Name: name, Index: index, Group: group, Epoch: epoch, links: h.ls, session: h.session}, nil
}

func (h *shaking) establish(l *Link) error {
	h.session.SetReadDeadline(time.Time{})
	if err := h.ls.add(l); err != nil {
		return err
	}
	h.link = l
	l.opened()
	return nil
}

// Batch tells the link that a batch is over.
func (h *shaking) Batch() {
	if h.link != nil {
		h.link.batch()
	}
}

// Closed ends the link, if there ever was one.
func (h *shaking) Closed(reason error) {
	if h.link != nil {
		h.link.closed(reason)
		return
	}
	if h.peer != nil || h.expect == "" {
		h.ls.cfg.Log.Debug("link not established", "remote", h.session.RemoteAddr(), "err", reason)
	}
}
