package choice

import (
	"encoding/json"
	"testing"
)

func TestVersions(t *testing.T) {
	var v Versions
	text := `{"rules": [{"below": "1.2", "refuse": "please update"}, {"from": "2.0-beta", "below": "2.0", "group": "beta"}, {"from": "v3", "group": "next"}]}`
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	if err := v.Validate(); err != nil {
		t.Fatal(err)
	}
	for version, want := range map[string]string{
		"1.0": "please update", "1.1.9": "please update", "v1": "please update", "": "please update", "garbage": "please update",
		"1.2": "", "1.10": "", "2.0-alpha": "", "2.0": "", "2.0-beta": "beta", "2.0.0-beta.2": "beta", "3": "next", "v3.1.4": "next",
	} {
		got := ""
		if r := v.Find(version); r != nil {
			got = r.Refuse + r.Group
		}
		if got != want {
			t.Errorf("%q: %q, want %q", version, got, want)
		}
	}
	for _, bad := range []VersionRule{{From: "new", Group: "x"}, {Below: "1.2"}, {Below: "1.2", Group: "x", Refuse: "y"}} {
		if (&Versions{[]VersionRule{bad}}).Validate() == nil {
			t.Errorf("%+v is taken", bad)
		}
	}
	if (&Versions{}).Find("1.0") != nil {
		t.Error("a rule is found where there is none")
	}
}

// Clients send what they like.
func FuzzFind(f *testing.F) {
	v := &Versions{[]VersionRule{{Below: "1.2", Refuse: "x"}, {From: "1.2", Group: "y"}}}
	for _, s := range []string{"", "1", "v1.2", "1.2.3-a.b+c", "1..2"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if v.Find(s) == nil {
			t.Errorf("no rule for %q, though one is for all below and one for the rest", s)
		}
	})
}
