// Package cellnet carries frames between peers: over TCP, WebSocket, TLS or
// memory, fast, bounded and with a reason for every end.
//
// A frame is a byte slice; how its length is written is the [Framing]'s
// business. A [Session] is one connection: its reader hands frames to a
// [Handler], anyone may Append frames to it, and whoever finishes a batch calls
// Flush, so that many frames leave in one write. An [Acceptor] serves a
// listener, [Dial] connects to one, [Pipe] and [MemoryNetwork] do without a
// network.
//
// # What a session promises
//
//   - Append and Flush never block. Bytes the socket does not take at once are
//     left to a writer goroutine that lives until they are written.
//   - Waiting bytes are bounded by Config.MaxPending. A peer that does not read
//     is cut (or, with Config.Refuse, refused) and counted; nobody else notices.
//   - An inbound frame is checked against Config.MaxFrame before room is made
//     for it, and room grows with the bytes that really arrive.
//   - A session ends once, with the first reason given, and Handler.Closed is
//     the last thing that hears of it. Close still writes what was appended.
//   - A session that waits costs little: buffers are borrowed from a pool while
//     there are bytes, and on Linux an accepted session that has been quiet for
//     some seconds has no goroutine either (about 2.3 KiB in all, measured by
//     BenchmarkIdleTCP and BenchmarkIdleWebSocket).
//
// # Where to read
//
// Begin with session.go, then reader.go, writer.go and closing.go: the four
// parts of a session's life. frame.go and websocket.go know the bytes on the
// wire. acceptor.go is the API of the accepting side; server.go, sniff.go and
// handshake.go bring its sessions into being; sweep.go and doze_linux.go look
// after the quiet ones, loop_linux.go reads those of handlers that never block.
// prepared.go is one frame for many sessions. dial.go is the connecting side,
// memory.go does without a network. sock_unix.go, sock_other.go and the brief_*.go
// hold what differs between systems; attend_unix.go shortens the dialogue of two
// peers.
package cellnet
