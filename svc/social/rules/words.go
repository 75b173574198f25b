package rules

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// What a list of words may say.
const (
	MaxWords = 10_000
	maxWord  = 64 // characters
)

// Words finds the words of a list in texts, whatever their capitals and width.
// A word counts where it stands for itself: not as part of a longer one, unless
// it ends in a script that puts no spaces between words. The zero value has no
// words. It does not change, and any goroutine may use it.
type Words struct{ root node }

type node struct {
	next map[rune]*node
	word bool // ends here
}

// NewWords makes Words of a list. An error names the word that makes no sense.
func NewWords(list []string) (*Words, error) {
	if len(list) > MaxWords {
		return nil, fmt.Errorf("%d words are more than %d", len(list), MaxWords)
	}
	w := &Words{}
	for i, word := range list {
		switch {
		case word == "" || word != strings.TrimSpace(word) || !utf8.ValidString(word):
			return nil, fmt.Errorf("word %d (%q) is empty, or has spaces around it", i+1, word)
		case utf8.RuneCountInString(word) > maxWord:
			return nil, fmt.Errorf("word %d (%.20q...) has more than %d characters", i+1, word, maxWord)
		}
		n := &w.root
		for _, r := range word {
			r = fold(r)
			if n.next == nil {
				n.next = map[rune]*node{}
			}
			if n.next[r] == nil {
				n.next[r] = &node{}
			}
			n = n.next[r]
		}
		n.word = true
	}
	return w, nil
}

// Mask returns text with a star for each character of the words found, and
// whether there were any.
func (w *Words) Mask(text string) (masked string, found bool) {
	if w.root.next == nil {
		return text, false
	}
	runes := []rune(text)
	for i := 0; i < len(runes); {
		end := w.at(runes, i)
		if end == 0 {
			i++
			continue
		}
		found = true
		for ; i < end; i++ {
			runes[i] = '*'
		}
	}
	if !found {
		return text, false
	}
	return string(runes), true
}

// at is the end of the longest word at i, 0 if there is none.
func (w *Words) at(text []rune, i int) (end int) {
	if i > 0 && joined(text[i-1], text[i]) {
		return 0
	}
	n := &w.root
	for j := i; j < len(text); j++ {
		if n = n.next[fold(text[j])]; n == nil {
			break
		}
		if n.word && (j+1 == len(text) || !joined(text[j], text[j+1])) {
			end = j + 1
		}
	}
	return end
}

// fold makes one of a character's capital, small and wide forms.
func fold(r rune) rune {
	if r >= '！' && r <= '～' { // the wide forms of ASCII
		r += '!' - '！'
	}
	return unicode.ToLower(r)
}

// joined reports whether two characters beside each other are of one word.
func joined(a, b rune) bool { return ofWord(a) && ofWord(b) }

func ofWord(r rune) bool {
	return (unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r)) && !unicode.In(r, spaceless...)
}

// spaceless are scripts that put no spaces between words.
var spaceless = []*unicode.RangeTable{unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Thai, unicode.Lao, unicode.Khmer, unicode.Myanmar}
