// Package link connects services to each other.
//
// A link is one TCP connection between two services, identified on both
// sides, that carries everything the two say: control messages (cluster.proto)
// and the relayed messages of all clients. [Links] keeps the wanted ones: it
// dials what discovery shows under the link rule, accepts what dials in,
// reconnects with backoff and jitter, and removes only its own entries.
//
// Start reading at links.go; frame.go is what travels, handshake.go is how the
// two sides learn who the other is.
package link
