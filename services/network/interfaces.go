package network

import (
	"fmt"
	"net/netip"
	"slices"

	"skerry/events"
	"skerry/services/state"
	"skerry/services/tagging"
)

// Limits of interfaces ("Amazon VPC quotas").
const (
	maxInterfaces      = 5000 // of an account
	maxInterfaceGroups = 5    // security groups of one
)

// Make settles an interface of a subnet: its MAC and all of its addresses. n
// tells the interfaces of one decision apart.
func Make(v *state.View, s events.Stamp, subnet *state.Subnet, groups []events.GroupID, description string, w events.Wanted, n int) (events.Interface, error) {
	f := events.Interface{ID: events.InterfaceID("eni-" + s.Seed.Hex("eni", n)), VPC: subnet.VPC, Subnet: subnet.ID, Groups: groups, Description: description}
	if len(description) > 255 {
		return f, events.Faultf("InvalidParameterValue", "The description of an interface has at most 255 characters.")
	}
	if len(groups) > maxInterfaceGroups {
		return f, events.Faultf("SecurityGroupsPerInterfaceLimitExceeded", "The maximum number of security groups per interface has been reached: %d.", maxInterfaceGroups)
	}
	p := newPicker(v, s, subnet, n)
	var err error
	switch {
	case w.Primary != "":
		f.PrivateIP, err = p.address(w.Primary)
	case !subnet.Native():
		// Those that are named are not drawn.
		for _, text := range w.Secondary {
			if a, err := netip.ParseAddr(text); err == nil {
				p.given = append(p.given, single(a))
			}
		}
		f.PrivateIP, err = p.any()
		p.given = slices.DeleteFunc(p.given, func(x netip.Prefix) bool { return x != single(f.PrivateIP) })
	}
	if err != nil {
		return f, err
	}
	if none := len(w.IPv6)+w.IPv6Count+len(w.IPv6Prefixes)+w.IPv6PrefixCount == 0; none && (subnet.Native() || subnet.AssignIPv6 && !w.IPv6Set) {
		w.IPv6Count = 1
	}
	if err := p.fill(&f, w); err != nil {
		return f, err
	}
	for try := 0; ; try++ {
		b := s.Seed.Bytes(fmt.Sprintf("mac %d", n), try)
		f.MAC = fmt.Sprintf("06:%02x:%02x:%02x:%02x:%02x", b[0], b[1], b[2], b[3], b[4])
		if !v.MACTaken(f.MAC) {
			return f, nil
		}
	}
}

// Fits refuses an interface with more addresses than an instance can have on one.
func Fits(shape events.Shape, f events.Interface) error {
	limit, limit6 := shape.Addresses, shape.IPv6
	if shape.Interfaces == 0 { // launched before feature level 2: its type's limits are not told
		limit, limit6 = MaxAddresses, MaxAddresses
	}
	four := len(f.Secondary) + len(f.Prefixes)
	if f.PrivateIP.IsValid() {
		four++
	}
	six := len(f.IPv6) + len(f.IPv6Prefixes)
	switch {
	case four > limit:
		return tooMany(limit)
	case six > 0 && limit6 == 0:
		return events.Faultf("InvalidParameterCombination", "The instance type %s does not support IPv6.", shape.Type)
	case six > limit6:
		return tooMany(limit6)
	}
	return nil
}

// InterfaceGroups checks the groups of an interface; none means the default one
// of the VPC.
func InterfaceGroups(v *state.View, a events.AccountID, vpc events.VPCID, list []events.GroupID) ([]events.GroupID, error) {
	for _, id := range list {
		g, ok := v.Groups.Get(string(id))
		if !ok || g.Account != a {
			return nil, events.Faultf("InvalidGroup.NotFound", "The security group '%s' does not exist", id)
		}
		if g.VPC != vpc {
			return nil, events.Faultf("InvalidParameterValue", "You have specified two resources that belong to different networks.")
		}
	}
	if len(list) == 0 {
		for g := range v.GroupsOf(vpc) {
			if g.Name == "default" {
				list = []events.GroupID{g.ID}
			}
		}
	}
	list = slices.Sorted(slices.Values(list))
	list = slices.Compact(list)
	if len(list) > maxInterfaceGroups {
		return nil, events.Faultf("SecurityGroupsPerInterfaceLimitExceeded", "The maximum number of security groups per interface has been reached: %d.", maxInterfaceGroups)
	}
	return list, nil
}

