package gateway_test

import (
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/tool/cluster"
)

// witness is a client that echoes all along: whatever others do, it must not
// notice.
type witness struct {
	peer   *peer
	echoes atomic.Int64
	waited atomic.Int64 // longest, in nanoseconds, since longest was asked
	stop   chan struct{}
	done   sync.WaitGroup
	failed atomic.Pointer[error]
}

// witness enters a client that echoes until the test ends.
func (r *rig) witness(t testing.TB) *witness {
	t.Helper()
	w := &witness{peer: r.enter(t, "tcp", "witness", oldClient), stop: make(chan struct{})}
	w.done.Go(func() {
		if err := w.echo(); err != nil {
			w.failed.Store(&err)
		}
	})
	t.Cleanup(func() {
		close(w.stop)
		w.done.Wait()
		if err := w.failed.Load(); err != nil {
			t.Errorf("the witness noticed: %v", *err)
		}
	})
	return w
}

// pace is how often a witness speaks: it shares the machine with the test.
const pace = 2 * time.Millisecond

func (w *witness) echo() error {
	tick := time.NewTicker(pace)
	defer tick.Stop()
	for n := int64(1); ; n++ {
		began := time.Now()
		body := "\n\x08" + string(binary.BigEndian.AppendUint64(nil, uint64(n)))
		if err := w.peer.session.SendMessage(pb.EchoREQID, []byte(body)); err != nil {
			return err
		}
		select {
		case f := <-w.peer.got:
			if f.id != pb.EchoACKID || f.body != body {
				return fmt.Errorf("echo %d: got %v", n, f)
			}
		case err := <-w.peer.ended:
			return fmt.Errorf("the connection ended: %w", err)
		case <-time.After(patience):
			return fmt.Errorf("echo %d did not come back within %v", n, patience)
		}
		w.echoes.Store(n)
		w.waited.Store(max(w.waited.Load(), int64(time.Since(began))))
		select {
		case <-tick.C:
		case <-w.stop:
			return nil
		}
	}
}

// longest is the longest that an echo took since the last time this was asked.
func (w *witness) longest() time.Duration { return time.Duration(w.waited.Swap(0)) }

// undisturbed waits for two more echoes: the second was sent after the call.
func (w *witness) undisturbed(t testing.TB) {
	t.Helper()
	n := w.echoes.Load()
	cluster.Eventually(t, "the witness echoes on", func() bool {
		if err := w.failed.Load(); err != nil {
			t.Fatalf("the witness noticed: %v", *err)
		}
		return w.echoes.Load() >= n+2
	})
}
