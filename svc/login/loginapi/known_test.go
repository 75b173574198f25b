package loginapi

import (
	"path/filepath"
	"testing"
)

// Who has logged in is known to every process at once, and for ever.
func TestKnown(t *testing.T) {
	file := filepath.Join(t.TempDir(), "test.db")
	login, social := newSessions(t, file), newSessions(t, file)
	known := func(uid string) bool {
		t.Helper()
		is, err := social.Known(t.Context(), uid)
		if err != nil {
			t.Fatal(err)
		}
		return is
	}
	if known("alice") {
		t.Error("alice has not logged in")
	}
	g := raise(t, login, "alice")
	if !known("alice") || known("Alice") || known("") {
		t.Error("alice has logged in, and nobody else")
	}
	if err := login.Redeem(t.Context(), g); err != nil {
		t.Fatal(err)
	}
	if !known("alice") {
		t.Error("alice is forgotten")
	}
}
