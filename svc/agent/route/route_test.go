package route_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/davyxu/cellmesh_demo/proto/msgid"
	"github.com/davyxu/cellmesh_demo/svc/agent/route"
)

// rules are good ones, not sorted.
func rules() []route.Rule {
	return []route.Rule{
		{Msg: "VerifyREQ", ID: 13457, Service: "game", Access: route.Pass, MaxSize: 16384, Rate: 0.5, SvcIDField: 2},
		{Msg: "ChatREQ", ID: 29052, Service: "social", Access: route.Auth, MaxSize: 1024, Rate: 5, Burst: 10},
		{Msg: "PingACK", ID: 16241, Service: "agent", Access: route.Pass},
		{Msg: "LoginREQ", ID: 18837, Service: "login"},
		{Msg: "Renamed", ID: 300, Explicit: true, Service: "game", Access: route.Auth},
	}
}

func mustNew(t testing.TB, rules []route.Rule) *route.Table {
	t.Helper()
	table, err := route.New(rules)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func TestLookup(t *testing.T) {
	table := mustNew(t, rules())
	want := map[uint16]route.Rule{}
	for _, r := range rules() {
		want[r.ID] = r
	}
	for id := range math.MaxUint16 + 1 {
		got := table.Lookup(uint16(id))
		r, listed := want[uint16(id)]
		if listed != (got != nil) || listed && *got != r {
			t.Errorf("Lookup(%d) = %+v, want %+v", id, got, r)
		}
	}
	if r := new(route.Table).Lookup(29052); r != nil {
		t.Errorf("the zero Table has a rule: %+v", r)
	}
}

// A table does not change when what it was made of, or what it gave away, does.
func TestTableIsImmutable(t *testing.T) {
	from := rules()
	table := mustNew(t, from)
	before := table.Rules()
	from[1].Access = route.Blocked
	table.Rules()[0].Service = "other"
	if after := table.Rules(); !reflect.DeepEqual(before, after) {
		t.Errorf("the table was %v and is %v", before, after)
	}
}

func TestLimits(t *testing.T) {
	for _, test := range []struct {
		rule         route.Rule
		limit, burst int
	}{
		{route.Rule{}, 65533, 1},
		{route.Rule{MaxSize: 10, Rate: 0.1}, 10, 1},
		{route.Rule{Rate: 2.5}, 65533, 3},
		{route.Rule{Rate: 1e300}, 65533, math.MaxInt32},
		{route.Rule{Rate: 2.5, Burst: 7}, 65533, 7},
		{route.Rule{Rate: 1, Burst: math.MaxUint32}, 65533, math.MaxInt32},
	} {
		if limit, burst := test.rule.Limit(), test.rule.BurstSize(); limit != test.limit || burst != test.burst {
			t.Errorf("%+v: Limit %d and BurstSize %d, want %d and %d", test.rule, limit, burst, test.limit, test.burst)
		}
	}
}

const golden = `{
  "rules": [
    {
      "msg": "ChatREQ",
      "id": 29052,
      "service": "social",
      "rule": "auth",
      "max_size": 1024,
      "rate": 5,
      "burst": 10
    },
    {
      "msg": "LoginREQ",
      "id": 18837,
      "service": "login",
      "rule": "blocked"
    },
    {
      "msg": "PingACK",
      "id": 16241,
      "service": "agent",
      "rule": "pass"
    },
    {
      "msg": "Renamed",
      "id": 300,
      "explicit_id": true,
      "service": "game",
      "rule": "auth"
    },
    {
      "msg": "VerifyREQ",
      "id": 13457,
      "service": "game",
      "rule": "pass",
      "max_size": 16384,
      "rate": 0.5,
      "svcid_field": 2
    }
  ]
}`

func TestMarshal(t *testing.T) {
	if got := string(route.Marshal(mustNew(t, rules()))); got != golden {
		t.Errorf("Marshal gives\n%s\nwant\n%s", got, golden)
	}
	table, err := route.Parse([]byte(golden))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := table.Rules(), mustNew(t, rules()).Rules(); !reflect.DeepEqual(got, want) {
		t.Errorf("Parse gives %v, want %v", got, want)
	}
	var indented bytes.Buffer
	if err := json.Indent(&indented, route.Marshal(table), "", "  "); err != nil || indented.String() != golden {
		t.Errorf("json.Indent (%v) changes it to\n%s", err, &indented)
	}
}

func TestEmptyTable(t *testing.T) {
	text := route.Marshal(new(route.Table))
	table, err := route.Parse(text)
	if err != nil || table.Len() != 0 {
		t.Errorf("Parse(%s) = %v, %v", text, table, err)
	}
}

// Every mistake refuses the whole table, and the reason says enough to mend it.
func TestRefused(t *testing.T) {
	const good = `{"msg": "ChatREQ", "id": 29052, "service": "social", "rule": "auth"}`
	one := func(rule string) string { return `{"rules": [` + rule + `]}` }
	for name, test := range map[string]struct{ text, reason string }{
		"empty":          {"", "empty"},
		"white":          {" \n", "empty"},
		"cut":            {"{\"rules\": [\n" + good, "line 2: unexpected EOF"},
		"not JSON":       {"{\n\nrules: []}", "line 3: invalid character 'r'"},
		"not an object":  {`[]`, "cannot unmarshal array"},
		"null":           {`null`, `"rules" is missing`},
		"no rules":       {`{}`, `"rules" is missing`},
		"more":           {one(good) + "\n{}", "line 2: there is more after the end"},
		"unknown key":    {`{"rules": [], "version": 2}`, `unknown field "version"`},
		"unknown field":  {one(`{"msg": "ChatREQ", "id": 29052, "service": "social", "rule": "auth", "maxsize": 1}`), `unknown field "maxsize"`},
		"unknown rule":   {one(`{"msg": "ChatREQ", "id": 29052, "service": "social", "rule": "open"}`), `unknown rule "open": must be blocked, pass or auth`},
		"rule as number": {one(`{"msg": "ChatREQ", "id": 29052, "service": "social", "rule": 2}`), "cannot unmarshal number"},
		"null rule":      {one(`null`), "msg is missing"},
		"no name":        {one(`{"id": 29052, "service": "social", "rule": "auth"}`), "msg is missing"},
		"bad name":       {one(`{"msg": "chat REQ", "id": 29052, "service": "social", "rule": "auth"}`), "msg must begin with a capital"},
		"no id":          {one(`{"msg": "ChatREQ", "service": "social", "rule": "auth"}`), "id 0 cannot be used"},
		"reserved id":    {one(`{"msg": "ChatREQ", "id": 8276, "explicit_id": true, "service": "social", "rule": "auth"}`), "GET"},
		"wrong id":       {one(`{"msg": "ChatREQ", "id": 29053, "service": "social", "rule": "auth"}`), "id is 29053, but the name gives 29052"},
		"big id":         {one(`{"msg": "ChatREQ", "id": 65536, "service": "social", "rule": "auth"}`), "cannot unmarshal number 65536"},
		"no service":     {one(`{"msg": "ChatREQ", "id": 29052, "rule": "auth"}`), "service is missing"},
		"bad service":    {one(`{"msg": "ChatREQ", "id": 29052, "service": "social#0", "rule": "auth"}`), `service "social#0": must be`},
		"negative rate":  {one(`{"msg": "ChatREQ", "id": 29052, "service": "social", "rule": "auth", "rate": -1}`), "rate is -1"},
		"huge rate":      {one(`{"msg": "ChatREQ", "id": 29052, "service": "social", "rule": "auth", "rate": 1e999}`), "cannot unmarshal number 1e999"},
		"negative size":  {one(`{"msg": "ChatREQ", "id": 29052, "service": "social", "rule": "auth", "max_size": -1}`), "cannot unmarshal number -1"},
		"huge size":      {one(`{"msg": "ChatREQ", "id": 29052, "service": "social", "rule": "auth", "max_size": 65534}`), "a client frame holds at most 65533"},
		"lone burst":     {one(`{"msg": "ChatREQ", "id": 29052, "service": "social", "rule": "auth", "burst": 3}`), "burst is 3 without a rate"},
		"huge field":     {one(`{"msg": "ChatREQ", "id": 29052, "service": "social", "rule": "auth", "svcid_field": 536870912}`), "svcid_field is 536870912"},
		"same name":      {one(good + `, {"msg": "ChatREQ", "id": 7, "explicit_id": true, "service": "game", "rule": "auth"}`), "there are two rules for it"},
		"same id":        {one(good + `, {"msg": "Other", "id": 29052, "explicit_id": true, "service": "game", "rule": "auth"}`), "id 29052 is that of ChatREQ too"},
	} {
		t.Run(name, func(t *testing.T) {
			table, err := route.Parse([]byte(test.text))
			if err == nil || !strings.Contains(err.Error(), test.reason) {
				t.Errorf("the reason is %v, want %q in it", err, test.reason)
			}
			if table != nil {
				t.Error("there is a table in spite of the error")
			}
		})
	}
}

func TestRefusedByNew(t *testing.T) {
	for _, rate := range []float64{math.NaN(), math.Inf(1), math.Inf(-1), -0.1} {
		if _, err := route.New([]route.Rule{{Msg: "ChatREQ", ID: 29052, Service: "social", Rate: rate}}); err == nil {
			t.Errorf("rate %v is not refused", rate)
		}
	}
	if _, err := route.New([]route.Rule{{Msg: "ChatREQ", ID: 29052, Service: "social", Access: 3}}); err == nil {
		t.Error("access 3 is not refused")
	}
	// All mistakes are told at once.
	_, err := route.New([]route.Rule{{Msg: "ChatREQ", ID: 1, Service: "social"}, {Msg: "EchoREQ", ID: 3323}})
	if err == nil || !strings.Contains(err.Error(), "ChatREQ") || !strings.Contains(err.Error(), "EchoREQ") {
		t.Errorf("the reason is %v, want both messages in it", err)
	}
}

func TestExplain(t *testing.T) {
	table := mustNew(t, rules())
	for message, want := range map[string][]string{
		"ChatREQ":   {"ChatREQ (ID 29052): auth", "service social", "1024 bytes", "5 messages a second", "10 at once"},
		"chatreq":   {"ChatREQ (ID 29052): auth"},
		"29052":     {"ChatREQ (ID 29052): auth"},
		"VerifyREQ": {"pass", "service game, to the instance that its field 2 names", "0.5 messages a second per client, 1 at once"},
		"PingACK":   {"pass", "the agent itself answers", "65533 bytes", "any number of messages"},
		"LoginREQ":  {"blocked by its rule", "Service login handles it"},
		"ChatACK":   {"ChatACK: blocked, because it has no rule"},
		"99999":     {"99999: blocked, because it has no rule"},
	} {
		got := table.Explain(message)
		for _, part := range want {
			if !strings.Contains(got, part) {
				t.Errorf("Explain(%q) = %q, want %q in it", message, got, part)
			}
		}
	}
}

func TestAllocs(t *testing.T) {
	table := mustNew(t, rules())
	body := []byte("\x0a\x06verify\x12\x0agame#0@dev")
	for name, f := range map[string]func(){
		"Lookup":      func() { table.Lookup(29052); table.Lookup(1) },
		"Limit":       func() { table.Lookup(29052).Limit() },
		"StringField": func() { route.StringField(body, 2) },
		"malformed":   func() { route.StringField(body[:5], 2) },
	} {
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s allocates %v times", name, n)
		}
	}
}

