package wire

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/davyxu/cellmesh_demo/util/discovery/store"
)

func TestErrorsCrossTheWire(t *testing.T) {
	for code, sentinel := range codes() {
		before := fmt.Errorf("%w: about %q", sentinel, "k")
		after := NewError(before).Err()
		if !errors.Is(after, sentinel) || after.Error() != before.Error() {
			t.Errorf("%s arrived as %v", code, after)
		}
	}
	if err := NewError(errors.New("odd")).Err(); err.Error() != "odd" {
		t.Errorf("an unknown error arrived as %v", err)
	}
	if (*Error)(nil).Err() != nil {
		t.Error("no error became one")
	}
}

// TestLargestBatchFits: what the store accepts must go through a frame, both as a request and as an event.
func TestLargestBatchFits(t *testing.T) {
	worst := strings.Repeat("\x01", store.MaxBatch/2-2) // 6 bytes each in JSON
	ops := []store.Op{store.SetOp("a", worst), store.SetOp("b", worst)}
	if err := store.CheckOps(ops); err != nil {
		t.Fatal(err)
	}
	b, err := Append(nil, Request{ID: 1 << 60, Do: DoApply, Ops: ops})
	if err != nil || len(b) > MaxFrame {
		t.Fatalf("a batch at its limit makes a frame of %d bytes, %v", len(b), err)
	}
	b, err = Append(nil, Reply{Events: []Event{{Revision: 1 << 60, Changes: []Change{{Key: "a", Value: worst}, {Key: "b", Value: worst}}}}})
	if err != nil || len(b) > MaxFrame {
		t.Fatalf("its event makes a frame of %d bytes, %v", len(b), err)
	}
}

// TestDone: the shortcut for short answers says what the long way says.
func TestDone(t *testing.T) {
	for _, r := range []Reply{{ID: 1}, {ID: 1, Revision: 1}, {ID: 12345, Revision: store.MaxRevision}, {ID: math.MaxUint64, Revision: math.MaxUint64}} {
		b := AppendDone(nil, r.ID, r.Revision)
		var long Reply
		if err := json.Unmarshal(b, &long); err != nil || !reflect.DeepEqual(long, r) {
			t.Errorf("%s is read as %+v, %v", b, long, err)
		}
		if got, err := ParseReply(b); err != nil || !reflect.DeepEqual(got, r) {
			t.Errorf("%s is parsed as %+v, %v; want %+v", b, got, err, r)
		}
	}
	for _, bad := range []string{`{"id":,"revision":1}`, `{"id":1,"revision":01}`, `{"id":1,"revision":1}x`, `{"id":-1,"revision":1}`, `{"id":1,"revision":99999999999999999999}`} {
		if _, err := ParseReply([]byte(bad)); err == nil {
			t.Errorf("%s is parsed", bad)
		}
	}
}

func TestBadMessagesAreRefused(t *testing.T) {
	for _, text := range []string{
		``, `{}`, `[]`, `null`, `{"id":1}`, `{"id":1,"do":"dance"}`, `{"do":"ping"}`, `{"id":-1,"do":"ping"}`,
		`{"id":1,"do":"hello"}`, `{"id":1,"do":"proof"}`, `{"id":1,"do":"register","owner":"x"}`, `{"id":1,"do":"leave"}`,
		`{"id":1,"do":"page","page":-1}`, `{"id":1,"do":"ping"}{}`, "{\"id\":1,\"do\":\"ping\",\"owner\":\"\xff\"}",
		`{"id":1,"do":"leave","owner":"` + strings.Repeat("x", 65) + `"}`,
	} {
		if r, err := ParseRequest([]byte(text)); !errors.Is(err, ErrBadMessage) {
			t.Errorf("request %s was read as %+v, %v", text, r, err)
		}
	}
	for _, text := range []string{
		``, `1`, `{"service":{"name":"a"}}`, `{"service":{"id":"a#1@b","name":"a","group":"b","index":2,"state":"ready"}}`,
	} {
		if r, err := ParseReply([]byte(text)); !errors.Is(err, ErrBadMessage) {
			t.Errorf("reply %s was read as %+v, %v", text, r, err)
		}
	}
	for _, s := range []*Service{nil, {}, {ID: "a#1@b"}, {ID: "a#1", State: store.Ready}} {
		if svc, err := s.Store(); !errors.Is(err, ErrBadMessage) {
			t.Errorf("service %+v was read as %+v, %v", s, svc, err)
		}
	}
}