// CreateInterface makes an interface that is attached to nothing.
func CreateInterface(v *state.View, s events.Stamp, c events.CreateInterface) ([]events.Event, error) {
	sub, err := subnet(v, s.Account, c.Subnet)
	if err != nil {
		return nil, err
	}
	if err := tagging.Check(c.Tags); err != nil {
		return nil, err
	}
	groups, err := InterfaceGroups(v, s.Account, sub.VPC, c.Groups)
	if err != nil {
		return nil, err
	}
	if v.InterfaceCount(s.Account) >= maxInterfaces {
		return nil, events.Faultf("NetworkInterfaceLimitExceeded", "The maximum number of network interfaces has been reached.")
	}
	f, err := Make(v, s, sub, groups, c.Description, c.Addresses, 0)
	if err != nil {
		return nil, err
	}
	if len(f.Secondary)+len(f.Prefixes) >= MaxAddresses {
		return nil, tooMany(MaxAddresses)
	}
	out := []events.Event{events.InterfaceCreated{Account: s.Account, Zone: sub.Zone, Interface: f, At: s.Time}}
	return append(out, tagging.New(s, string(f.ID), c.Tags)...), nil
}

// Interface finds an account's interface.
func Interface(v *state.View, a events.AccountID, id events.InterfaceID) (*state.Interface, error) {
	if id == "" {
		return nil, events.Faultf("MissingParameter", "The request must contain the parameter networkInterfaceId")
	}
	f, ok := v.Interfaces.Get(string(id))
	if !ok || f.Account != a {
		return nil, events.Faultf("InvalidNetworkInterfaceID.NotFound", "The networkInterface ID '%s' does not exist", id)
	}
	return f, nil
}

// managed refuses a change of an interface that belongs to something of the
// region's own.
func managed(f *state.Interface) error {
	if f.Interface.NAT == "" {
		return nil
	}
	return events.Faultf("OperationNotPermitted", "The network interface '%s' belongs to NAT gateway '%s', which alone may change it.", f.Interface.ID, f.Interface.NAT)
}

// DeleteInterface ends an interface that is attached to nothing. Elastic IP
// addresses that it has stay its account's.
func DeleteInterface(v *state.View, s events.Stamp, c events.DeleteInterface) ([]events.Event, error) {
	f, err := Interface(v, s.Account, c.Interface)
	if err != nil {
		return nil, err
	}
	if !f.Idle() {
		return nil, events.Faultf("InvalidParameterValue", "Network interface '%s' is currently in use.", f.Interface.ID)
	}
	return Ended(v, f, ""), nil
}

// Ended gives back all that an interface has. The host is where its tap is.
func Ended(v *state.View, f *state.Interface, host events.HostID) []events.Event {
	out := Unbind(v, f.Interface.ID)
	return append(out, events.InterfaceDeleted{ID: f.Interface.ID, Account: f.Account, Zone: f.Zone, VPC: f.Interface.VPC, Host: host})
}

// Terminated gives back what an instance had that is no more: an interface ends
// with it, or is available again.
func Terminated(v *state.View, i *state.Instance) (out []events.Event) {
	for _, f := range i.Interfaces(v) {
		if f.Keep {
			out = append(out, detached(f, i.Host))
		} else {
			out = append(out, Ended(v, f, i.Host)...)
		}
	}
	return out
}

func detached(f *state.Interface, host events.HostID) events.Event {
	return events.InterfaceDetached{ID: f.Interface.ID, Account: f.Account, Zone: f.Zone, VPC: f.Interface.VPC,
		Attachment: f.AttachmentID(), Instance: f.Instance, Host: host}
}

// Attachable refuses an interface that an instance cannot have: it is somebody's
// already, or a host has not let go of it.
func Attachable(v *state.View, f *state.Interface, zone events.Zone, host events.HostID) error {
	switch {
	case !f.Idle():
		return events.Faultf("InvalidNetworkInterface.InUse", "Interface: [%s] in use.", f.Interface.ID)
	case f.Zone != zone:
		return events.Faultf("InvalidParameterCombination", "You may not attach a network interface to an instance if they are not in the same availability zone")
	}
	if host == "" && v.Owed(events.SpecPort, string(f.Interface.ID)) || host != "" && v.OwedBy(host, events.SpecPort, string(f.Interface.ID)) {
		return events.Faultf("IncorrectState", "The host that had the interface '%s' has not let go of it yet.", f.Interface.ID)
	}
	return nil
}

