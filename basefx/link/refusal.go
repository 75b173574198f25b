package link

import (
	"fmt"
	"sync"

	"github.com/davyxu/cellmesh_demo/proto/pb"
)

// refusal is why a handshake failed, in words that mean the same to both
// sides.
type refusal struct {
	words   string
	lasting bool // it does not pass by itself: somebody has to do something
	theirs  bool // the peer has refused us
}

const (
	lasting = true
	passing = false
)

func errorf(lasting bool, format string, args ...any) *refusal {
	return &refusal{words: fmt.Sprintf(format, args...), lasting: lasting}
}

// refusedBy is the refusal in the peer's last word.
func refusedBy(ack *pb.LinkHelloACK) *refusal {
	return &refusal{words: ack.Reason, lasting: ack.Code != pb.ResultCode_ServiceBusy, theirs: true}
}

// Error tells the words.
func (r *refusal) Error() string { return r.words }

// once remembers what the log has been told, so that what is tried again and
// again is told once. It is bounded: who makes up names fills no memory and no
// log.
type once struct {
	mu   sync.Mutex
	said map[string]string // by peer
}

const maxSaid = 256

// news reports whether what is new about peer.
func (o *once) news(peer, what string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	old, known := o.said[peer]
	if known && old == what || !known && len(o.said) >= maxSaid {
		return false
	}
	if o.said == nil {
		o.said = map[string]string{}
	}
	o.said[peer] = what
	return true
}

// forget makes everything about peer new again.
func (o *once) forget(peer string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.said, peer)
}
