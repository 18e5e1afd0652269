package network

import (
	"skerry/events"
	"skerry/services/state"
	"skerry/services/tagging"
)

// Limits of network ACLs ("Amazon VPC quotas").
const (
	maxACLs    = 200 // in a VPC
	maxEntries = 20  // of an ACL in one direction, the last ones besides
)

// CreateNetworkACL makes an ACL that lets nothing through.
func CreateNetworkACL(v *state.View, s events.Stamp, c events.CreateNetworkACL) ([]events.Event, error) {
	vpc, err := named(v, s.Account, c.VPC)
	if err != nil {
		return nil, err
	}
	if err := tagging.Check(c.Tags); err != nil {
		return nil, err
	}
	count := 0
	for range v.ACLsOf(vpc.ID) {
		count++
	}
	if count >= maxACLs {
		return nil, events.Faultf("NetworkAclLimitExceeded", "The maximum number of network ACLs for VPC '%s' has been reached.", vpc.ID)
	}
	id := events.NetworkACLID("acl-" + s.Seed.Hex("acl", 0))
	out := []events.Event{events.NetworkACLCreated{ID: id, Account: s.Account, VPC: vpc.ID}}
	return append(out, tagging.New(s, string(id), c.Tags)...), nil
}

func acl(v *state.View, a events.AccountID, id events.NetworkACLID) (*state.NetworkACL, error) {
	if id == "" {
		return nil, events.Faultf("MissingParameter", "The request must contain the parameter networkAclId")
	}
	r, ok := v.NetworkACLs.Get(string(id))
	if !ok || r.Account != a {
		return nil, events.Faultf("InvalidNetworkAclID.NotFound", "The networkAcl ID '%s' does not exist", id)
	}
	return r, nil
}

// DeleteNetworkACL ends an ACL that no subnet uses.
func DeleteNetworkACL(v *state.View, s events.Stamp, c events.DeleteNetworkACL) ([]events.Event, error) {
	r, err := acl(v, s.Account, c.ACL)
	if err != nil {
		return nil, err
	}
	if r.Default() {
		return nil, events.Faultf("InvalidParameterValue", "cannot delete default network ACL %s", r.ID)
	}
	for range v.SubnetsUnder(r.ID) {
		return nil, events.Faultf("DependencyViolation", "The networkAcl '%s' has dependencies and cannot be deleted.", r.ID)
	}
	return []events.Event{events.NetworkACLDeleted{ID: r.ID, Account: r.Account, VPC: r.VPC}}, nil
}

// CreateACLEntry adds a rule.
func CreateACLEntry(v *state.View, s events.Stamp, c events.CreateACLEntry) ([]events.Event, error) {
	r, err := acl(v, s.Account, c.ACL)
	if err != nil {
		return nil, err
	}
	if c.Entry, err = entryOf(c.Entry); err != nil {
		return nil, err
	}
	if _, ok := r.Entry(c.Entry.Number, c.Entry.Egress); ok {
		return nil, events.Faultf("NetworkAclEntryAlreadyExists", "The network acl entry identified by %d already exists.", c.Entry.Number)
	}
	count := 0
	for _, e := range r.Entries {
		if e.Egress == c.Entry.Egress {
			count++
		}
	}
	if count >= maxEntries {
		return nil, events.Faultf("NetworkAclEntryLimitExceeded", "The maximum number of entries for network ACL '%s' has been reached: %d.", r.ID, maxEntries)
	}
	return []events.Event{events.ACLEntryPut{ACL: r.ID, Account: r.Account, VPC: r.VPC, Entry: c.Entry}}, nil
}

// ReplaceACLEntry makes the rule of a number another.
func ReplaceACLEntry(v *state.View, s events.Stamp, c events.ReplaceACLEntry) ([]events.Event, error) {
	r, err := acl(v, s.Account, c.ACL)
	if err != nil {
		return nil, err
	}
	if c.Entry, err = entryOf(c.Entry); err != nil {
		return nil, err
	}
	old, ok := r.Entry(c.Entry.Number, c.Entry.Egress)
	switch {
	case !ok:
		return nil, noEntry(c.Entry.Number)
	case old == c.Entry:
		return nil, nil
	}
	return []events.Event{events.ACLEntryPut{ACL: r.ID, Account: r.Account, VPC: r.VPC, Entry: c.Entry}}, nil
}

