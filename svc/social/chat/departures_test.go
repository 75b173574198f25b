package chat

import (
	"fmt"
	"testing"
	"time"
)

func TestDepartures(t *testing.T) {
	noon := time.UnixMilli(1_800_000_000_000)
	var d departures
	d.add("lobby", "alice", "Alice", noon)
	d.add("lobby", "bob", "Bob", noon)
	d.add("lobby", "carol", "Carol", noon.Add(2*time.Second))
	d.add("cellar", "alice", "Alice", noon)
	if d.back("lobby", "dave") || d.back("attic", "bob") || !d.back("lobby", "bob") || d.back("lobby", "bob") {
		t.Error("bob comes back once, to the lobby")
	}
	if due := d.due(noon.Add(-1)); len(due) != 0 {
		t.Errorf("too early: %v", due)
	}
	due := d.due(noon.Add(time.Second))
	if len(due) != 2 || len(due["lobby"]) != 1 || due["lobby"]["alice"].name != "Alice" || len(due["cellar"]) != 1 {
		t.Errorf("%v", due)
	}
	due = d.due(noon.Add(time.Minute))
	if len(due) != 1 || due["lobby"]["carol"].name != "Carol" || d.count != 0 || len(d.rooms) != 0 {
		t.Errorf("%v, %d left", due, d.count)
	}
	for i := range maxDepartures + 7 {
		d.add("lobby", fmt.Sprint(i), "", noon)
	}
	d.add("lobby", "1", "again", noon)
	if d.count != maxDepartures || d.dropped() != 7 {
		t.Errorf("%d wait, %d dropped", d.count, d.dropped())
	}
}

func TestLeftText(t *testing.T) {
	for n, want := range map[int]string{
		0: "", 1: "0 left", 2: "0 and 1 left", 5: "0, 1, 2, 3 and 4 left", 6: "0, 1, 2, 3 and 2 others left", 9: "0, 1, 2, 3 and 5 others left",
	} {
		gone := map[string]departure{}
		for i := range n {
			gone["uid"+fmt.Sprint(i)] = departure{name: fmt.Sprint(i)}
		}
		uid, text := leftText(gone)
		if text != want || (uid != "") != (n == 1) {
			t.Errorf("%d: %q %q", n, uid, text)
		}
	}
}
