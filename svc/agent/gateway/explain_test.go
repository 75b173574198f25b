package gateway

import (
	"bytes"
	"context"
	"io"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/davyxu/cellmesh_demo/basefx"
	"github.com/davyxu/cellmesh_demo/svc/agent/route"
	"github.com/davyxu/cellmesh_demo/util/discovery"
)

// -explain tells the rule that is in discovery; what is missing or wrong there
// is told with what to do.
func TestExplain(t *testing.T) {
	good, err := route.New([]route.Rule{echoRule})
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		rules, want string // what discovery has, "-" for nothing at all
		fails       bool
	}{
		{rules: string(route.Marshal(good)), want: "EchoREQ (ID 3323): auth, clients that are verified may send it, and it goes to service game."},
		{rules: `{"rules":[{"msg":"EchoREQ"}]}`, want: "agents refuse the rules there and keep those they have", fails: true},
		{rules: "", want: "there are no route rules: cd proto && sh ./MakeProto.sh", fails: true},
		{rules: "-", want: "no answer: go run ./svc/memsd", fails: true},
	} {
		synctest.Test(t, func(t *testing.T) {
			var reg discovery.Registry = discovery.NewMemory().Open()
			defer reg.Close()
			switch test.rules {
			case "":
				err = discovery.Set(t.Context(), reg, "another", "value")
			case "-":
				reg = silent{reg}
			default:
				err = discovery.Set(t.Context(), reg, route.Key, test.rules)
			}
			if err != nil {
				t.Fatal(err)
			}
			got, err := explain(t.Context(), reg, "EchoREQ")
			if err != nil {
				got = err.Error()
			}
			if (err != nil) != test.fails || !strings.HasPrefix(got, test.want) {
				t.Errorf("%q: %q, want %q", test.rules, got, test.want)
			}
		})
	}
}

// silent is a registry without contact.
type silent struct{ discovery.Registry }

func (silent) Wait(ctx context.Context, _ uint64) (*discovery.Snapshot, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// The program ends with an error when there is no memsd; it takes an agent's
// flags.
func TestExplainer(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // do not wait for a memsd
	var out bytes.Buffer
	err := basefx.Run(ctx, "agent", NewExplainer, basefx.Options{
		Args: []string{"-flagfile=", "-sdaddr=127.0.0.1:1", "-hold=1s", "-explain", "EchoREQ"}, Standalone: true, Stdin: strings.NewReader(""), Stdout: &out, Stderr: io.Discard,
	})
	if err != nil || out.Len() > 0 {
		t.Errorf("%v, %q, want a quiet end", err, &out)
	}
}

func TestExplains(t *testing.T) {
	for line, want := range map[string]bool{
		"-explain ChatREQ": true, "--explain=ChatREQ": true, "-hold 1s -explain=29052": true,
		"": false, "-hold=1s": false, "explain": false, "-explained": false,
	} {
		if got := Explains(strings.Fields(line)); got != want {
			t.Errorf("%q: %v, want %v", line, got, want)
		}
	}
}