// DeleteACLEntry removes a rule. The last ones are of every ACL and stay.
func DeleteACLEntry(v *state.View, s events.Stamp, c events.DeleteACLEntry) ([]events.Event, error) {
	r, err := acl(v, s.Account, c.ACL)
	if err != nil {
		return nil, err
	}
	if err := numbered(c.Number); err != nil {
		return nil, err
	}
	if _, ok := r.Entry(c.Number, c.Egress); !ok {
		return nil, noEntry(c.Number)
	}
	return []events.Event{events.ACLEntryDeleted{ACL: r.ID, Account: r.Account, VPC: r.VPC, Number: c.Number, Egress: c.Egress}}, nil
}

func noEntry(number int) error {
	return events.Faultf("InvalidNetworkAclEntry.NotFound", "The network acl entry identified by %d does not exist", number)
}

func numbered(n int) error {
	if n < 1 || n >= events.ACLLast {
		return events.Faultf("InvalidParameterValue", "Value (%d) for parameter ruleNumber is invalid. The allowed range is 1 to %d.", n, events.ACLLast-1)
	}
	return nil
}

// entryOf checks a rule and brings it into the one form in which it is kept.
func entryOf(e events.ACLEntry) (events.ACLEntry, error) {
	if err := numbered(e.Number); err != nil {
		return e, err
	}
	if !e.CIDR.IsValid() {
		return e, events.Faultf("MissingParameter", "The request must contain the parameter cidrBlock")
	}
	e.CIDR = e.CIDR.Masked()
	switch e.Protocol {
	case numbers["tcp"], numbers["udp"]:
		if e.From < 0 || e.To > 65535 || e.From > e.To {
			return e, events.Faultf("InvalidParameterValue", "Invalid TCP/UDP port range (%d:%d)", e.From, e.To)
		}
	case numbers["icmp"], numbers["icmpv6"]:
		if e.From < -1 || e.From > 255 || e.To < -1 || e.To > 255 || e.From == -1 && e.To != -1 {
			return e, events.Faultf("InvalidParameterValue", "ICMP type (%d) and code (%d) must be between 0 and 255, or -1 for all", e.From, e.To)
		}
		if e.CIDR.Addr().Is4() != (e.Protocol == numbers["icmp"]) {
			return e, events.Faultf("InvalidParameterValue", "The protocol %d does not go with the address range %s.", e.Protocol, e.CIDR)
		}
	default:
		if e.Protocol < -1 || e.Protocol > 255 {
			return e, events.Faultf("InvalidParameterValue", "Value (%d) for parameter protocol is invalid. Unknown protocol.", e.Protocol)
		}
		e.From, e.To = -1, -1
	}
	return e, nil
}

// ReplaceACLAssociation has a subnet use another ACL. The association gets
// another id, even when the ACL is the same.
func ReplaceACLAssociation(v *state.View, s events.Stamp, c events.ReplaceACLAssociation) ([]events.Event, error) {
	r, err := acl(v, s.Account, c.ACL)
	if err != nil {
		return nil, err
	}
	sub, ok := v.SubnetByACL(s.Account, c.Association)
	if !ok {
		return nil, noAssociation(c.Association)
	}
	if sub.VPC != r.VPC {
		return nil, events.Faultf("InvalidParameterValue", "Network ACL %s and subnet %s belong to different networks", r.ID, sub.ID)
	}
	return []events.Event{events.NetworkACLAssociated{Association: events.AssociationID("aclassoc-" + s.Seed.Hex("aclassoc", 0)), Account: r.Account, VPC: r.VPC, ACL: r.ID, Subnet: sub.ID}}, nil
}

// ACLProtocol is the number of a protocol that a network ACL names: by number,
// or by a name of numbers.
func ACLProtocol(text string) (int, error) {
	p := text
	if q, ok := protocols[p]; ok {
		p = q
	}
	if n, ok := protocolNumber(p); ok && n <= 255 {
		return n, nil
	}
	return 0, events.Faultf("InvalidParameterValue", "Value (%s) for parameter protocol is invalid. Unknown protocol.", text)
}
