package link

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
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

// Errors that end a link or a dial.
var (
	ErrReplaced = errors.New("link: replaced by a newer link of the same service")
	ErrStopping = errors.New("link: this process is stopping")
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
// then Run it; what is wired never changes afterwards. Dial may come at any
// time.
type Links struct {
	cfg     Config
	session cellnet.Config

	// Wiring, read-only once running.
	receive map[string]func(*Link) Receiver // by the peer's service name, "" for all others
	control map[uint16]func(l *Link, client uint64, body []byte) error
	up      []func(*Link)
	down    []func(*Link)

	view atomic.Pointer[view] // established links; replaced, never changed, under mu

	more chan struct{} // capacity 1: names has grown

	mu      sync.Mutex
	names   []string           // services to dial
	changed chan struct{}      // closed and remade when view changes
	dialing map[dialKey]string // running dial loops, with what each last failed on
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
			// A backend that does not keep up is told about by ErrFull; its
			// link stays, as it carries everybody's messages.
			Refuse:   true,
			Gather:   true,
			Counters: cfg.Counters,
		},
		receive: map[string]func(*Link) Receiver{},
		control: map[uint16]func(*Link, uint64, []byte) error{},
		more:    make(chan struct{}, 1),
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
	if slices.Contains(ls.names, service) {
		return
	}
	ls.names = append(ls.names, service)
	select {
	case ls.more <- struct{}{}:
	default:
	}
}

// Receive sets who takes relayed messages from links whose peer is an instance
// of service, or from all others if service is "". Without a receiver relayed
// messages close the link.
func (ls *Links) Receive(service string, open func(*Link) Receiver) { ls.receive[service] = open }

// OnUp adds f to what is called when a link is established, before anything
// that it brings, on the goroutine that reads it.
func (ls *Links) OnUp(f func(*Link)) { ls.up = append(ls.up, f) }

// OnDown adds f to what is called after the last message of a link.
func (ls *Links) OnDown(f func(*Link)) { ls.down = append(ls.down, f) }

// Handle sets the handler of one control message. It runs on the goroutine
// that reads the link and must not block; its error closes the link. client is
// whom the message concerns, or 0.
func Handle[M any, P interface {
	*M
	pb.Message
}](ls *Links, h func(l *Link, client uint64, m *M) error) {
	var zero P
	ls.control[zero.MsgID()] = func(l *Link, client uint64, body []byte) error {
		m := P(new(M))
		if err := proto.Unmarshal(body, m); err != nil {
			return fmt.Errorf("decode %s: %w", pb.MessageName(m.MsgID()), err)
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
func (ls *Links) All() []*Link {
	v := ls.view.Load()
	all := make([]*Link, 0, len(v.byID))
	for _, l := range v.byID {
		all = append(all, l)
	}
	return all
}

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

// Run dials until ctx is done, then closes every link, flushed, and waits.
func (ls *Links) Run(ctx context.Context) {
	var loops sync.WaitGroup
	defer loops.Wait()
	for ctx.Err() == nil {
		snap := ls.cfg.Registry.Snapshot()
		ls.reconcile(ctx, snap, &loops)
		ls.await(ctx, snap.Revision())
	}
	for _, l := range ls.All() {
		l.session.Close(ErrStopping)
	}
}

// await returns when discovery has changed since rev, or there is more to
// dial.
func (ls *Links) await(ctx context.Context, rev uint64) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wait sync.WaitGroup
	defer wait.Wait()
	wait.Go(func() {
		if _, err := ls.cfg.Registry.Wait(ctx, rev); err == nil {
			cancel()
		}
	})
	select {
	case <-ls.more:
		cancel()
	case <-ctx.Done():
	}
}

// reconcile starts a dial loop for every service that should have one. Loops
// end by themselves.
func (ls *Links) reconcile(ctx context.Context, snap *discovery.Snapshot, loops *sync.WaitGroup) {
	self := ls.cfg.Self().ID
	ls.mu.Lock()
	defer ls.mu.Unlock()
	for _, name := range ls.names {
		for svc := range snap.Services(name) {
			k := dialKey{svc.ID, svc.Addr}
			if _, runs := ls.dialing[k]; runs || svc.Addr == "" || svc.ID == self || !ls.cfg.Rule.Allows(svc.Name, svc.Group) {
				continue
			}
			ls.dialing[k] = ""
			loops.Go(func() { ls.dialLoop(ctx, k) })
		}
	}
}

// Serve accepts links on l until ctx is done, and waits for them.
func (ls *Links) Serve(ctx context.Context, l net.Listener) error {
	a := cellnet.Acceptor{Config: &ls.session, Open: func(s *cellnet.Session) (cellnet.Handler, error) {
		return newAccepting(ls, s)
	}}
	return a.Serve(ctx, l)
}

// add enters an identified link, in place of an older one of the same svcid.
func (ls *Links) add(l *Link) error {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	v := ls.view.Load()
	if old := v.byID[l.ID]; old != nil {
		if old.Epoch > l.Epoch {
			return fmt.Errorf("link: %s has epoch %d here, this one is of epoch %d: an older process under the same name", l.ID, old.Epoch, l.Epoch)
		}
		old.session.Close(ErrReplaced)
	}
	ls.publish(v, l.ID, l)
	return nil
}

// remove takes l out, if it is still the one entered under its name.
func (ls *Links) remove(l *Link) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if v := ls.view.Load(); v.byID[l.ID] == l {
		ls.publish(v, l.ID, nil)
	}
}

// publish makes the next view, with l (or nothing, if nil) under id.
func (ls *Links) publish(v *view, id string, l *Link) {
	next := &view{byID: make(map[string]*Link, len(v.byID)+1), byName: map[string][]*Link{}}
	for k, o := range v.byID {
		next.byID[k] = o
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
	close(ls.changed)
	ls.changed = make(chan struct{})
}
