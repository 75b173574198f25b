// Package route is the agent's table of what clients may send: which message, under what rule, how
// large and how often, and to which service it goes. Plain types without clock, socket or log.
//
// The table starts as options in the .proto files, is pushed by tool/routegen as JSON into discovery
// under Key, and is swapped whole by every running agent. Open table.go first: the Table and its
// lookup. A Rule and when it is good is in package rule, json.go has the text form, explain.go what
// a table says in words, messages.go makes the table that the .proto files declare, and scan.go reads
// the one field of a body that the agent ever looks at.
package route

import "github.com/davyxu/cellmesh_demo/svc/agent/route/rule"

// Key is where the table lies in discovery.
const Key = "config_demo/route_rule"

// What a table consists of; see package rule.
type (
	Rule   = rule.Rule
	Access = rule.Access
)

// Which clients may send a message.
const (
	Blocked = rule.Blocked // nobody
	Pass    = rule.Pass    // everybody, also before a service has bound the client to a uid
	Auth    = rule.Auth    // clients that are bound to a uid
)

// MaxBody is the largest body in bytes that a client frame can hold.
const MaxBody = rule.MaxBody
