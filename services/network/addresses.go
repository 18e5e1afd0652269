package network

import (
	"net/netip"
	"slices"

	"skerry/events"
	"skerry/services/state"
	"skerry/services/tagging"
)

// MaxElastic is how many Elastic IP addresses an account may have ("Elastic IP
// address quota").
const MaxElastic = 5

// publicReserved are the addresses at the start of a public block that nobody
// gets: the wire outside has its router, gateways and resolver there.
const publicReserved = 16

// Public draws a public address that nobody has and no gateway still serves.
// The search goes on from the last one given, so that an address that came back
// rests. Those named were given by the decision that draws.
func Public(v *state.View, given ...netip.Addr) (netip.Addr, error) {
	if len(v.Meta.Public) == 0 {
		return netip.Addr{}, events.Faultf("InsufficientAddressCapacity", "The region has no public addresses: it was formed without a block of them.")
	}
	at := 0
	for i, b := range v.Meta.Public {
		if b.Contains(v.Meta.NextPublic) {
			at = i
		}
	}
	for i := range len(v.Meta.Public) + 1 {
		b := v.Meta.Public[(at+i)%len(v.Meta.Public)]
		first, last := publicUsable(b)
		a := first
		if i == 0 && b.Contains(v.Meta.NextPublic) && first.Less(v.Meta.NextPublic) {
			a = v.Meta.NextPublic
		}
		for ; !last.Less(a); a = a.Next() {
			if !v.PublicTaken(a) && !slices.Contains(given, a) {
				return a, nil
			}
		}
	}
	return netip.Addr{}, events.Faultf("InsufficientAddressCapacity", "Not enough public addresses are free in the region.")
}

func publicUsable(b netip.Prefix) (first, last netip.Addr) {
	first, last = usable(b)
	for range publicReserved - Reserved {
		first = first.Next()
	}
	return first, last
}

// Assign gives an interface a public address of its own.
func Assign(v *state.View, z events.Zone, account events.AccountID, instance events.InstanceID, f events.Interface) (events.Event, error) {
	a, err := Public(v)
	if err != nil {
		return nil, err
	}
	return events.PublicAddressAssigned{Address: a, Account: account, Zone: z, VPC: f.VPC, Interface: f.ID, Instance: instance, Private: f.PrivateIP}, nil
}

// Unbind takes the public addresses from an interface that ends: an Elastic one
// stays its account's.
func Unbind(v *state.View, id events.InterfaceID) (out []events.Event) {
	for a := range v.PublicsOf(id) {
		out = append(out, unbound(v, a))
	}
	return out
}

func unbound(v *state.View, a *state.Address) events.Event {
	f, _ := v.Interfaces.Get(string(a.Interface))
	if a.Allocation == "" {
		return events.PublicAddressReturned{Address: a.Address, Account: a.Account, Zone: a.Zone, VPC: f.Interface.VPC, Interface: a.Interface}
	}
	return events.AddressDisassociated{Association: a.Association, Address: a.Address, Account: a.Account, Zone: a.Zone, VPC: f.Interface.VPC, Interface: a.Interface}
}

// AllocateAddress gives the account an Elastic IP address.
func AllocateAddress(v *state.View, s events.Stamp, c events.AllocateAddress) ([]events.Event, error) {
	if err := tagging.Check(c.Tags); err != nil {
		return nil, err
	}
	count := 0
	for a := range v.AddressesOf(s.Account) {
		if _, own := v.RangeOf(a.Address); a.Allocation != "" && !own {
			count++
		}
	}
	pool := c.Pool
	if x, err := netip.ParseAddr(c.Address); err == nil && pool == "" {
		if r, ok := v.RangeOf(x); ok && r.Account == s.Account {
			pool = r.Pool
		}
	}
	if pool == "" && count >= MaxElastic { // what an account brought does not count
		return nil, events.Faultf("AddressLimitExceeded", "The maximum number of addresses has been reached.")
	}
	var addr netip.Addr
	var err error
	switch {
	case pool != "":
		addr, err = fromPool(v, s.Account, pool, c.Address)
	case c.Address == "":
		addr, err = Public(v)
	default:
		addr, err = exactly(v, c.Address)
	}
	if err != nil {
		return nil, err
	}
	id := events.AllocationID("eipalloc-" + s.Seed.Hex("eipalloc", 0))
	out := []events.Event{events.AddressAllocated{Allocation: id, Address: addr, Account: s.Account, At: s.Time, Pool: pool}}
	return append(out, tagging.New(s, string(id), c.Tags)...), nil
}

