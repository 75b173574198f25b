package link

import (
	"fmt"
	"strings"

	"github.com/davyxu/cellmesh_demo/util/discovery"
)

// Rule tells which service groups a process links to. The zero Rule links to
// nobody.
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
		if !named {
			name, group = "", name
		}
		if named && !isWord(name) || group != "*" && !isWord(group) {
			return Rule{}, fmt.Errorf("%q: %q is neither name:group nor group; * is any group", s, entry)
		}
		_, twice := r.byName[name]
		switch {
		case named && twice:
			return Rule{}, fmt.Errorf("%q: service %s is named twice", s, name)
		case named:
			r.byName[name] = group
		case bare:
			return Rule{}, fmt.Errorf("%q: %s and %s cannot both be the group for all other services", s, r.other, group)
		default:
			r.other, bare = group, true
		}
	}
	return r, nil
}

// isWord reports whether s can be a service's name or group.
func isWord(s string) bool {
	_, _, _, err := discovery.ParseID(discovery.FormatID(s, 0, s))
	return err == nil
}

// Allows reports whether the rule links to service name of group.
func (r Rule) Allows(name, group string) bool {
	want, ok := r.byName[name]
	if !ok {
		want = r.other
	}
	return want == "*" || want == group
}
