// Package e2e tests the whole server from outside: it builds the real programs,
// runs them as processes on loopback in temporary folders, and talks through
// the real client's standard input and output.
//
// There is nothing here but tests. Open process_test.go first (one process),
// then site_test.go (a cluster started by hand, program by program), then the
// tests: order, second, restart, oldclient, chat, demo. They need signals and run on
// Unix only; those that send a terminal's Ctrl-C or look for processes left
// behind need Linux.
//
// CELLMESH_E2E_RACE=1 builds the programs with the race detector.
package e2e