func BenchmarkLookup(b *testing.B) {
	var many []route.Rule
	for i := range 500 {
		name := fmt.Sprintf("Message%d", i)
		many = append(many, route.Rule{Msg: name, ID: uint16(1000 + i), Explicit: true, Service: "game", Access: route.Auth})
	}
	table := mustNew(b, many)
	b.ReportAllocs()
	id := uint16(0)
	for b.Loop() {
		if r := table.Lookup(1000 + id%512); r != nil && r.Access != route.Auth {
			b.Fatal(r)
		}
		id++
	}
}

// Whatever is accepted is good, and has one text form that reads as the same table.
func FuzzParse(f *testing.F) {
	f.Add([]byte(golden))
	f.Add([]byte(`{"rules":[]}`))
	f.Add([]byte(`{"rules":[{"msg":"ChatREQ","id":29052,"service":"social","rule":"auth","rate":1e-9}]}`))
	f.Add([]byte(`{"rules":[null]} {`))
	f.Fuzz(func(t *testing.T, text []byte) {
		table, err := route.Parse(text)
		if err != nil {
			if table != nil {
				t.Fatal("a table in spite of an error")
			}
			return
		}
		for _, r := range table.Rules() {
			if err := r.Check(); err != nil {
				t.Fatalf("%+v was accepted: %v", r, err)
			}
			if got := table.Lookup(r.ID); got == nil || *got != r {
				t.Fatalf("Lookup(%d) = %v, want %v", r.ID, got, r)
			}
			if !r.Explicit && r.ID != msgid.Of(r.Msg) {
				t.Fatalf("%+v: foreign id", r)
			}
			table.Explain(r.Msg)
		}
		canonical := route.Marshal(table)
		again, err := route.Parse(canonical)
		if err != nil {
			t.Fatalf("%v\n%s", err, canonical)
		}
		if !bytes.Equal(route.Marshal(again), canonical) {
			t.Fatalf("the text form moves:\n%s\n%s", canonical, route.Marshal(again))
		}
	})
}
