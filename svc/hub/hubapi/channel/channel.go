// Package channel is what channels are called, and who has subscribed to which.
//
// A channel is words with dots between them: "game", "room.3.topic",
// "game#0@dev". A subscription names one channel or, by a pattern, many: the word
// * stands for any one word, and > as the last word for one or more.
// "room.*.topic" matches "room.3.topic", "room.>" that and "room.3", neither
// matches "room". It is how NATS names its subjects.
//
// channel.go has the names, table.go who has subscribed.
package channel

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Max is the longest channel or pattern in bytes.
const Max = 255

// Check fails if name is no channel that can be published on.
func Check(name string) error {
	wild, err := check(name)
	if err == nil && wild {
		err = fmt.Errorf("channel %q: * and > are for subscriptions only", name)
	}
	return err
}

// CheckPattern fails if pattern is nothing that can be subscribed to.
func CheckPattern(pattern string) error {
	_, err := check(pattern)
	return err
}

// IsPattern reports whether pattern, which has been checked, has wildcards.
func IsPattern(pattern string) bool {
	wild, _ := check(pattern)
	return wild
}

// check allocates nothing for names that are right.
func check(name string) (wild bool, err error) {
	if name == "" || len(name) > Max {
		return false, fmt.Errorf("a channel of %d bytes: 1 to %d are allowed", len(name), Max)
	}
	plain := true // ASCII, so that it is UTF-8
	word := 0     // where the word begins
	for i := 0; i <= len(name); i++ {
		if i < len(name) && name[i] != '.' {
			c := name[i]
			if c <= ' ' || c == 0x7f {
				return false, fmt.Errorf("channel %q: spaces and control characters are not allowed", name)
			}
			plain = plain && c < utf8.RuneSelf
			continue
		}
		switch w := name[word:i]; {
		case w == "":
			return false, fmt.Errorf("channel %q: a word is empty", name)
		case w == "*":
			wild = true
		case w == ">" && i == len(name):
			wild = true
		case strings.ContainsAny(w, "*>"):
			return false, fmt.Errorf("channel %q: * is a word of its own, and so is >, which comes last", name)
		}
		word = i + 1
	}
	if !plain && !utf8.ValidString(name) {
		return false, fmt.Errorf("channel %q is not UTF-8", name)
	}
	return wild, nil
}

// Match reports whether pattern matches the channel. Both have been checked.
func Match(pattern, name string) bool {
	for {
		want, moreWanted, wants := strings.Cut(pattern, ".")
		if want == ">" {
			return true // a channel has no empty words: at least one is left
		}
		word, more, has := strings.Cut(name, ".")
		if want != "*" && want != word || wants != has {
			return false
		}
		if !wants {
			return true
		}
		pattern, name = moreWanted, more
	}
}