func exactly(v *state.View, text string) (netip.Addr, error) {
	a, err := netip.ParseAddr(text)
	if err != nil || !a.Is4() {
		return a, events.Faultf("InvalidParameterValue", "Value (%s) for parameter address is invalid. Invalid IPv4 address.", text)
	}
	for _, b := range v.Meta.Public {
		if first, last := publicUsable(b); !a.Less(first) && !last.Less(a) && !v.PublicTaken(a) {
			return a, nil
		}
	}
	return a, events.Faultf("InvalidAddress.NotFound", "Address '%s' cannot be had: it is in use, or none of the region's.", text)
}

// elastic finds an Elastic IP address of an account by allocation or address.
func elastic(v *state.View, s events.Stamp, id events.AllocationID, address string) (*state.Address, error) {
	switch {
	case id != "" && address != "":
		return nil, events.Faultf("InvalidParameterCombination", "You may specify public IP or allocation id, but not both in the same call")
	case id != "":
		a, ok := v.Allocation(s.Account, id)
		if !ok {
			return nil, events.Faultf("InvalidAllocationID.NotFound", "The allocation ID '%s' does not exist", id)
		}
		return a, nil
	case address != "":
		if _, err := netip.ParseAddr(address); err != nil {
			return nil, events.Faultf("InvalidParameterValue", "Value (%s) for parameter PublicIp is invalid. Invalid IPv4 address.", address)
		}
		a, ok := v.Addresses.Get(address)
		if !ok || a.Account != s.Account || a.Allocation == "" {
			return nil, events.Faultf("InvalidAddress.NotFound", "Address '%s' not found.", address)
		}
		return a, nil
	}
	return nil, events.Faultf("MissingParameter", "Either public IP or allocation id must be specified")
}

// ReleaseAddress gives an Elastic IP address back to the region. In a default
// VPC it lets go of its interface first; elsewhere that takes a
// DisassociateAddress ("ReleaseAddress").
func ReleaseAddress(v *state.View, s events.Stamp, c events.ReleaseAddress) ([]events.Event, error) {
	a, err := elastic(v, s, c.Allocation, c.Address)
	if err != nil {
		return nil, err
	}
	var out []events.Event
	if a.Association != "" {
		f, _ := v.Interfaces.Get(string(a.Interface))
		if vpc, ok := v.VPCs.Get(string(f.Interface.VPC)); !ok || !vpc.Default || f.Interface.NAT != "" {
			return nil, events.Faultf("InvalidIPAddress.InUse", "Address %s is in use: disassociate it from %s first.", a.Address, a.Interface)
		}
		out = append(append(out, unbound(v, a)), again(v, a)...)
	}
	return append(out, events.AddressReleased{Allocation: a.Allocation, Address: a.Address, Account: a.Account}), nil
}

// AssociateAddress binds an Elastic IP address. The interface's own public
// address goes back to the region.
func AssociateAddress(v *state.View, s events.Stamp, c events.AssociateAddress) ([]events.Event, error) {
	a, err := elastic(v, s, c.Allocation, c.Address)
	if err != nil {
		return nil, err
	}
	f, err := target(v, s, c)
	if err != nil {
		return nil, err
	}
	private := f.Interface.PrivateIP
	if c.PrivateIP != "" {
		private, err = netip.ParseAddr(c.PrivateIP)
		if err != nil || private != f.Interface.PrivateIP && !slices.Contains(f.Interface.Secondary, private) {
			return nil, events.Faultf("InvalidParameterValue", "The private address %s is not one of interface '%s'.", c.PrivateIP, f.Interface.ID)
		}
	}
	if !private.IsValid() {
		return nil, events.Faultf("InvalidParameterValue", "The interface '%s' has no private IPv4 address.", f.Interface.ID)
	}
	if a.Interface == f.Interface.ID && a.Private == private {
		return nil, nil
	}
	var out []events.Event
	if a.Interface != "" {
		if o, ok := v.Interfaces.Get(string(a.Interface)); ok {
			if err := managed(o); err != nil {
				return nil, err
			}
		}
		if c.Stay {
			return nil, events.Faultf("Resource.AlreadyAssociated", "resource %s is already associated with associate-id %s", a.Allocation, a.Association)
		}
		out = append(out, leave(v, a)...)
	}
	if own, ok := v.PublicFor(f.Interface.ID, private); ok {
		out = append(out, unbound(v, own))
	}
	return append(out, events.AddressAssociated{Association: events.AssociationID("eipassoc-" + s.Seed.Hex("eipassoc", 0)), Address: a.Address, Account: a.Account,
		Zone: f.Zone, VPC: f.Interface.VPC, Interface: f.Interface.ID, Instance: f.Instance, Private: private}), nil
}

