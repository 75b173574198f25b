package rules

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// MaxRoom is the longest name of a room, in characters.
const MaxRoom = 32

// Text returns what is wrong with a text of at most so many characters (code
// points, not bytes), in words for whoever wrote it.
func Text(s string, most int) error {
	if len(s) > most*utf8.UTFMax {
		return tooLong(s, most)
	}
	characters, seen := 0, false
	for i, r := range s {
		if r == utf8.RuneError && !strings.HasPrefix(s[i:], "\uFFFD") {
			return errors.New("it is no valid UTF-8")
		}
		if r < utf8.RuneSelf { // most are
			if r < ' ' || r == 0x7f {
				return hidden(r)
			}
			seen = seen || r != ' '
		} else {
			if isHidden(r) {
				return hidden(r)
			}
			seen = seen || !unicode.IsSpace(r) && !unicode.Is(unicode.Cf, r)
		}
		characters++
	}
	switch {
	case characters > most:
		return tooLong(s, most)
	case !seen:
		return errors.New("it is empty")
	}
	return nil
}

func tooLong(s string, most int) error {
	return fmt.Errorf("it has %d characters, at most %d are allowed", utf8.RuneCountInString(s), most)
}

func hidden(r rune) error { return fmt.Errorf("it has the control character %U", r) }

// isHidden reports whether r does something instead of being seen: control
// characters, those that change the direction of what follows, line separators.
// Those that scripts and emoji are composed with are no such.
func isHidden(r rune) bool {
	switch {
	case r == '\u200c', r == '\u200d', r == '\u200e', r == '\u200f': // joiners, marks of direction
		return false
	case r >= 0xe0020 && r <= 0xe007f: // tags: some flags
		return false
	}
	return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Noncharacter_Code_Point)
}

// Room returns what is wrong with the name of a room, in words. Two good names
// that look alike are the same: there are no capitals, and one way to compose
// characters.
func Room(name string) error {
	if name == "" {
		return errors.New("a room has a name")
	}
	if len(name) > MaxRoom*utf8.UTFMax || utf8.RuneCountInString(name) > MaxRoom {
		return fmt.Errorf("a room's name has at most %d characters", MaxRoom)
	}
	for i, r := range name {
		switch {
		case unicode.IsUpper(r), unicode.IsTitle(r):
			return fmt.Errorf("a room's name has no capitals: try %q", strings.ToLower(name))
		case unicode.IsLetter(r), unicode.IsDigit(r), i > 0 && unicode.IsMark(r), i > 0 && (r == '-' || r == '_'):
		default:
			return errors.New("a room's name is of letters and digits, with - and _ between them")
		}
	}
	if !norm.NFKC.IsNormalString(name) {
		return errors.New("a room's name is written with the usual form of each character (NFKC)")
	}
	return nil
}
