package sanction

import (
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/davyxu/cellmesh_demo/util/discovery"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestReadsWhatItWrites(t *testing.T) {
	until := time.Date(2026, 12, 24, 18, 0, 0, 0, time.UTC)
	for _, s := range []Sanction{
		{Kind: Mute, UID: "alice", Until: until, Why: "shouting"},
		{Kind: Ban, UID: "alice"},
		{Kind: Ban, UID: "a/b c\x01%2f\u00fc", Why: "<names> \"quoted\""},
	} {
		value, err := s.Value()
		if err != nil {
			t.Fatal(err)
		}
		got, err := Parse(s.Key(), value)
		if err != nil || got != s {
			t.Errorf("%s = %s is read as %+v, %v; want %+v", s.Key(), value, got, err, s)
		}
	}
	if key := (Sanction{Kind: Mute, UID: "alice"}).Key(); key != "sanction/mute/alice" {
		t.Errorf("key %s", key)
	}
}

func TestRefusesWhatMakesNoSense(t *testing.T) {
	for _, c := range []struct{ key, value, why string }{
		{"sanction/ban", "{}", "want a key"},
		{"sanctions/ban/x", "{}", "want a key"},
		{"sanction/ban/", "{}", "empty"},
		{"sanction/kick/x", "{}", "not mute or ban"},
		{"sanction/ban/%zz", "{}", "invalid URL escape"},
		{"sanction/ban/a b", "{}", "sanction/ban/a%20b"},
		{"sanction/ban/x", "", "want {"},
		{"sanction/ban/x", "true", "want {"},
		{"sanction/ban/x", `{"untill":"2026-12-24T18:00:00Z"}`, "unknown field"},
		{"sanction/ban/x", `{"until":"tomorrow"}`, "tomorrow"},
		{"sanction/ban/x", `{} {}`, "after the end"},
		{"sanction/ban/x", `{"why":"` + strings.Repeat("x", 1001) + `"}`, "1001 bytes"},
	} {
		if _, err := Parse(c.key, c.value); err == nil || !strings.Contains(err.Error(), c.why) {
			t.Errorf("%s = %s: %v, want %q", c.key, c.value, err, c.why)
		}
	}
}

func TestReason(t *testing.T) {
	now := time.Date(2026, 12, 24, 18, 0, 0, 0, time.UTC)
	s := Sanction{Kind: Mute, UID: "x", Until: now.In(time.FixedZone("CET", 3600)), Why: "shouting"}
	if got := s.Reason(); got != "you are muted until 2026-12-24 18:00:00 UTC: shouting" {
		t.Error(got)
	}
	if got := (Sanction{Kind: Ban}).Reason(); got != "you are banned" {
		t.Error(got)
	}
	if s.Over(now.Add(-1)) || !s.Over(now) || (Sanction{}).Over(now) {
		t.Error("over at the wrong time")
	}
}

// Setting one removes those that are over, and only those; lifting removes also
// what cannot be read.
func TestSetAndLift(t *testing.T) {
	reg := discovery.NewMemory().Open()
	defer reg.Close()
	ctx := t.Context()
	set := func(s Sanction) {
		t.Helper()
		if err := Set(ctx, reg, s); err != nil {
			t.Fatal(err)
		}
	}
	past := time.Now().Add(-time.Hour)
	for _, uid := range []string{"a", "b"} {
		if err := discovery.Set(ctx, reg, "sanction/ban/"+uid, `{"until":"`+past.Format(time.RFC3339)+`"}`); err != nil {
			t.Fatal(err)
		}
	}
	if err := discovery.Set(ctx, reg, "sanction/ban/broken", "no"); err != nil {
		t.Fatal(err)
	}
	set(Sanction{Kind: Mute, UID: "c", Why: "x"})
	set(Sanction{Kind: Ban, UID: "a"})
	set(Sanction{Kind: Ban, UID: "c", Until: time.Now().Add(time.Hour)})
	all, broken := List(reg.Snapshot())
	if len(all) != 3 || all[0].UID != "a" || all[1].Kind != Ban || all[2].Kind != Mute || len(broken) != 1 {
		t.Fatalf("listed %+v, %v", all, broken)
	}
	for uid, want := range map[string]int{"c": 2, "broken": 1, "nobody": 0} {
		if lifted, err := Lift(ctx, reg, uid); err != nil || len(lifted) != want {
			t.Errorf("%s: lifted %v, %v", uid, lifted, err)
		}
	}
	if all, broken := List(reg.Snapshot()); len(all) != 1 || len(broken) != 0 {
		t.Errorf("listed %+v, %v", all, broken)
	}
	if err := Set(ctx, reg, Sanction{Kind: "kick", UID: "c"}); err == nil {
		t.Error("a kick was set")
	}
}

func FuzzParse(f *testing.F) {
	f.Add("sanction/ban/alice", `{"until":"2026-12-24T18:00:00Z","why":"x"}`)
	f.Add("sanction/mute/a%2Fb", `{}`)
	f.Add("sanction/mute/%", `{"until":null}`)
	f.Fuzz(func(t *testing.T, key, value string) {
		s, err := Parse(key, value)
		if err != nil {
			return
		}
		if s.Key() != key {
			t.Errorf("the key of %+v is %q, not %q", s, s.Key(), key)
		}
		again, err := s.Value()
		if err != nil {
			t.Fatal(err)
		}
		got, err := Parse(key, again)
		s.Until = s.Until.Truncate(time.Second)
		if err != nil || got != s {
			t.Errorf("%q is read as %+v, %v; want %+v", again, got, err, s)
		}
	})
}
