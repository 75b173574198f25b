// Package certfile makes TLS configurations of PEM files that are read again when they change, so that a certificate is
// renewed without a restart: of a server's certificate and key ([Server]), and of the certificates that a client trusts
// ([Client]).
//
// Files are looked at when a connection begins, at most once a second. Files that cannot be used leave what was read
// before in force, and are told once for each change.
//
// Open watched.go first.
package certfile
