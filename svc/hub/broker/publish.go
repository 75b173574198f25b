package broker

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/davyxu/cellmesh_demo/basefx/link"
	"github.com/davyxu/cellmesh_demo/proto/pb"
	"github.com/davyxu/cellmesh_demo/svc/hub/hubapi/channel"
)

// fromField is the number of HubPublish's field from.
const fromField = 2

// publisher takes what one link publishes. It belongs to the goroutine that reads
// the link, and allocates nothing for a message.
type publisher struct {
	broker *Broker
	link   *link.Link
	tail   []byte // the field from, with the publisher's svcid

	p     pb.HubPublish
	body  []byte
	dirty []*link.Link // have messages that nobody else will flush
	count counts
}

type counts struct{ published, delivered, dropped int64 }

// open makes the receiver of a link's messages. What comes from another hub is
// for the own Hub of this process.
func (b *Broker) open(l *link.Link) link.Receiver {
	if l.Name == "hub" {
		return nil
	}
	return &publisher{broker: b, link: l, tail: from(l.ID)}
}

// from encodes the field from. Added to a message that has one already, it
// counts: of a field that is there twice the last one does, and so it is never
// the publisher who says who it is.
func from(svcid string) []byte {
	return protowire.AppendString(protowire.AppendTag(nil, fromField, protowire.BytesType), svcid)
}

// Frame passes a message on, as it is, to every subscriber. A batch's messages
// are written when it is over, those for one subscriber together; if nothing more
// has arrived, at once.
func (w *publisher) Frame(f link.Frame) error {
	w.p.Reset()
	if err := w.p.DecodeInPlace(f.Body); err != nil {
		return fmt.Errorf("hub: decode HubPublish: %w", err)
	}
	if n := len(w.p.Channel); n == 0 || n > channel.Max {
		return fmt.Errorf("hub: %s publishes on a channel of %d bytes", w.link.ID, n)
	}
	w.body = append(append(w.body[:0], f.Body...), w.tail...)
	w.p.From = w.link.ID
	last := !w.link.More()
	to := w.broker.subs.Match(w.p.Channel)
	w.count.published++
	for _, s := range to {
		if s.local != nil {
			s.local(&w.p, w.link)
			w.count.delivered++
			continue
		}
		first, ok := s.append(w.body)
		if ok {
			w.count.delivered++
		} else {
			w.count.dropped++
		}
		switch {
		case !first:
		case last:
			s.link.Flush()
		default:
			w.dirty = append(w.dirty, s.link)
		}
	}
	if len(to) == 0 && w.p.Reply != "" {
		w.broker.nobody.Add(1)
		return w.nobody()
	}
	return nil
}

// nobody tells the asker that its request reached nobody.
func (w *publisher) nobody() error {
	body, err := proto.Marshal(&pb.HubPublish{Channel: w.p.Reply, From: w.broker.self, Request: w.p.Request, Nobody: true})
	if err != nil {
		return fmt.Errorf("hub: encode HubPublish: %w", err)
	}
	first, _ := w.link.Append(link.Control, 0, pb.HubPublishID, body) // if it fails the asker waits in vain
	if first {
		w.dirty = append(w.dirty, w.link)
	}
	return nil
}

// Batch writes to the subscribers touched.
func (w *publisher) Batch() {
	for i, l := range w.dirty {
		l.Flush()
		w.dirty[i] = nil
	}
	w.dirty = w.dirty[:0]
	w.broker.published.Add(w.count.published)
	w.broker.delivered.Add(w.count.delivered)
	w.broker.dropped.Add(w.count.dropped)
	w.count = counts{}
}

// Down implements link.Receiver.
func (w *publisher) Down(error) { w.Batch() }
