package link

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/util/cellnet"
	"github.com/davyxu/cellmesh_demo/util/discovery"
)

// Reasons for the end of a link.
var (
	ErrReplaced = errors.New("link: replaced by a newer link of the same service")
	ErrStopping = errors.New("link: this process is stopping")
	ErrSilent   = errors.New("link: nothing was heard for 12 s: the peer hangs, or its host is gone")
	ErrBehind   = errors.New("link: the peer does not keep up: a control message found no room")

	errClosedByPeer = errors.New("closed by the peer")
)

// Config is what [New] needs. All fields but Secret, Dial and Counters are
// required.
type Config struct {
	Self     func() discovery.Service // this process as it is registered now
	Registry discovery.Registry
	Rule     Rule
	Secret   string // cluster secret; "" trusts whoever can connect
	Log      *slog.Logger
	Dial     func(ctx context.Context, addr string) (net.Conn, error) // default TCP
	Counters *cellnet.Counters
}

// Receiver handles the relayed messages that arrive on one link. All calls
// come from the goroutine that reads the link, in order: blocking there holds
// up everything from that peer.
type Receiver interface {
	Frame(f Frame) error // an error closes the link
	Batch()              // what had arrived has been handed over: flush what it caused
	Down(reason error)   // last
}

// Links keeps the links of one process. Wire it (Receive, Handle, OnUp, OnDown),
// then Run and Serve it; what is wired never changes afterwards. All other
// methods may be called by any goroutine at any time.
type Links struct {
	cfg     Config
	session cellnet.Config
	refused once // what the log has been told about peers that were refused

	// Wiring, read-only once running.
	receive map[string]func(*Link) Receiver // by the peer's service name, "" for all others
	control map[uint16]func(l *Link, client uint64, body []byte) error
	takers  []taker
	up      []func(*Link)
	down    []func(*Link)

	view atomic.Pointer[view] // established links; replaced, never changed, under mu

	mu      sync.Mutex
	names   []string           // services to dial
	changed chan struct{}      // closed and remade when view or names changes
	dialing map[dialKey]string // running dial loops, with what each last failed on
}

// taker takes one control message from all links.
type taker struct {
	id   uint16
	open func(*Link) Receiver
}

type view struct {
	byID   map[string]*Link
	byName map[string][]*Link // ordered by ID
}

type dialKey struct{ id, addr string }

// New makes Links that know nobody yet.
func New(cfg Config) *Links {
	if cfg.Dial == nil {
		d := net.Dialer{Timeout: 3 * time.Second}
		cfg.Dial = func(ctx context.Context, addr string) (net.Conn, error) { return d.DialContext(ctx, "tcp", addr) }
	}
	ls := &Links{
		cfg: cfg,
		session: cellnet.Config{
			Framing: cellnet.LinkFraming,
			// A peer that does not keep up is told about by ErrFull; the link
			// stays, as it carries everybody's messages.
			Refuse:   true,
			Attend:   runtime.GOMAXPROCS(0) / 2,
			Counters: cfg.Counters,
		},
		receive: map[string]func(*Link) Receiver{},
		control: map[uint16]func(*Link, uint64, []byte) error{},
		changed: make(chan struct{}),
		dialing: map[dialKey]string{},
	}
	ls.view.Store(&view{})
	return ls
}

// Dial asks for a link to every instance of the named service that discovery
// shows and the link rule allows.
func (ls *Links) Dial(service string) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if !slices.Contains(ls.names, service) {
		ls.names = append(ls.names, service)
		ls.announce()
	}
}

// Receive sets who takes relayed messages from links whose peer is an instance
// of service, or from all others if service is "". Without a receiver relayed
// messages close the link.
func (ls *Links) Receive(service string, open func(*Link) Receiver) { ls.receive[service] = open }

// ReceiveControl has control message id handed undecoded to a receiver for each
// link, as relayed messages are, instead of to a handler: for a message that comes
// by the million. A link for which open returns nil goes without.
func (ls *Links) ReceiveControl(id uint16, open func(*Link) Receiver) {
	ls.takers = append(ls.takers, taker{id, open})
}

// LimitPending sets how many bytes may wait on a link for a peer that does not
// keep up, instead of 64 MiB: more are refused with cellnet.ErrFull.
func (ls *Links) LimitPending(bytes int) { ls.session.MaxPending = bytes }

// GatherWhen sets when a write lets other ready goroutines append to its link
// first: while many of them append a message or two each. Where one does, it is
// only time lost. Without it no write does.
func (ls *Links) GatherWhen(f func() bool) { ls.session.Gather = f }

// OnUp adds f to what is called when a link is established, before anything
// that it brings, on the goroutine that reads it. The link is in Get and Named
// by then: others may be sending on it already.
func (ls *Links) OnUp(f func(*Link)) { ls.up = append(ls.up, f) }

// OnDown adds f to what is called after the last message of a link. When a
// link is replaced, this may be after OnUp of the new one.
func (ls *Links) OnDown(f func(*Link)) { ls.down = append(ls.down, f) }

