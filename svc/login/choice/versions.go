package choice

import (
	"fmt"
	"strings"

	"golang.org/x/mod/semver"
)

// VersionsKey is where the rules about versions lie in discovery's config.
const VersionsKey = "config/login/versions"

// Versions are rules about the versions of clients; the first that fits counts.
// Without one a client goes where everybody goes.
//
//	{"rules": [
//	  {"below": "1.2", "refuse": "please update to 1.2"},
//	  {"from": "2.0-beta", "group": "beta"}
//	]}
//
// A version is one of semver.org, with a v in front of it or not, and with
// minor and patch or not. What is none counts as older than all.
type Versions struct {
	Rules []VersionRule `json:"rules"`
}

// VersionRule is about the versions from From (all, if it is empty) to those
// below Below (all, if it is empty).
type VersionRule struct {
	From   string `json:"from,omitempty"`
	Below  string `json:"below,omitempty"`
	Refuse string `json:"refuse,omitempty"` // they are told this, and do not get in
	Group  string `json:"group,omitempty"`  // they are sent to services of this group, whatever -linkrule says
}

// Validate says what is wrong with the rules.
func (v *Versions) Validate() error {
	for i, r := range v.Rules {
		for _, text := range []string{r.From, r.Below} {
			if text != "" && !semver.IsValid(canonical(text)) {
				return fmt.Errorf("rule %d: %q is no version like 1.2 or 1.2.3", i+1, text)
			}
		}
		if (r.Refuse == "") == (r.Group == "") {
			return fmt.Errorf("rule %d: want one of refuse and group", i+1)
		}
	}
	return nil
}

// Find is the rule for a version, nil if there is none.
func (v *Versions) Find(version string) *VersionRule {
	version = canonical(version)
	for i := range v.Rules {
		r := &v.Rules[i]
		if (r.From == "" || semver.Compare(version, canonical(r.From)) >= 0) && (r.Below == "" || semver.Compare(version, canonical(r.Below)) < 0) {
			return r
		}
	}
	return nil
}

// canonical is a version as package semver wants it.
func canonical(version string) string {
	core, rest := version, ""
	if i := strings.IndexAny(version, "-+"); i >= 0 {
		core, rest = version[:i], version[i:]
	}
	for n := strings.Count(core, "."); n < 2; n++ {
		core += ".0"
	}
	return "v" + strings.TrimPrefix(core, "v") + rest
}
