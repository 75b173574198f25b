package route

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
)

// Table finds the rule of a message ID. It never changes, so any number of goroutines may read one;
// a new table takes its place as a whole. The zero Table blocks everything.
type Table struct {
	rules []Rule                     // by Msg
	index [math.MaxUint16 + 1]uint16 // by ID: 1 + position in rules, 0 = none
}

// New builds a table, or says everything that is wrong with the rules. It keeps no reference to them.
func New(rules []Rule) (*Table, error) {
	t := &Table{rules: slices.Clone(rules)}
	slices.SortStableFunc(t.rules, func(a, b Rule) int { return strings.Compare(a.Msg, b.Msg) })
	var mistakes []error
	for i := range t.rules {
		r := &t.rules[i]
		err := r.Check()
		switch {
		case err != nil:
		case i > 0 && t.rules[i-1].Msg == r.Msg:
			err = errors.New("there are two rules for it")
		case t.index[r.ID] != 0:
			err = fmt.Errorf("id %d is that of %s too", r.ID, t.rules[t.index[r.ID]-1].Msg)
		default:
			t.index[r.ID] = uint16(i + 1) // fits: ID 0 is refused, so there are at most 65535 rules
		}
		if err != nil {
			mistakes = append(mistakes, fmt.Errorf("rule of %q (id %d): %w", r.Msg, r.ID, err))
		}
	}
	if len(mistakes) > 0 {
		return nil, errors.Join(mistakes...)
	}
	return t, nil
}

// Lookup returns the rule of a message ID, nil when there is none, which means blocked.
func (t *Table) Lookup(id uint16) *Rule {
	if i := t.index[id]; i != 0 {
		return &t.rules[i-1]
	}
	return nil
}

// Len is the number of rules.
func (t *Table) Len() int { return len(t.rules) }

// Rules returns a copy of all rules, by message name.
func (t *Table) Rules() []Rule { return slices.Clone(t.rules) }