// AttachInterface gives an interface to an instance of its zone.
func AttachInterface(v *state.View, s events.Stamp, c events.AttachInterface) ([]events.Event, error) {
	f, err := Interface(v, s.Account, c.Interface)
	if err != nil {
		return nil, err
	}
	i, ok := v.Instance(s.Account, c.Instance)
	if !ok {
		return nil, events.Faultf("InvalidInstanceID.NotFound", "The instance ID '%s' does not exist", c.Instance)
	}
	if i.State != state.Running && i.State != state.Stopped {
		return nil, events.Faultf("IncorrectState", "The instance '%s' is not in a state in which an interface can be attached: it is %s.", i.ID, i.State)
	}
	if err := Attachable(v, f, i.Zone, i.Host); err != nil {
		return nil, err
	}
	have := i.Interfaces(v)
	if limit := i.Shape.Interfaces; limit > 0 && len(have) >= limit {
		return nil, events.Faultf("AttachmentLimitExceeded", "Interface count %d exceeds the limit for %s", len(have)+1, i.Shape.Type)
	}
	if c.DeviceIndex < 0 {
		return nil, events.Faultf("InvalidParameterValue", "Value (%d) for parameter deviceIndex is invalid.", c.DeviceIndex)
	}
	for _, o := range have {
		if o.Interface.DeviceIndex == c.DeviceIndex {
			return nil, events.Faultf("InvalidParameterValue", "Instance '%s' already has an interface attached at device index '%d'.", i.ID, c.DeviceIndex)
		}
	}
	if err := Fits(i.Shape, f.Interface); err != nil {
		return nil, err
	}
	return []events.Event{Attached(s, f, i.ID, c.DeviceIndex, true, 0)}, nil
}

// Attached is the event that gives an interface to an instance. n tells the
// attachments of one decision apart.
func Attached(s events.Stamp, f *state.Interface, instance events.InstanceID, index int, keep bool, n int) events.Event {
	return events.InterfaceAttached{ID: f.Interface.ID, Account: f.Account, Zone: f.Zone, VPC: f.Interface.VPC,
		Attachment: events.AttachmentID("eni-attach-" + s.Seed.Hex("eni-attach", n)), Instance: instance, DeviceIndex: index, Keep: keep, At: s.Time}
}

func attachment(v *state.View, a events.AccountID, id events.AttachmentID) (*state.Interface, error) {
	f, ok := v.Attachment(a, id)
	if !ok {
		return nil, events.Faultf("InvalidAttachmentID.NotFound", "The attachment '%s' does not exist", id)
	}
	return f, nil
}

// DetachInterface takes an interface from its instance: it is available when the
// host says that nothing of it is left there. By force it is so at once, and
// what the host does later concerns nobody: others take packets of the interface
// from where it is attached alone.
func DetachInterface(v *state.View, s events.Stamp, c events.DetachInterface) ([]events.Event, error) {
	f, err := attachment(v, s.Account, c.Attachment)
	if err != nil {
		return nil, err
	}
	if f.Interface.DeviceIndex == 0 {
		return nil, events.Faultf("OperationNotPermitted", "The network interface at device index 0 cannot be detached.")
	}
	host := events.HostID("")
	if i, ok := v.Instances.Get(string(f.Instance)); ok {
		if _, ok := v.Nodes.Get(state.NodeKey(i.Host, "network")); ok {
			host = i.Host
		}
	}
	switch {
	case c.Force || host == "":
		return []events.Event{detached(f, host)}, nil
	case f.Detaching:
		return nil, nil
	}
	return []events.Event{events.InterfaceDetachRequested{ID: f.Interface.ID, Account: f.Account, Zone: f.Zone, VPC: f.Interface.VPC,
		Attachment: f.AttachmentID(), Instance: f.Instance, Host: host}}, nil
}

