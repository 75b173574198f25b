package route

import (
	"fmt"

	"github.com/davyxu/cellmesh_demo/proto/pb"
)

// FromMessages makes the table of all messages that have an option (route) in the .proto files.
func FromMessages(messages []pb.MessageInfo) (*Table, error) {
	var rules []Rule
	for _, m := range messages {
		if m.Service == "" {
			continue
		}
		access, err := access(m.Rule)
		if err != nil {
			return nil, fmt.Errorf("message %s: %w", m.Name, err)
		}
		rules = append(rules, Rule{
			Msg:        m.Name,
			ID:         m.ID,
			Explicit:   m.Explicit,
			Service:    m.Service,
			Access:     access,
			MaxSize:    m.MaxSize,
			Rate:       m.Rate,
			Burst:      m.Burst,
			SvcIDField: m.SvcIDField,
		})
	}
	return New(rules)
}

func access(rule pb.Rule) (Access, error) {
	switch rule {
	case pb.Rule_BLOCKED:
		return Blocked, nil
	case pb.Rule_PASS:
		return Pass, nil
	case pb.Rule_AUTH:
		return Auth, nil
	}
	return 0, fmt.Errorf("unknown rule %v", rule)
}
