package link

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/util/cellnet"
)

// A control message may have a receiver for each link, which gets it undecoded,
// in order with what handlers get; a link that it does not want goes without.
func TestReceiveControl(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		agents := map[string]*receiver{}
		var handled []string
		g := w.start("game", setup{wire: func(ls *Links) {
			ls.ReceiveControl(pb.NoticeREQID, func(l *Link) Receiver {
				if l.Name != "agent" {
					return nil
				}
				agents[l.ID] = &receiver{}
				return agents[l.ID]
			})
			Handle(ls, func(l *Link, _ uint64, _ *pb.NoticeREQ) error {
				handled = append(handled, l.ID)
				return nil
			})
		}})
		a := w.start("agent", setup{dials: []string{"game"}})
		h := w.start("hub", setup{dials: []string{"game"}})
		linked(t, a, g)
		linked(t, h, g)
		for _, from := range []*node{a, h} {
			l := from.Get("game#0@dev")
			l.Append(Control, 3, pb.NoticeREQID, nil)
			l.Append(Control, 0, pb.NoticeREQID, nil)
			l.Flush()
		}
		synctest.Wait()
		want := []string{fmt.Sprintf("0 %d 3 ", pb.NoticeREQID), fmt.Sprintf("0 %d 0 ", pb.NoticeREQID), "batch"}
		if got := agents["agent#0@dev"].got; !slices.Equal(got, want) {
			t.Errorf("the receiver got %q, want %q", got, want)
		}
		if want := []string{"hub#0@dev", "hub#0@dev"}; !slices.Equal(handled, want) {
			t.Errorf("the handler got %q", handled)
		}
		a.stop()
		synctest.Wait()
		if agents["agent#0@dev"].down == nil {
			t.Error("not told of the end")
		}
	})
}

// What may wait can be bounded: more is refused, and the link lives.
func TestLimitPending(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		g := w.start("game", setup{wire: func(ls *Links) { ls.LimitPending(1000) }})
		a := w.start("agent", setup{dials: []string{"game"}})
		linked(t, a, g)
		l := g.Get("agent#0@dev")
		first, err := l.Append(Control, 0, pb.NoticeREQID, make([]byte, 900))
		if !first || err != nil {
			t.Fatal(first, err)
		}
		if _, err := l.Append(Control, 0, pb.NoticeREQID, make([]byte, 900)); err != cellnet.ErrFull {
			t.Errorf("error %v", err)
		}
		l.Flush()
		synctest.Wait()
		if l.Ended() != nil || l.Pending() != 0 {
			t.Errorf("ended: %v, %d pending", l.Ended(), l.Pending())
		}
	})
}