func TestEventsCrossTheWire(t *testing.T) {
	before := store.Event{Revision: 9, Changes: []store.Change{
		{Service: sample()}, {Service: sample(), Deleted: true}, {Key: "k", Value: "<\x00>"}, {Key: "d", Deleted: true},
	}}
	b, err := Append(nil, Reply{Events: []Event{NewEvent(before)}})
	if err != nil {
		t.Fatal(err)
	}
	m, err := ParseReply(b)
	if err != nil {
		t.Fatal(err)
	}
	if after, err := m.Events[0].Store(); err != nil || !reflect.DeepEqual(before, after) {
		t.Fatalf("%+v became %+v, %v", before, after, err)
	}
}

func seeds(f *testing.F, messages ...any) {
	for _, m := range messages {
		b, err := Append(nil, m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte(`{"id":1,"do":"apply","ops":[null]}`))
	f.Add([]byte(`{"events":[{"c":[{"s":null}]}]}`))
}

func sample() *store.Service {
	return &store.Service{ID: "game#0@dev", Name: "game", Group: "dev", Addr: "127.0.0.1:1", State: store.Ready, Meta: map[string]string{"<": "\u2028"}, Epoch: 7}
}

// roundTrip: what was read once can be written and is then read as the same.
func roundTrip[M any](t *testing.T, m M, read func([]byte) (M, error)) {
	b, err := Append(nil, m)
	if err != nil {
		t.Fatalf("%+v was read but cannot be written: %v", m, err)
	}
	again, err := read(b)
	if err != nil {
		t.Fatalf("%s was written but cannot be read: %v", b, err)
	}
	first, _ := json.Marshal(m)
	second, _ := json.Marshal(again)
	if !reflect.DeepEqual(first, second) {
		t.Fatalf("%s became %s", first, second)
	}
}

func FuzzParseRequest(f *testing.F) {
	seeds(f,
		Request{ID: 1, Do: DoHello, Hello: &Hello{Version: 1, Nonce: []byte("nonce"), TTL: 1000, History: "h", Revision: 9}},
		Request{ID: 2, Do: DoProof, Proof: []byte("proof")},
		Request{ID: 3, Do: DoApply, Ops: []store.Op{store.SetOp("k", "<\x00>"), store.DeleteOp("x").IfValue("y")}},
		Request{ID: 4, Do: DoRegister, Owner: "o", Service: sample()},
		Request{ID: 5, Do: DoWatch, From: 1 << 63},
		Request{ID: 6, Do: DoPage, Page: 3})
	f.Fuzz(func(t *testing.T, b []byte) {
		if m, err := ParseRequest(b); err == nil {
			roundTrip(t, m, ParseRequest)
			store.New(nil).Apply(m.Ops) //nolint:errcheck // it must not panic
			if m.Service != nil {
				store.New(nil).Register(m.Owner, *m.Service) //nolint:errcheck // it must not panic
			}
		} else if !errors.Is(err, ErrBadMessage) {
			t.Fatal(err)
		}
	})
}

func FuzzParseReply(f *testing.F) {
	seeds(f,
		Reply{ID: 1, Welcome: &Welcome{History: "h", Nonce: []byte("n"), Secret: true}},
		Reply{Events: []Event{{Revision: 5, Changes: []Change{{Service: NewService(sample())}, {Key: "k", Value: "v"}, {Key: "d", Deleted: true}}}}},
		Reply{ID: 2, Page: &Page{Revision: 4, Services: []*Service{NewService(sample())}, Values: [][2]string{{"k", "v"}}}, Next: 1},
		Reply{ID: 3, Revision: 77},
		Reply{Lost: "owner", Error: &Error{Code: "replaced", Text: "gone"}})
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := ParseReply(b)
		if err != nil {
			if !errors.Is(err, ErrBadMessage) {
				t.Fatal(err)
			}
			return
		}
		roundTrip(t, m, ParseReply)
		var long Reply
		if short, ok := parseDone(b); ok && (json.Unmarshal(b, &long) != nil || !reflect.DeepEqual(short, long)) {
			t.Fatalf("%s is %+v by the shortcut and %+v by the long way", b, short, long)
		}
		snap := store.NewSnapshot(0, 0, nil, nil)
		for _, ev := range m.Events {
			if ev, err := ev.Store(); err == nil {
				snap = snap.Next(ev)
			} else if !errors.Is(err, ErrBadMessage) {
				t.Fatal(err)
			}
		}
	})
}
