// Package wire is what memsd and its clients say to each other.
//
// A message is one frame of cellnet's LinkFraming and holds one JSON value: a Request from the client, a Reply from
// memsd. Each request has an ID, and memsd answers each, in any order, under that ID. What memsd sends on its own has
// ID 0. A connection goes like this:
//
//	hello      versions and nonces are exchanged; what the client last saw is named
//	proof      both prove that they know the cluster secret, if memsd has one; nothing else is answered before
//	register   for each lease the client holds
//	page ...   the whole state, in parts that fit a frame; left out when memsd remembers all that the client missed
//	watch      from then on memsd sends every event, in order
//	ping       often enough that memsd does not take the client for dead
//	bye        the client goes for good: its services leave at once
//
// Open wire.go first; parse.go is what stands between the network and the rest.
package wire

import (
	"time"

	"github.com/davyxu/cellmesh_demo/util/discovery/store"
)

// Version of the protocol. Peers with different versions do not talk.
const Version = 1

// MaxFrame is the size of the largest frame in bytes. A batch of store.MaxBatch fits, even if JSON must escape all of it.
const MaxFrame = 8 << 20

// MaxClientName is how many bytes Hello.Name may have.
const MaxClientName = 256

// The time a client may be silent before its services are removed.
const (
	MinTTL     = 100 * time.Millisecond
	DefaultTTL = 10 * time.Second
	MaxTTL     = 5 * time.Minute
)

// Do is what a request asks for.
type Do string

// All requests.
const (
	DoHello    Do = "hello"    // Hello; answered with Welcome
	DoProof    Do = "proof"    // Proof; answered with Proof
	DoPing     Do = "ping"     // answered with nothing but the ID
	DoApply    Do = "apply"    // Ops; answered with Revision
	DoRegister Do = "register" // Owner, Service; answered with Service and Revision
	DoLeave    Do = "leave"    // Owner; answered with Revision
	DoPage     Do = "page"     // Page; answered with Page
	DoWatch    Do = "watch"    // From; answered with Revision, and Reset if pages are needed first
	DoForget   Do = "forget"   // removes all services; those that live register again
	DoStatus   Do = "status"   // answered with Status
	DoBye      Do = "bye"      // not answered: memsd closes the connection
)

// Request is a message from a client.
type Request struct {
	ID      uint64         `json:"id"`
	Do      Do             `json:"do"`
	Hello   *Hello         `json:"hello,omitempty"`
	Proof   []byte         `json:"proof,omitempty"`
	Ops     []store.Op     `json:"ops,omitempty"`
	Owner   string         `json:"owner,omitempty"` // of a lease: random, known to nobody else
	Service *store.Service `json:"service,omitempty"`
	Page    int            `json:"page,omitempty"`   // which; 0 begins again with a newer state
	Data    string         `json:"data,omitempty"`   // with page 0: the lineage of the values that the client has, and ...
	Values  uint64         `json:"values,omitempty"` // ... when they changed last; if nothing is new they are left out
	From    uint64         `json:"from,omitempty"`
}

// Hello is the first request on a connection.
type Hello struct {
	Version  int    `json:"version"`
	Name     string `json:"name,omitempty"` // who the client is, for people
	Nonce    []byte `json:"nonce"`
	TTL      int64  `json:"ttl"`                // milliseconds
	History  string `json:"history,omitempty"`  // of Welcome, when the client was connected before
	Revision uint64 `json:"revision,omitempty"` // the newest that the client has seen
}

// Reply is a message from memsd: an answer, or with ID 0 a push.
type Reply struct {
	ID       uint64         `json:"id,omitempty"`
	Error    *Error         `json:"error,omitempty"`
	Welcome  *Welcome       `json:"welcome,omitempty"`
	Proof    []byte         `json:"proof,omitempty"`
	Revision uint64         `json:"revision,omitempty"`
	Service  *store.Service `json:"service,omitempty"`
	Settling bool           `json:"settling,omitempty"` // with Page: memsd is up for so short that not all services can be back; Settled follows
	Page     *Page          `json:"page,omitempty"`
	Next     int            `json:"next,omitempty"`  // with Page: which to ask for next; 0: this was the last
	Same     bool           `json:"same,omitempty"`  // with Page: the client has the values already; only services follow
	Reset    bool           `json:"reset,omitempty"` // also as a push: fetch the pages and watch again
	Status   *Status        `json:"status,omitempty"`

	Events  []Event `json:"events,omitempty"`  // push: what happened
	Lost    string  `json:"lost,omitempty"`    // push: the owner whose registration another one has taken; Error says how
	Settled uint64  `json:"settled,omitempty"` // push: the revision at which memsd has been up long enough for all to be back
}

// Welcome answers Hello.
type Welcome struct {
	History string `json:"history"` // one life of memsd: revisions of another life tell nothing of its services
	Data    string `json:"data"`    // the lineage of its values, which outlives it
	Nonce   []byte `json:"nonce,omitempty"`
	Secret  bool   `json:"secret,omitempty"` // a proof is wanted
}

// Page is a part of the state at one revision: services first, then values.
type Page struct {
	Revision uint64      `json:"revision"`
	ValuesAt uint64      `json:"valuesAt"` // the revision of the newest change of a value
	Services []*Service  `json:"services,omitempty"`
	Values   [][2]string `json:"values,omitempty"`
}

// Status is how memsd is.
type Status struct {
	Address   string    `json:"address"`
	PID       int       `json:"pid"`
	Version   string    `json:"version,omitempty"`
	Started   time.Time `json:"started"`
	History   string    `json:"history"`
	Revision  uint64    `json:"revision"`
	Services  int       `json:"services"`
	Keys      int       `json:"keys"`
	Bytes     int       `json:"bytes"` // of all keys and values
	Clients   int       `json:"clients"`
	Watchers  int       `json:"watchers"`
	File      string    `json:"file,omitempty"` // empty: values are not kept
	FileSize  int64     `json:"fileSize,omitempty"`
	Journal   int64     `json:"journal"` // bytes not yet compacted into File
	LastWrite time.Time `json:"lastWrite,omitzero"`
	LastError string    `json:"lastError,omitempty"` // why the last write failed, if it did
}

// Roles in the proof of the cluster secret (package peerauth), over both nonces, the client's first.
const (
	RoleClient = "memsd client"
	RoleServer = "memsd server"
)
