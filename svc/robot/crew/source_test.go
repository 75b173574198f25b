package crew

import (
	"fmt"
	"strings"
	"testing"
)

func TestParseSources(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"", "[<nil>]"},
		{"127.0.1.1", "[127.0.1.1:0]"},
		{"127.0.1.254-127.0.2.1", "[127.0.1.254:0 127.0.1.255:0 127.0.2.0:0 127.0.2.1:0]"},
		{"127.0.1.1, ::1", "[127.0.1.1:0 [::1]:0]"},
		{"127.0.1.2-127.0.1.1", "backwards"},
		{"127.0.1.2-::1", "backwards"},
		{"127.0.0.0-127.255.255.255", "more than"},
		{"localhost", "unable to parse"},
		{"127.0.1.1-", "unable to parse"},
		{",", "unable to parse"},
	} {
		got := ""
		s, err := parseSources(test.text)
		if err != nil {
			got = err.Error()
		} else {
			var all []any
			for _, d := range s.dialers {
				all = append(all, d.LocalAddr)
			}
			got = fmt.Sprint(all)
		}
		if !strings.Contains(got, test.want) {
			t.Errorf("%q: %s, want %s", test.text, got, test.want)
		}
	}
}

func FuzzParseSources(f *testing.F) {
	f.Add("127.0.1.1-127.0.1.9,::1")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := parseSources(text)
		if err == nil && (len(s.dialers) == 0 || len(s.dialers) > maxSources) {
			t.Errorf("%q: %d addresses", text, len(s.dialers))
		}
	})
}
