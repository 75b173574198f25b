package link

import (
	"fmt"
	"strings"
)

// Rule tells which service groups a process links to. The zero Rule links to
// its own group only.
type Rule struct {
	byName map[string]string
	other  string
}

// ParseRule reads a -linkrule: entries separated by "|", each "name:group" for
// one service or a bare "group" for all others; "*" is any group. Without a
// bare entry the others are taken from own.
func ParseRule(s, own string) (Rule, error) {
	r := Rule{byName: map[string]string{}, other: own}
	if strings.TrimSpace(s) == "" {
		return r, nil
	}
	bare := false
	for entry := range strings.SplitSeq(s, "|") {
		name, group, named := strings.Cut(strings.TrimSpace(entry), ":")
		switch {
		case named && name != "" && group != "":
			if _, twice := r.byName[name]; twice {
				return Rule{}, fmt.Errorf("link rule %q: service %s is named twice", s, name)
			}
			r.byName[name] = group
		case !named && name != "" && !bare:
			r.other, bare = name, true
		default:
			return Rule{}, fmt.Errorf("link rule %q: %q is not name:group, nor the one group for all others", s, entry)
		}
	}
	return r, nil
}

// Allows reports whether the rule links to service name of group.
func (r Rule) Allows(name, group string) bool {
	want, ok := r.byName[name]
	if !ok {
		want = r.other
	}
	return want == "*" || want == group
}
