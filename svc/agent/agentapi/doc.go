// Package agentapi is how a backend (game, social) talks to clients, which it
// reaches through agents.
//
// A backend gives [Serve] a [Handler]; each client that an agent introduces, or
// passes a message of, is a [Client]. Everything about one client runs one
// after the other, in the order it was sent; different clients' messages run
// in parallel; a handler may block and harms only its own client. What one
// client lets wait is bounded in number and bytes; more is refused.
//
// Open server.go first, then client.go; agent.go is what one agent's link
// brings, run.go how it is handled, push.go what goes to many clients at once,
// groups.go which of them belong together, users.go how a uid keeps to one
// session. A service that wants to know everybody who is online calls
// [Server.Greet]: greet.go, presence.go, and ask.go for what it can ask then. One
// that stops hands its clients over with [Server.Retire]: retire.go.
//
// A client takes some 300 bytes of a backend's heap, and after Greet each player
// who is online, wherever, some 140 more.
//
// # Groups
//
// The names of groups are one space for all services, and what a backend puts in
// front of a slash says whose a group is:
//
//	room/NAME   social: the members of a chat room
package agentapi
