// Package link connects services to each other.
//
// A link is one TCP connection between two services, identified on both
// sides, that carries everything the two say: control messages (cluster.proto)
// and the relayed messages of all clients. [Links] keeps the wanted ones: it
// dials what discovery shows under the link rule, accepts what dials in,
// reconnects with backoff and jitter, and removes only its own entries.
//
// # What a link promises
//
//   - What one side appends arrives in order, or the link ends and both sides
//     know: a control message that finds no room ends the link, a relayed one is
//     refused with cellnet.ErrFull and the link lives.
//   - There is one link to a svcid. Of two the one of the newer registration
//     (higher epoch) is right; of two of the same registration the newer link,
//     and if both sides have dialed each other, the one dialed by the smaller
//     svcid, so that both keep the same.
//   - A link stands when both sides have said so: each has checked who the other
//     is, and with a cluster secret that it knows it.
//   - A peer that hangs, or whose host has vanished, is noticed: each side says
//     something every 3 seconds, and 12 to 15 seconds of silence end the link.
//
// The rule decides whom a process dials, not whom it accepts: the group that
// wants to reach into another says so, once, on its side.
//
// Start reading at links.go; dial.go keeps the wanted links up, handshake.go is
// how two sides learn who the other is, frame.go what travels, pulse.go how
// silence is noticed.
package link
