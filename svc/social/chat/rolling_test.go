package chat_test

import (
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/tool/cluster"
)

// Two socials are updated one after the other, again and again, while five clients
// at three agents say as many lines as they can, without waiting for answers. Every
// line is taken, nobody misses one or hears it twice, and those of one sender come
// in order. Nobody seems to have left, and who joins a room and talks there at once is
// in it.
func TestRollingUpdate(t *testing.T) {
	t.Parallel()
	s := newSite(t, 2, 3)
	s.LiftRates()
	var people []*talker
	for i, uid := range []string{"a", "b", "c", "d", "e"} {
		p := &talker{acks: make(chan *pb.SayACK, 1<<16), acked: map[int]*pb.SayACK{}, alone: true}
		p.person = s.enter(t, uid, i%3, new)
		people = append(people, p)
	}
	s.here(t, len(people))
	var windows []chan struct{}
	for i, p := range people {
		p.friend = people[(i+1)%len(people)].uid
		p.send(&pb.JoinREQ{Room: "lobby"})
		cluster.Eventually(t, p.uid+" is in", func() bool {
			return slices.ContainsFunc(p.got(), func(m pb.Message) bool { return m.MsgID() == pb.JoinACKID })
		})
		window := make(chan struct{}, 8) // lines that are not answered: a social that stops has 10 s for them, however busy the machine
		p.listen(func(m pb.Message) {
			if p.note(m); m.MsgID() == pb.SayACKID {
				<-window
			}
		})
		windows = append(windows, window)
	}
	stop := make(chan struct{})
	var talking sync.WaitGroup
	for i, p := range people {
		talking.Go(func() { p.babble(windows[i], stop) })
	}
	for round := range 3 {
		for i, social := range s.socials {
			for _, p := range people {
				heard := len(p.got()) + 100
				cluster.Eventually(t, p.uid+" has heard more", func() bool { return len(p.got()) >= heard })
			}
			if err := social.Stop(); err != nil {
				t.Errorf("round %d: %v", round, err)
			}
			s.socials[i] = s.Launch("social").WaitReady()
			for _, agent := range s.agents {
				cluster.Eventually(t, "both are linked", func() bool { return len(agent.App.Links.Named("social")) == 2 })
			}
		}
	}
	close(stop)
	talking.Wait()
	for _, p := range people {
		for len(p.acked) < p.said {
			select {
			case ack := <-p.acks:
				n, _ := strconv.Atoi(ack.RequestId)
				if ack.Result != 0 || p.acked[n] != nil {
					t.Errorf("%s is told of line %d: %s", p.uid, n, told(ack))
				}
				p.acked[n] = ack
			case <-time.After(20 * time.Second):
				for _, m := range p.got() {
					if no, is := m.(*pb.RejectACK); is {
						t.Errorf("%s: %s", p.uid, told(no))
					}
				}
				t.Fatalf("%s: %d of %d lines were taken", p.uid, len(p.acked), p.said)
			}
		}
		t.Logf("%s has said %d lines", p.uid, p.said)
	}
	for _, p := range people {
		p.verify(people)
	}
}

// babble says line after line until stop, as many at a time as the window has room
// for.
func (p *talker) babble(window chan<- struct{}, stop <-chan struct{}) {
	for n := 1; ; n++ {
		select {
		case window <- struct{}{}:
			p.utter()
		case <-stop:
			return
		}
		if n%5 == 0 {
			time.Sleep(time.Millisecond) // so that they do not all come at once
		}
	}
}

// utter says the next line without waiting for its answer: every now and then in a
// room of its own, which it joins and leaves for that.
func (p *talker) utter() {
	n := p.said
	p.said++
	m := &pb.SayREQ{RequestId: fmt.Sprint(n), Text: fmt.Sprintf("%s %d", p.uid, n)}
	all := []pb.Message{m}
	switch {
	case p.isAlone(n):
		m.Room = "den-" + p.uid
		all = []pb.Message{&pb.JoinREQ{Room: m.Room}, m, &pb.LeaveREQ{Room: m.Room}}
	case n%3 == 0:
		m.Room = "lobby"
	case n%3 == 1:
		m.To = p.friend
	}
	for _, m := range all {
		if err := p.conn.Send(m); err != nil {
			p.t.Errorf("%s: %v", p.uid, err)
		}
	}
}
