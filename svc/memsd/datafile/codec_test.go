package datafile

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/davyxu/cellmesh_demo/util/discovery/store"
)

func sorted(values map[string]string) func(func(string, string) bool) {
	return func(yield func(string, string) bool) {
		for _, k := range slices.Sorted(maps.Keys(values)) {
			if !yield(k, values[k]) {
				return
			}
		}
	}
}

func TestEncodeIsReadable(t *testing.T) {
	got := string(Encode(sorted(map[string]string{
		"config/rule":  "{\n  \"a\": [\n    1,\n    \"<&>\"\n  ],\n  \"b\": {}\n}",
		"config/close": `{"a":1}`,
		"text":         "a\nb",
		"empty":        "",
		"list":         "[]",
	})))
	want := `{
  "version": 1,
  "values": {
    "config/close": "{\"a\":1}",
    "config/rule": {
      "a": [
        1,
        "<&>"
      ],
      "b": {}
    },
    "empty": "",
    "list": [],
    "text": "a\nb"
  }
}
`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got := string(Encode(sorted(nil))); got != "{\n  \"version\": 1,\n  \"values\": {}\n}\n" {
		t.Errorf("empty: %q", got)
	}
}

func TestDecodeTakesWhatPeopleWrite(t *testing.T) {
	got, err := Decode([]byte("\ufeff{ \"values\": {\"n\": 5, \"t\": true, \"o\": {\"a\":1}, \"s\": \"x\\u00e9\"}, \"version\":1 }"))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"n": "5", "t": "true", "o": "{\n  \"a\": 1\n}", "s": "xé"}
	if !maps.Equal(got, want) {
		t.Fatalf("got %q, want %q", got, want)
	}
	for _, empty := range []string{"", " \n\t"} {
		if got, err := Decode([]byte(empty)); err != nil || len(got) != 0 {
			t.Errorf("an empty file: %v, %v", got, err)
		}
	}
}

func TestDecodeSaysWhere(t *testing.T) {
	for text, want := range map[string]string{
		"{\n  \"version\": 1,\n  \"values\": {\n    \"a\": \"x\"\n    \"b\": \"y\"\n  }\n}":    "line 5, column 5",
		"{\n  \"version\": 1,\n  \"values\": {\n    \"a\": {\n      \"b\": 1,,\n    }\n  }\n}": "line 5, column 14",
		"{\n  \"version\": 1,\n  \"values\": {\n    \"é\": é\n  }\n}":                          "line 4, column 10",
		"{\"version\": 1, \"values\": {\"a\": \"x\"":                                           "line 1, column 35",
		"{\n \"version\": 2, \"values\": {}}":                                                  "line 2, column 13",
		"{\n \"version\": \"1\", \"values\": {}}":                                              "line 2, column 13",
		"{\n\"values\": {}}":                                                                "line 1, column 1",
		"{\"version\": 1, \"values\": {}, \"other\": 1}":                                    "line 1, column 30",
		"{\"version\": 1, \"values\": {}}\n{}":                                              "line 2, column 1",
		"{\"version\": 1, \"values\": {\"a\": \"\",\n \"a\": \"\"}}":                        "line 2, column 2",
		"{\"version\": 1, \"values\": {\"a\": null}}":                                       "line 1, column 32",
		"{\"version\": 1, \"values\": {\"\": \"x\"}}":                                       "line 1, column 27",
		"{\"version\": 1, \"values\": {\"a\": \"" + strings.Repeat("x", 512<<10+1) + "\"}}": "line 1, column 32",
		"{\"version\": 1,\n\"values\": {\"a\": \"\xff\"}}":                                  "line 2, column 18",
		"[]":                               "line 1, column 1",
		"{\"version\": 1, \"values\": []}": "line 1, column 26",
		"<<<<<<< HEAD\n":                   "line 1, column 1",
		"{\n  \"version\": 1,\n<<<<<<< HEAD\n  \"values\": {}\n=======\n  \"values\": {}\n>>>>>>> other\n}\n": "line 3, column 1",
	} {
		_, err := Decode([]byte(text))
		var parse *ParseError
		if !errors.As(err, &parse) || !strings.HasPrefix(err.Error(), want+":") {
			t.Errorf("%.100q: %v; want it at %s", text, err, want)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte("{\n  \"version\": 1,\n  \"values\": {\n    \"a\": {\n      \"b\": [\n        1\n      ]\n    }\n  }\n}\n"))
	f.Add([]byte(`{"version":1,"values":{"k":"v","n":1.50,"l":[{},[]]}}`))
	f.Add([]byte(`{"version":1,"values":{"\ud800":"\u0000"}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		values, err := Decode(text)
		if err != nil {
			var parse *ParseError
			if !errors.As(err, &parse) || parse.Line < 1 || parse.Column < 1 {
				t.Fatalf("%v", err)
			}
			return
		}
		again, err := Decode(Encode(sorted(values)))
		if err != nil || !maps.Equal(values, again) {
			t.Fatalf("%q became %q, %v", values, again, err)
		}
	})
}

// FuzzValue: any text survives the file, whatever it looks like.
func FuzzValue(f *testing.F) {
	for _, s := range []string{"", "{}", "[]", "{\n  \"a\": 1\n}", "{\n  \"a\": 1\n} ", "[\n  1,\n  2\n]", "\u2028", "\x00", "<>&", "5"} {
		f.Add("k", s)
	}
	f.Fuzz(func(t *testing.T, key, value string) {
		if store.CheckKey(key) != nil || store.CheckValue(key, value) != nil {
			return
		}
		got, err := Decode(Encode(sorted(map[string]string{key: value})))
		if err != nil || len(got) != 1 || got[key] != value {
			t.Fatalf("%q: %q became %q, %v", key, value, got, err)
		}
	})
}
