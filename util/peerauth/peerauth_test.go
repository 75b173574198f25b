package peerauth

import (
	"fmt"
	"testing"
)

func TestProofFitsOneExchangeOnly(t *testing.T) {
	a, b := NewNonce(), NewNonce()
	proof := Proof("secret", "dial", a, b, []byte("game#0@dev"))
	if !Verify(proof, "secret", "dial", a, b, []byte("game#0@dev")) {
		t.Fatal("a right proof is refused")
	}
	for name, ok := range map[string]bool{
		"other secret":  Verify(proof, "Secret", "dial", a, b, []byte("game#0@dev")),
		"other role":    Verify(proof, "secret", "accept", a, b, []byte("game#0@dev")),
		"swapped nonce": Verify(proof, "secret", "dial", b, a, []byte("game#0@dev")),
		"other name":    Verify(proof, "secret", "dial", a, b, []byte("game#1@dev")),
		"moved border":  Verify(proof, "secret", "dial", a, append(b, 'g'), []byte("ame#0@dev")),
		"no proof":      Verify(nil, "secret", "dial", a, b, []byte("game#0@dev")),
		"short proof":   Verify(proof[:16], "secret", "dial", a, b, []byte("game#0@dev")),
	} {
		if ok {
			t.Errorf("%s is accepted", name)
		}
	}
}

func ExampleVerify() {
	mine, theirs := NewNonce(), NewNonce() // exchanged in the clear
	proof := Proof("cluster secret", "server", mine, theirs)
	fmt.Println(Verify(proof, "cluster secret", "server", mine, theirs))
	fmt.Println(Verify(proof, "a guess", "server", mine, theirs))
	// Output:
	// true
	// false
}
