package compute

import (
	"cmp"
	"slices"

	"skerry/events"
	"skerry/services/network"
	"skerry/services/state"
)

// nic is an interface that each instance of a launch gets.
type nic struct {
	events.LaunchInterface
	row    *state.Interface // of one that there is
	subnet *state.Subnet    // of one to be made; nil: the default one of the instance's zone
	groups []events.GroupID
}

// interfaces lists what an instance starts with, the primary interface first.
func interfaces(v *state.View, a events.AccountID, c events.RunInstances, typ Type) ([]nic, error) {
	list := c.Interfaces
	if len(list) == 0 {
		w := c.Addresses
		w.Primary = c.PrivateIP
		list = []events.LaunchInterface{{Subnet: c.Subnet, PublicIP: c.PublicIP, Addresses: w}}
	} else if c.Subnet != "" || c.PrivateIP != "" || len(c.Groups)+len(c.GroupNames) > 0 {
		return nil, events.Faultf("InvalidParameterCombination", "Network interfaces and an instance-level subnet, address or security group may not be specified on the same request")
	}
	if len(list) > typ.ENIs {
		return nil, events.Faultf("AttachmentLimitExceeded", "Interface count %d exceeds the limit for %s", len(list), typ.Name)
	}
	var out []nic
	for _, l := range list {
		n := nic{LaunchInterface: l}
		switch {
		case l.DeviceIndex < 0 || slices.ContainsFunc(out, func(o nic) bool { return o.DeviceIndex == l.DeviceIndex }):
			return nil, events.Faultf("InvalidParameterValue", "Value (%d) for parameter deviceIndex is invalid: each interface has an index of its own.", l.DeviceIndex)
		case l.PublicIP != nil && len(list) > 1:
			return nil, events.Faultf("InvalidParameterCombination", "The associatePublicIPAddress parameter cannot be specified when launching with multiple network interfaces.")
		case l.PublicIP != nil && (l.Interface != "" || l.DeviceIndex != 0):
			return nil, events.Faultf("InvalidParameterCombination", "The associatePublicIPAddress parameter can only be specified for the network interface with DeviceIndex 0, when that is made at the launch.")
		case c.Max > 1 && (l.Interface != "" || l.Addresses.Primary != "" || len(l.Addresses.Secondary)+len(l.Addresses.Prefixes)+len(l.Addresses.IPv6)+len(l.Addresses.IPv6Prefixes) > 0):
			return nil, events.Faultf("InvalidParameterCombination", "A network interface or an address that is named cannot be used with more than one instance.")
		}
		if l.Interface != "" {
			if l.Subnet != "" || len(l.Groups) > 0 || l.Description != "" || l.Addresses.Primary != "" {
				return nil, events.Faultf("InvalidParameterCombination", "A network interface that exists has its subnet, groups, description and addresses already.")
			}
			row, err := network.Interface(v, a, l.Interface)
			if err != nil {
				return nil, err
			}
			n.row = row
		}
		out = append(out, n)
	}
	slices.SortFunc(out, func(x, y nic) int { return cmp.Compare(x.DeviceIndex, y.DeviceIndex) })
	if out[0].DeviceIndex != 0 {
		return nil, events.Faultf("InvalidParameterCombination", "An instance has a network interface with the device index 0.")
	}
	return out, nil
}

// settle finds an interface's subnet and groups. All are in the zone of the
// first.
func (n *nic) settle(v *state.View, a events.AccountID, c events.RunInstances, vpc *state.VPC, first *state.Subnet, zone events.Zone) error {
	if n.row != nil {
		return network.Attachable(v, n.row, zone, "")
	}
	n.subnet = first
	if n.Subnet != "" && (first == nil || n.Subnet != first.ID) {
		sub, ok := v.Subnets.Get(string(n.Subnet))
		if !ok || sub.Account != a {
			return events.Faultf("InvalidSubnetID.NotFound", "The subnet ID '%s' does not exist", n.Subnet)
		}
		if sub.Zone != zone {
			return events.Faultf("InvalidParameterCombination", "You may not attach a network interface to an instance if they are not in the same availability zone")
		}
		n.subnet = sub
	}
	in := vpc
	if n.subnet != nil {
		in, _ = v.VPCs.Get(string(n.subnet.VPC))
	}
	ask := events.RunInstances{Groups: n.Groups}
	if len(c.Interfaces) == 0 {
		ask = c
	}
	var err error
	n.groups, err = groupsOf(v, a, in, ask)
	return err
}

// given makes the interfaces of the i-th instance of a launch.
func given(tx *state.Tx, s events.Stamp, vpc *state.VPC, z events.Zone, id events.InstanceID, list []nic, typ Type, i int) ([]events.Event, error) {
	var out []events.Event
	fork := tx
	if len(list) > 1 {
		fork = tx.Fork() // addresses of one are taken before the next is made
	}
	for k, n := range list {
		at := i*len(list) + k
		if n.row != nil {
			if err := network.Fits(typ.Shape(), n.row.Interface); err != nil {
				return nil, err
			}
			out = append(out, network.Attached(s, n.row, id, n.DeviceIndex, true, at))
			continue
		}
		sub := n.subnet
		if sub == nil {
			if sub = subnetIn(fork, vpc, z); sub == nil {
				return nil, events.Faultf("MissingInput", "No default subnet for availability zone: '%s'.", z)
			}
		} else {
			sub, _ = fork.Subnets.Get(string(sub.ID))
		}
		w := n.Addresses
		if typ.addresses6() == 0 && !sub.Native() {
			w.IPv6Set = true // the type has none, whatever the subnet gives
		}
		eni, err := network.Make(&fork.View, s, sub, n.groups, n.Description, w, at)
		if err != nil {
			return nil, err
		}
		if err := network.Fits(typ.Shape(), eni); err != nil {
			return nil, err
		}
		eni.DeviceIndex = n.DeviceIndex
		switch {
		case n.PublicIP != nil:
			eni.Public = *n.PublicIP
		case len(list) == 1 && !sub.Native():
			eni.Public = sub.GivesPublic(&fork.View)
		}
		made := []events.Event{events.InterfaceCreated{Account: s.Account, Zone: z, Instance: id, Interface: eni, At: s.Time, Keep: n.Keep}}
		if eni.Public {
			public, err := network.Assign(&fork.View, z, s.Account, id, eni)
			if err != nil {
				return nil, err
			}
			made = append(made, public)
		}
		if len(list) > 1 {
			for _, e := range made {
				fork.Apply(events.Record{N: fork.Meta.N, Time: s.Time, Event: e})
			}
		}
		out = append(out, made...)
	}
	return out, nil
}

// primarySubnet is where the first of the interfaces is that were made.
func primarySubnet(made []events.Event, first nic) events.SubnetID {
	if first.row != nil {
		return first.row.Interface.Subnet
	}
	for _, e := range made {
		if e, ok := e.(events.InterfaceCreated); ok {
			return e.Interface.Subnet
		}
	}
	return ""
}

func subnetIn(tx *state.Tx, vpc *state.VPC, z events.Zone) *state.Subnet {
	for s := range tx.SubnetsOf(vpc.ID) {
		if s.Zone == z && s.Default {
			return s
		}
	}
	return nil // its account has deleted it
}
