package compute

import (
	"strings"

	"skerry/events"
	"skerry/services/state"
	"skerry/services/tagging"
)

// maxKeyName is the longest key pair name ("CreateKeyPair" in the EC2 API reference).
const maxKeyName = 255

// maxKeyPairs bounds an account's keys ("Amazon EC2 service quotas").
const maxKeyPairs = 5000

// ImportKeyPair stores a public key under a name.
func ImportKeyPair(v *state.View, s events.Stamp, c events.ImportKeyPair) ([]events.Event, error) {
	if c.Name == "" || len(c.Name) > maxKeyName || strings.TrimSpace(c.Name) != c.Name || strings.ContainsFunc(c.Name, func(r rune) bool { return r < ' ' || r > '~' }) {
		return nil, events.Faultf("InvalidParameterValue", "Value (%s) for parameter KeyName is invalid. Use up to %d ASCII characters without leading or trailing spaces.", c.Name, maxKeyName)
	}
	if _, taken := v.KeyPair(s.Account, c.Name); taken {
		return nil, events.Faultf("InvalidKeyPair.Duplicate", "The keypair '%s' already exists.", c.Name)
	}
	if err := tagging.Check(c.Tags); err != nil {
		return nil, err
	}
	n := 0
	for range v.KeyPairsOf(s.Account) {
		n++
	}
	if n >= maxKeyPairs {
		return nil, events.Faultf("KeyPairLimitExceeded", "The account has %d key pairs, which is the limit.", n)
	}
	id := events.KeyPairID("key-" + s.Seed.Hex("key", 0))
	out := []events.Event{events.KeyPairCreated{ID: id, Account: s.Account, Name: c.Name, Type: c.Type, PublicKey: c.PublicKey, Fingerprint: c.Fingerprint, At: s.Time}}
	if len(c.Tags) > 0 {
		out = append(out, events.ResourceTagged{Account: s.Account, Resource: string(id), Tags: c.Tags})
	}
	return out, nil
}

// DeleteKeyPair forgets a key. A name that is not there is gone already; an id
// that is not there is an error, as at AWS.
func DeleteKeyPair(v *state.View, s events.Stamp, c events.DeleteKeyPair) ([]events.Event, error) {
	var k *state.KeyPair
	var ok bool
	switch {
	case c.ID != "":
		if k, ok = v.KeyPairByID(s.Account, c.ID); !ok {
			return nil, events.Faultf("InvalidKeyPair.NotFound", "The key pair ID '%s' does not exist", c.ID)
		}
	case c.Name != "":
		if k, ok = v.KeyPair(s.Account, c.Name); !ok {
			return nil, nil
		}
	default:
		return nil, events.Faultf("MissingParameter", "The request must contain the parameter KeyName or KeyPairId")
	}
	return []events.Event{events.KeyPairDeleted{ID: k.ID, Account: s.Account, Name: k.Name}}, nil
}