// Handle sets the handler of one control message; a second one for the same
// message is a mistake, and panics. It runs on the goroutine that reads the
// link and must not block; its error closes the link. client is whom the
// message concerns, or 0.
func Handle[M any, P interface {
	*M
	pb.Message
}](ls *Links, h func(l *Link, client uint64, m *M) error) {
	var zero P
	id := zero.MsgID()
	if _, twice := ls.control[id]; twice {
		panic("link: two handlers for control message " + pb.MessageName(id))
	}
	ls.control[id] = func(l *Link, client uint64, body []byte) error {
		m := P(new(M))
		if err := proto.Unmarshal(body, m); err != nil {
			return fmt.Errorf("link: decode %s: %w", pb.MessageName(id), err)
		}
		return h(l, client, (*M)(m))
	}
}

// Get is the established link to svcid, or nil.
func (ls *Links) Get(svcid string) *Link { return ls.view.Load().byID[svcid] }

// Named are the established links to instances of service, ordered by svcid.
// The slice is shared: do not change it.
func (ls *Links) Named(service string) []*Link { return ls.view.Load().byName[service] }

// All are the established links in no particular order.
func (ls *Links) All() []*Link { return slices.Collect(maps.Values(ls.view.Load().byID)) }

// Changed returns a channel that is closed at the next change of the
// established links. Take it before looking, so that no change is missed.
func (ls *Links) Changed() <-chan struct{} {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	return ls.changed
}

// Trouble tells why there is no link to instances of service that discovery
// shows, "" if nothing was tried or nothing failed.
func (ls *Links) Trouble(service string) string {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	var all []string
	for k, why := range ls.dialing {
		if name, _, _, err := discovery.ParseID(k.id); err == nil && name == service && why != "" {
			all = append(all, why)
		}
	}
	slices.Sort(all)
	return strings.Join(all, "; ")
}

// Serve accepts links on l until ctx is done, and waits for them.
func (ls *Links) Serve(ctx context.Context, l net.Listener) error {
	ctx, cancel := stopping(ctx)
	defer cancel()
	a := cellnet.Acceptor{
		Config: &ls.session,
		Open:   func(s *cellnet.Session) (cellnet.Handler, error) { return newAccepting(ls, s), nil },
		Rejected: func(remote net.Addr, reason error) {
			ls.cfg.Log.Debug("connection for a link not accepted", "remote", remote, "reason", reason)
		},
	}
	return a.Serve(ctx, l)
}

// stopping is ctx with ErrStopping as its cause, which is what the links that
// it ends are told.
func stopping(ctx context.Context) (context.Context, func()) {
	inner, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() { cancel(ErrStopping) })
	return inner, func() {
		stop()
		cancel(nil)
	}
}

// add enters an identified link, in place of an older one of the same svcid.
// ready is called, under mu, before anybody else can get hold of the link.
func (ls *Links) add(l *Link, ready func() error) error {
	ls.mu.Lock()
	old, err := ls.view.Load().byID[l.ID], ls.objection(l)
	if err == nil {
		err = ready()
	}
	if err == nil {
		ls.publish(l.ID, l)
	}
	ls.mu.Unlock()
	if err == nil && old != nil {
		old.session.Close(ErrReplaced)
	}
	return err
}

// linkedTo forgets what went wrong with the peer of l before it was linked.
func (ls *Links) linkedTo(l *Link, k dialKey) {
	ls.refused.forget(l.ID)
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if l.dialed {
		ls.dialing[k] = ""
	}
}

// objection is why l must not be entered; nil if it may. The caller holds mu.
//
// A registration keeps its epoch as long as the process lives, also when memsd
// has lost its data and it registers again. A higher epoch under the same name
// is therefore always another process, and a newer one.
func (ls *Links) objection(l *Link) error {
	if svc, ok := ls.cfg.Registry.Snapshot().Service(l.ID); ok && svc.Epoch > l.Epoch {
		return errorf(lasting, "%s of epoch %d has been replaced by one of epoch %d", l.ID, l.Epoch, svc.Epoch)
	}
	old := ls.view.Load().byID[l.ID]
	switch {
	case old == nil:
	case old.Epoch > l.Epoch:
		return errorf(lasting, "%s of epoch %d has been replaced by one of epoch %d", l.ID, l.Epoch, old.Epoch)
	case old.Epoch == l.Epoch && old.dialed != l.dialed && old.Ended() == nil && old.dialed == (ls.cfg.Self().ID < l.ID):
		return errorf(passing, "both sides have dialed, and the other link stands")
	}
	return nil
}

// remove takes l out, if it is still the one entered under its name.
func (ls *Links) remove(l *Link) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if ls.view.Load().byID[l.ID] == l {
		ls.publish(l.ID, nil)
	}
}

// publish makes the next view, with l (or nothing, if nil) under id. The caller
// holds mu.
func (ls *Links) publish(id string, l *Link) {
	next := &view{byID: maps.Clone(ls.view.Load().byID), byName: map[string][]*Link{}}
	if next.byID == nil {
		next.byID = map[string]*Link{}
	}
	if l != nil {
		next.byID[id] = l
	} else {
		delete(next.byID, id)
	}
	for _, o := range next.byID {
		next.byName[o.Name] = append(next.byName[o.Name], o)
	}
	for _, all := range next.byName {
		slices.SortFunc(all, func(a, b *Link) int { return strings.Compare(a.ID, b.ID) })
	}
	ls.view.Store(next)
	ls.announce()
}

// announce wakes who waits for Changed. The caller holds mu.
func (ls *Links) announce() {
	close(ls.changed)
	ls.changed = make(chan struct{})
}
