package seal

// Sharing returns a region's key that shares accounts with other regions: the
// secrets of access keys and session tokens follow from the accounts' key, which
// all of them have, and nothing else does.
func (k *Key) Sharing(accounts *Key) *Key {
	shared := *k
	shared.accounts = accounts
	return &shared
}

// Accounts is the key of the accounts: the region's own, unless it shares one.
func (k *Key) Accounts() *Key {
	if k.accounts != nil {
		return k.accounts
	}
	return k
}
