// Package rules says what may be said in chat, in which rooms, and under which
// line IDs: plain types, without clock, network or disk.
//
// text.go is the form of texts and names of rooms, words.go the list of words
// that nobody shall read, ids.go the IDs of lines.
package rules
