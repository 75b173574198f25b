package route

import (
	"fmt"
	"strconv"
	"strings"
)

// Explain tells in one line what the table says about a message, given by name (upper or lower case)
// or by ID, and why.
func (t *Table) Explain(message string) string {
	r := t.find(message)
	if r == nil {
		return fmt.Sprintf("%s: blocked, because it has no rule. To let clients send it, give it an option (route) in its .proto file and run proto/MakeProto.sh.", message)
	}
	var s strings.Builder
	fmt.Fprintf(&s, "%s (ID %d): ", r.Msg, r.ID)
	switch r.Access {
	case Blocked:
		fmt.Fprintf(&s, "blocked by its rule. Service %s handles it, but not through the agent.", r.Service)
		return s.String()
	case Pass:
		s.WriteString("pass, every client may send it, ")
	case Auth:
		s.WriteString("auth, clients that are verified may send it, ")
	}
	if r.Service == "agent" {
		s.WriteString("and the agent itself answers. ")
	} else {
		fmt.Fprintf(&s, "and it goes to service %s", r.Service)
		if r.SvcIDField != 0 {
			fmt.Fprintf(&s, ", to the instance that its field %d names", r.SvcIDField)
		}
		s.WriteString(". ")
	}
	fmt.Fprintf(&s, "Body of at most %d bytes; ", r.Limit())
	if r.Rate == 0 {
		s.WriteString("any number of messages.")
	} else {
		fmt.Fprintf(&s, "%v messages a second per client, %d at once.", r.Rate, r.BurstSize())
	}
	return s.String()
}

func (t *Table) find(message string) *Rule {
	if id, err := strconv.ParseUint(message, 10, 16); err == nil {
		return t.Lookup(uint16(id))
	}
	for i := range t.rules {
		if strings.EqualFold(t.rules[i].Msg, message) {
			return &t.rules[i]
		}
	}
	return nil
}
