package identity_test

import (
	"fmt"

	"filippo.io/age"

	"github.com/nereid-mhe/nereid/identity"
)

// Make an identity, keep it in an age file, and send its request to others.
func Example() {
	id, err := identity.New(identity.Card{Name: "north", Role: identity.Party})
	if err != nil {
		fmt.Println(err)
		return
	}
	key, err := age.GenerateX25519Identity()
	if err != nil {
		fmt.Println(err)
		return
	}
	sealed, err := id.Seal(key.Recipient())
	if err != nil {
		fmt.Println(err)
		return
	}
	again, err := identity.Open(sealed, key)
	if err != nil {
		fmt.Println(err)
		return
	}
	r := again.Request(identity.Digest{}, identity.Digest{})
	fmt.Println(r.Name, r.Role, r.Key.Fingerprint() == id.Key().Fingerprint(), r.Verify())
	// Output:
	// north party true <nil>
}