// leave unbinds an Elastic IP address from an interface that goes on, which gets
// an address of its own again, as it had at its launch.
func leave(v *state.View, a *state.Address) []events.Event {
	return append([]events.Event{unbound(v, a)}, again(v, a)...)
}

// again gives an interface that was launched with a public address a new one,
// while there are any ("Associate Elastic IP addresses": a new public address is
// assigned when the Elastic one goes).
func again(v *state.View, a *state.Address) []events.Event {
	f, ok := v.Interfaces.Get(string(a.Interface))
	if !ok || !f.Interface.Public || a.Private != f.Interface.PrivateIP {
		return nil
	}
	e, err := Assign(v, a.Zone, a.Account, a.Instance, f.Interface)
	if err != nil {
		return nil
	}
	return []events.Event{e}
}

// target finds the interface that an association is for.
func target(v *state.View, s events.Stamp, c events.AssociateAddress) (*state.Interface, error) {
	id := c.Interface
	switch {
	case c.Instance != "" && c.Interface != "":
		return nil, events.Faultf("InvalidParameterCombination", "You may specify an instance or a network interface, but not both in the same call")
	case c.Instance != "":
		i, ok := v.Instance(s.Account, c.Instance)
		if !ok {
			return nil, events.Faultf("InvalidInstanceID.NotFound", "The instance ID '%s' does not exist", c.Instance)
		}
		have := i.Interfaces(v)
		switch {
		case i.State != state.Running && i.State != state.Stopped || len(have) == 0:
			return nil, events.Faultf("InvalidInstanceID", "The instance '%s' is not in a valid state for this operation.", c.Instance)
		case len(have) > 1:
			return nil, events.Faultf("InvalidInstanceID", "There are multiple interfaces attached to instance '%s'. Please specify an interface ID for the operation instead.", c.Instance)
		}
		id = have[0].Interface.ID
	case id == "":
		return nil, events.Faultf("MissingParameter", "Either an instance or a network interface must be specified")
	}
	f, err := Interface(v, s.Account, id)
	if err != nil {
		return nil, err
	}
	if err := managed(f); err != nil {
		return nil, err
	}
	if _, out := v.InternetGatewayOf(f.Interface.VPC); !out {
		return nil, events.Faultf("Gateway.NotAttached", "Network %s is not attached to any internet gateway", f.Interface.VPC)
	}
	return f, nil
}

// DisassociateAddress unbinds an Elastic IP address; it stays the account's.
func DisassociateAddress(v *state.View, s events.Stamp, c events.DisassociateAddress) ([]events.Event, error) {
	var a *state.Address
	switch {
	case c.Association != "" && c.Address != "":
		return nil, events.Faultf("InvalidParameterCombination", "You may specify public IP or association id, but not both in the same call")
	case c.Association != "":
		var ok bool
		if a, ok = v.Association(s.Account, c.Association); !ok {
			return nil, events.Faultf("InvalidAssociationID.NotFound", "The association ID '%s' does not exist", c.Association)
		}
	default:
		var err error
		if a, err = elastic(v, s, "", c.Address); err != nil {
			return nil, err
		}
		if a.Association == "" {
			return nil, nil // EC2 answers so
		}
	}
	if f, ok := v.Interfaces.Get(string(a.Interface)); ok {
		if err := managed(f); err != nil {
			return nil, err
		}
	}
	return leave(v, a), nil
}

// ReportRemoved takes away the tombstone of what a node has let go: the one that
// the report answers. It may come late, when the object was there again and has
// a newer tombstone.
func ReportRemoved(v *state.View, _ events.Stamp, c events.ReportRemoved) ([]events.Event, error) {
	t, ok := v.Tombstones.Get(string(c.Host) + "/" + string(c.Kind) + "/" + c.ID)
	if !ok || c.Order != 0 && c.Order < t.N {
		return nil, nil
	}
	switch t.Kind {
	case events.SpecPort, events.SpecPublic:
	default:
		return nil, events.Faultf("InvalidParameterValue", "The end of a %s is told with a report of its own.", t.Kind)
	}
	zone := events.Zone("")
	for _, kind := range []string{"network", "gateway"} {
		if n, ok := v.Nodes.Get(state.NodeKey(c.Host, kind)); ok {
			zone = n.Zone
		}
	}
	out := []events.Event{events.SpecRemoved{Host: c.Host, Zone: zone, Kind: c.Kind, ID: c.ID}}
	if t.Kind == events.SpecPort {
		out = append(out, released(v, c.Host, c.ID)...)
	}
	return out, nil
}
