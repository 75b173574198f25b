package route_test

import (
	"fmt"

	"github.com/davyxu/cellmesh_demo/svc/agent/route"
)

func Example() {
	table, err := route.Parse([]byte(`{
		"rules": [
			{"msg": "ChatREQ", "id": 29052, "service": "social", "rule": "auth", "max_size": 1024, "rate": 5, "burst": 10}
		]
	}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	rule := table.Lookup(29052)
	fmt.Println(rule.Service, rule.Access, rule.Limit())
	fmt.Println(table.Lookup(46204)) // LoginACK, which no client sends
	fmt.Println(table.Explain("ChatREQ"))

	_, err = route.Parse([]byte(`{"rules": [{"msg": "ChatREQ", "id": 29052, "rule": "auth"}]}`))
	fmt.Println(err)
	// Output:
	// social auth 1024
	// <nil>
	// ChatREQ (ID 29052): auth, clients that are verified may send it, and it goes to service social. Body of at most 1024 bytes; 5 messages a second per client, 10 at once.
	// route rules: rule of "ChatREQ" (id 29052): service is missing: who handles this message?
}

func ExampleStringField() {
	verify := []byte("\x0a\x06verify\x12\x0agame#0@dev") // VerifyREQ as it comes from a client
	svcid, err := route.StringField(verify, 2)
	fmt.Printf("%s %v\n", svcid, err)
	// Output: game#0@dev <nil>
}
