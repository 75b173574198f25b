package store

import "testing"

// What is understood of a row is written so that it is understood again, the same,
// with all that is not known here.
func FuzzRow(f *testing.F) {
	f.Add(`{"v":1,"name":"a","level":2,"money":3,"unclaimed":4,"since":5,"refused":[{"id":"x","what":"upgraded","why":"too poor","text":"no"}]}`)
	f.Add(`{"v":1,"name":"a","level":2,"money":3,"since":5,"pets":[{"kind":"cat"}],"Money":null,"":1}`)
	f.Add(`{"v":1,"name":"a","level":2,"money":3,"unclaimed":null,"since":5e0,"\ud800":{},"v":1}`)
	f.Fuzz(func(t *testing.T, text string) {
		d, err := decode(text)
		if err != nil {
			return
		}
		if err := d.Check(); err != nil {
			t.Fatal(err)
		}
		once, err := d.encode()
		if err != nil {
			t.Fatal(err)
		}
		again, err := decode(once)
		if err != nil || len(again.rest) != len(d.rest) || again.Player != d.Player || len(again.Refused) != len(d.Refused) {
			t.Fatalf("%+v became %+v, %v", d, again, err)
		}
		if twice, err := again.encode(); err != nil || twice != once {
			t.Fatalf("%s became %s, %v", once, twice, err)
		}
	})
}
