// Package rule is what the agent knows about one client message, and when that is good.
//
// It is apart from package route, which has tables of rules and also makes them from the generated
// package proto/pb: protogen checks rules by this package, and must not need what it makes. There is
// one file.
package rule

import (
	"errors"
	"fmt"
	"math"
	"regexp"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/davyxu/cellmesh_demo/proto/msgid"
)

// MaxBody is the largest body in bytes that a client frame can hold: its u16 size counts the
// message ID too.
const MaxBody = math.MaxUint16 - 2

// Access says which clients may send a message.
type Access uint8

const (
	Blocked Access = iota // nobody
	Pass                  // everybody, also before a service has bound the client to a uid
	Auth                  // clients that are bound to a uid
)

var accessNames = [...]string{Blocked: "blocked", Pass: "pass", Auth: "auth"}

func (a Access) String() string {
	if int(a) < len(accessNames) {
		return accessNames[a]
	}
	return fmt.Sprintf("Access(%d)", uint8(a))
}

// MarshalText gives the name, as it stands in the JSON.
func (a Access) MarshalText() ([]byte, error) {
	if int(a) >= len(accessNames) {
		return nil, fmt.Errorf("unknown rule %d", uint8(a))
	}
	return []byte(accessNames[a]), nil
}

// UnmarshalText refuses names it does not know.
func (a *Access) UnmarshalText(text []byte) error {
	for i, name := range accessNames {
		if string(text) == name {
			*a = Access(i)
			return nil
		}
	}
	return fmt.Errorf("unknown rule %q: must be blocked, pass or auth", text)
}

// Rule is what the agent knows about one client message. Rules in a Table are read only.
type Rule struct {
	Msg      string `json:"msg"`
	ID       uint16 `json:"id"`
	Explicit bool   `json:"explicit_id,omitempty"` // ID was set by hand, it is not the hash of Msg
	Service  string `json:"service"`               // name of the service that handles it
	Access   Access `json:"rule"`

	MaxSize    uint32  `json:"max_size,omitempty"`    // largest body in bytes, 0 = MaxBody
	Rate       float64 `json:"rate,omitempty"`        // messages a second that one client may send, 0 = unlimited
	Burst      uint32  `json:"burst,omitempty"`       // how many at once, 0 = see BurstSize
	SvcIDField uint32  `json:"svcid_field,omitempty"` // number of the string field that names the wished instance, 0 = none
}

// Limit is the largest body allowed, in bytes.
func (r *Rule) Limit() int {
	if r.MaxSize == 0 {
		return MaxBody
	}
	return int(r.MaxSize)
}

// BurstSize is how many messages a client may send at once before Rate counts: what Burst says, else
// what Rate gives in a second, at least one. It has no meaning when Rate is 0.
func (r *Rule) BurstSize() int {
	if r.Burst == 0 {
		return int(max(1, min(math.Ceil(r.Rate), math.MaxInt32)))
	}
	return int(min(r.Burst, math.MaxInt32))
}

var (
	goodName    = regexp.MustCompile(`^[A-Z][A-Za-z0-9]*$`)
	goodService = regexp.MustCompile(`^[a-z][a-z0-9_-]*$`)
)

// Check says what is wrong with r, without naming the message.
func (r *Rule) Check() error {
	switch {
	case r.Msg == "":
		return errors.New("msg is missing")
	case !goodName.MatchString(r.Msg):
		return errors.New("msg must begin with a capital and have only letters and digits")
	case msgid.Reserved(r.ID) != "":
		return fmt.Errorf("id %d cannot be used: %s", r.ID, msgid.Reserved(r.ID))
	case !r.Explicit && r.ID != msgid.Of(r.Msg):
		return fmt.Errorf("id is %d, but the name gives %d: set explicit_id if this is meant", r.ID, msgid.Of(r.Msg))
	case r.Service == "":
		return errors.New("service is missing: who handles this message?")
	case !goodService.MatchString(r.Service):
		return fmt.Errorf("service %q: must be lower case letters, digits, - and _", r.Service)
	case int(r.Access) >= len(accessNames):
		return fmt.Errorf("unknown rule %d", uint8(r.Access))
	case r.MaxSize > MaxBody:
		return fmt.Errorf("max_size is %d bytes, but a client frame holds at most %d", r.MaxSize, MaxBody)
	case math.IsNaN(r.Rate) || math.IsInf(r.Rate, 0) || r.Rate < 0:
		return fmt.Errorf("rate is %v: must be messages per second, or 0 for unlimited", r.Rate)
	case r.Burst > 0 && r.Rate == 0:
		return fmt.Errorf("burst is %d without a rate: set rate, or leave burst out", r.Burst)
	case protowire.Number(r.SvcIDField) > protowire.MaxValidNumber:
		return fmt.Errorf("svcid_field is %d, which no field can have", r.SvcIDField)
	}
	return nil
}