// released frees an interface that its host has let go of.
func released(v *state.View, host events.HostID, id string) []events.Event {
	f, ok := v.Interfaces.Get(id)
	if !ok || !f.Detaching {
		return nil
	}
	if i, ok := v.Instances.Get(string(f.Instance)); !ok || i.Host != host {
		return nil
	}
	return []events.Event{detached(f, "")}
}

// ModifyInterface changes one attribute.
func ModifyInterface(v *state.View, s events.Stamp, c events.ModifyInterface) ([]events.Event, error) {
	f, err := Interface(v, s.Account, c.Interface)
	if err != nil {
		return nil, err
	}
	if err := managed(f); err != nil {
		return nil, err
	}
	e := events.InterfaceModified{ID: f.Interface.ID, Account: f.Account, Zone: f.Zone, VPC: f.Interface.VPC,
		Description: c.Description, SourceDestCheck: c.SourceDestCheck, Keep: c.Keep}
	given := 0
	for _, set := range []bool{c.Description != nil, len(c.Groups) > 0, c.SourceDestCheck != nil, c.Keep != nil} {
		if set {
			given++
		}
	}
	switch {
	case given == 0:
		return nil, events.Faultf("MissingParameter", "The request must contain the attribute to modify.")
	case given > 1:
		return nil, events.Faultf("InvalidParameterCombination", "Only one attribute can be modified at a time.")
	case c.Description != nil && len(*c.Description) > 255:
		return nil, events.Faultf("InvalidParameterValue", "The description of an interface has at most 255 characters.")
	case c.Keep != nil:
		if f.Instance == "" || f.AttachmentID() != c.Attachment {
			return nil, events.Faultf("InvalidAttachmentID.NotFound", "The attachment '%s' does not exist", c.Attachment)
		}
	case len(c.Groups) > 0:
		if e.Groups, err = InterfaceGroups(v, s.Account, f.Interface.VPC, c.Groups); err != nil {
			return nil, err
		}
	}
	return []events.Event{e}, nil
}

// AssignAddresses gives an interface more addresses.
func AssignAddresses(v *state.View, s events.Stamp, c events.AssignAddresses) ([]events.Event, error) {
	f, err := Interface(v, s.Account, c.Interface)
	if err != nil {
		return nil, err
	}
	if err := managed(f); err != nil {
		return nil, err
	}
	w := c.Addresses
	if len(w.Secondary)+w.SecondaryCount+len(w.Prefixes)+w.PrefixCount+len(w.IPv6)+w.IPv6Count+len(w.IPv6Prefixes)+w.IPv6PrefixCount == 0 {
		return nil, events.Faultf("MissingParameter", "The request must contain the addresses to assign, or their number.")
	}
	sub, _ := v.Subnets.Get(string(f.Interface.Subnet)) // an interface has one
	// What it has already, it has.
	w.Secondary = slices.DeleteFunc(slices.Clone(w.Secondary), func(t string) bool { return has(f, t) })
	w.IPv6 = slices.DeleteFunc(slices.Clone(w.IPv6), func(t string) bool { return has(f, t) })
	p := newPicker(v, s, sub, 0)
	p.move = c.Move
	var more events.Interface
	if err := p.fill(&more, w); err != nil {
		return nil, err
	}
	whole := f.Interface
	whole.Secondary, whole.Prefixes = slices.Concat(whole.Secondary, more.Secondary), slices.Concat(whole.Prefixes, more.Prefixes)
	whole.IPv6, whole.IPv6Prefixes = slices.Concat(whole.IPv6, more.IPv6), slices.Concat(whole.IPv6Prefixes, more.IPv6Prefixes)
	shape := events.Shape{Addresses: MaxAddresses, IPv6: MaxAddresses}
	if i, ok := v.Instances.Get(string(f.Instance)); ok {
		shape = i.Shape
	}
	if err := Fits(shape, whole); err != nil {
		return nil, err
	}
	var out, after []events.Event
	for n, t := range p.taken {
		gone := events.InterfaceAddressesUnassigned{ID: t.from.Interface.ID, Account: t.from.Account, Zone: t.from.Zone, VPC: t.from.Interface.VPC}
		switch {
		case !t.what.IsSingleIP() && t.what.Addr().Is4():
			gone.Prefixes = []netip.Prefix{t.what}
		case !t.what.IsSingleIP():
			gone.IPv6Prefixes = []netip.Prefix{t.what}
		case t.what.Addr().Is4():
			gone.Secondary = []netip.Addr{t.what.Addr()}
		default:
			gone.IPv6 = []netip.Addr{t.what.Addr()}
		}
		if a, ok := v.PublicFor(t.from.Interface.ID, t.what.Addr()); ok { // it moves along
			out = append(out, unbound(v, a))
			after = append(after, events.AddressAssociated{Association: events.AssociationID("eipassoc-" + s.Seed.Hex("eipassoc", n)), Address: a.Address, Account: a.Account,
				Zone: f.Zone, VPC: f.Interface.VPC, Interface: f.Interface.ID, Instance: f.Instance, Private: a.Private})
		}
		out = append(out, gone)
	}
	if len(more.Secondary)+len(more.Prefixes)+len(more.IPv6)+len(more.IPv6Prefixes) == 0 {
		return nil, nil
	}
	out = append(out, events.InterfaceAddressesAssigned{ID: f.Interface.ID, Account: f.Account, Zone: f.Zone, VPC: f.Interface.VPC,
		Secondary: more.Secondary, Prefixes: more.Prefixes, IPv6: more.IPv6, IPv6Prefixes: more.IPv6Prefixes})
	return append(out, after...), nil
}

