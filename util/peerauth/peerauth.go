// Package peerauth lets two peers prove to each other that they know the same
// secret without sending it: each sends a fresh nonce, and answers the other's
// with a proof that only the secret can make, bound to both nonces, to the
// role it plays and to the names of both.
//
// There is one file.
package peerauth

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
)

// NonceSize is the length of a nonce in bytes.
const NonceSize = 32

// NewNonce makes a nonce.
func NewNonce() []byte {
	b := make([]byte, NonceSize)
	rand.Read(b) // never fails
	return b
}

// Proof is the proof of secret for one role in one exchange, described by
// parts: both nonces, and whatever else both sides know and must agree on.
// Parts are delimited, so that no two lists of parts look the same.
func Proof(secret, role string, parts ...[]byte) []byte {
	mac := hmac.New(sha256.New, []byte(secret))
	write := func(p []byte) {
		var n [8]byte
		binary.LittleEndian.PutUint64(n[:], uint64(len(p)))
		mac.Write(n[:])
		mac.Write(p)
	}
	write([]byte(role))
	for _, p := range parts {
		write(p)
	}
	return mac.Sum(nil)
}

// Verify reports whether proof is the one that secret gives for role and
// parts. It takes the same time whatever is wrong. A nonce of the wrong length
// is for the caller to refuse.
func Verify(proof []byte, secret, role string, parts ...[]byte) bool {
	return hmac.Equal(proof, Proof(secret, role, parts...))
}
