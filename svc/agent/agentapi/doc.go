// Package agentapi is how a backend (game, social) talks to clients, which it
// reaches through agents.
//
// A backend gives [Serve] a [Handler]; each client that an agent introduces, or
// passes a message of, is a [Client]. Everything about one client runs one
// after the other, in the order it was sent; different clients' messages run
// in parallel; a handler may block and harms only its own client. Open
// server.go first, then client.go.
package agentapi