func has(f *state.Interface, text string) bool {
	a, err := netip.ParseAddr(text)
	return err == nil && (slices.Contains(f.Interface.Secondary, a) || slices.Contains(f.Interface.IPv6, a))
}

// UnassignAddresses takes addresses from an interface. A public address behind
// one of them stays its account's.
func UnassignAddresses(v *state.View, s events.Stamp, c events.UnassignAddresses) ([]events.Event, error) {
	f, err := Interface(v, s.Account, c.Interface)
	if err != nil {
		return nil, err
	}
	if err := managed(f); err != nil {
		return nil, err
	}
	if len(c.Addresses)+len(c.Prefixes) == 0 {
		return nil, events.Faultf("MissingParameter", "The request must contain the addresses to unassign.")
	}
	var out []events.Event
	e := events.InterfaceAddressesUnassigned{ID: f.Interface.ID, Account: f.Account, Zone: f.Zone, VPC: f.Interface.VPC}
	for _, text := range c.Addresses {
		a, err := netip.ParseAddr(text)
		switch {
		case err != nil:
			return nil, events.Faultf("InvalidParameterValue", "Value (%s) for parameter address is invalid.", text)
		case a == f.Interface.PrivateIP:
			return nil, events.Faultf("InvalidParameterValue", "The primary private IP address %s of interface '%s' cannot be unassigned.", a, f.Interface.ID)
		case slices.Contains(f.Interface.Secondary, a):
			if slices.Contains(e.Secondary, a) {
				continue
			}
			if public, ok := v.PublicFor(f.Interface.ID, a); ok {
				out = append(out, unbound(v, public))
			}
			e.Secondary = append(e.Secondary, a)
		case slices.Contains(f.Interface.IPv6, a):
			if !slices.Contains(e.IPv6, a) {
				e.IPv6 = append(e.IPv6, a)
			}
		default:
			return nil, events.Faultf("InvalidParameterValue", "Some of the addresses are not assigned to interface %s: %s", f.Interface.ID, a)
		}
	}
	for _, text := range c.Prefixes {
		x, err := netip.ParsePrefix(text)
		switch {
		case err == nil && slices.Contains(f.Interface.Prefixes, x):
			e.Prefixes = append(e.Prefixes, x)
		case err == nil && slices.Contains(f.Interface.IPv6Prefixes, x):
			e.IPv6Prefixes = append(e.IPv6Prefixes, x)
		default:
			return nil, events.Faultf("InvalidParameterValue", "Some of the prefixes are not assigned to interface %s: %s", f.Interface.ID, text)
		}
	}
	if sub, ok := v.Subnets.Get(string(f.Interface.Subnet)); ok && sub.Native() && len(e.IPv6) == len(f.Interface.IPv6) && len(e.IPv6) > 0 {
		return nil, events.Faultf("InvalidParameterValue", "The last IPv6 address of an interface in an IPv6-only subnet cannot be unassigned.")
	}
	return append(out, e), nil
}
