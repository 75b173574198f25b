package cellnet

import "encoding/binary"

// Prepared is one frame for many sessions of clients. It is framed once, and a
// session that has nothing else to write writes it from here: nothing is copied.
// One goroutine at a time may use it; its memory is used again by the next Set.
type Prepared struct {
	plain []byte // as it travels under ClientFraming
	web   []byte // as a WebSocket server sends it
}

// Set makes p a message: its ID, then its body, which is copied.
func (p *Prepared) Set(id uint16, body []byte) {
	p.plain = binary.LittleEndian.AppendUint16(p.plain[:0], uint16(2+len(body)))
	p.plain = append(AppendMessageHead(p.plain, id), body...)
	p.web = appendWS(p.web[:0], false, wsBinary, p.frame(), nil)
}

// frame is ID and body.
func (p *Prepared) frame() []byte { return p.plain[2:] }

// framed is p as it travels to s; nil if s has to frame it itself.
func (p *Prepared) framed(s *Session) []byte {
	switch {
	case !s.sock.usable() || s.cfg.Framing != ClientFraming:
		return nil
	case s.web == nil:
		return p.plain
	case s.web.masks:
		return nil
	}
	return p.web
}

// Send is Session.Send of p to each of sessions. What one of them does not take is
// its own loss and no error of Send, which has but one: ErrFrameTooLarge, for all.
func (p *Prepared) Send(sessions []*Session) error {
	if len(p.frame()) > maxClientFrame {
		return ErrFrameTooLarge
	}
	for len(sessions) > 0 {
		few := sessions[:min(len(sessions), fetchAtOnce)]
		sessions = sessions[len(few):]
		fetch(few)
		for _, s := range few {
			s.sendPrepared(p)
		}
	}
	return nil
}

// fetchAtOnce is how many sessions Send fetches before it writes to them.
const fetchAtOnce = 16

// fetch looks at sessions that are worked on next, nil for none. The processor
// fetches those that are not in its cache all at the same time then, instead of one
// after the other, between system calls.
func fetch(sessions []*Session) {
	for _, s := range sessions {
		if s != nil {
			s.stopped.Load()
		}
	}
}

// sendPrepared sends p to one session. What the system does not take goes on as
// what Send has appended would.
func (s *Session) sendPrepared(p *Prepared) {
	b := p.framed(s)
	if b == nil {
		s.Send(p.frame(), nil)
		return
	}
	s.mu.Lock()
	if s.writing || len(s.out) > 0 || s.sealed || s.stopped.Load() {
		s.mu.Unlock()
		s.Send(p.frame(), nil)
		return
	}
	s.writing = true
	s.users++
	s.mu.Unlock()
	n, err := s.sock.tryWrite(s, b)
	if n > 0 {
		s.cfg.Counters.wrote(n)
	}
	if n == len(b) {
		s.cfg.Counters.sent(1)
	}
	s.mu.Lock()
	s.exit()
	switch {
	case err != nil:
		s.mu.Unlock()
		s.writeFailed(err)
	case n == len(b) && len(s.out) == 0:
		s.release()
	case n < len(b):
		s.flight, s.sent, s.frames = append(getBuffer(len(b)), b...), n, 1
		s.pending += len(b) - n
		fallthrough
	default:
		s.write()
	}
}
