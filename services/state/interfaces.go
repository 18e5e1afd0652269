package state

import (
	"net/netip"
	"slices"
	"time"

	"skerry/events"
)

func (tx *Tx) interfaceCreated(e events.InterfaceCreated, r events.Record) {
	f := &Interface{InterfaceCreated: e, N: r.N, Request: r.Request}
	if e.Instance != "" {
		f.Attached = e.At
	}
	must(!tx.MACTaken(e.Interface.MAC), r, "MAC given twice")
	tx.free(e.Interface, r)
	tx.Interfaces.put(string(e.Interface.ID), f)
	tx.use(e.Interface.Subnet, f.taken())
	if e.Interface.PrivateIP.IsValid() {
		tx.Subnets.change(string(e.Interface.Subnet), func(s *Subnet) { s.Next = e.Interface.PrivateIP.Next() })
	}
}

// interfaceChanged evolves what happened to an interface that there is.
func (tx *Tx) interfaceChanged(r events.Record) {
	switch e := r.Event.(type) {
	case events.InterfaceAttached:
		i, ok := tx.Instances.Get(string(e.Instance))
		if ok {
			for _, o := range i.Interfaces(&tx.View) {
				must(o.Interface.DeviceIndex != e.DeviceIndex, r, "two interfaces at one device index")
			}
		}
		tx.changeInterface(e.ID, r, func(f *Interface) {
			must(f.Instance == "", r, "an interface was attached twice")
			f.Instance, f.Attachment, f.Interface.DeviceIndex, f.Keep, f.Attached = e.Instance, e.Attachment, e.DeviceIndex, e.Keep, e.At
		})
		tx.bind(e.ID, e.Instance, r)
	case events.InterfaceDetachRequested:
		tx.changeInterface(e.ID, r, func(f *Interface) { f.Detaching = true })
		tx.entomb(e.Host, events.SpecPort, string(e.ID), r)
		tx.leave(e.ID, r)
	case events.InterfaceDetached:
		f, _ := tx.Interfaces.Get(string(e.ID))
		if _, ok := tx.Nodes.Get(NodeKey(e.Host, "network")); ok && e.Host != "" {
			tx.entomb(e.Host, events.SpecPort, string(e.ID), r)
		}
		if !f.Detaching {
			tx.leave(e.ID, r)
		}
		tx.changeInterface(e.ID, r, func(f *Interface) {
			f.Instance, f.Attachment, f.Interface.DeviceIndex, f.Keep, f.Detaching, f.Interface.Public = "", "", 0, false, false, false
			f.Attached = time.Time{}
		})
		tx.bind(e.ID, "", r)
		tx.touchInstance(e.Instance, r)
	case events.InterfaceModified:
		tx.changeInterface(e.ID, r, func(f *Interface) {
			if e.Description != nil {
				f.Interface.Description = *e.Description
			}
			if e.Groups != nil {
				f.Interface.Groups = e.Groups
			}
			if e.SourceDestCheck != nil {
				f.NoSrcCheck = !*e.SourceDestCheck
			}
			if e.Keep != nil {
				f.Keep = *e.Keep
			}
		})
	case events.InterfaceAddressesAssigned:
		f, _ := tx.Interfaces.Get(string(e.ID))
		tx.free(events.Interface{Subnet: f.Interface.Subnet, Secondary: e.Secondary, Prefixes: e.Prefixes, IPv6: e.IPv6, IPv6Prefixes: e.IPv6Prefixes}, r)
		before := f.taken()
		tx.changeInterface(e.ID, r, func(f *Interface) {
			f.Interface.Secondary = with(f.Interface.Secondary, e.Secondary)
			f.Interface.Prefixes = with(f.Interface.Prefixes, e.Prefixes)
			f.Interface.IPv6 = with(f.Interface.IPv6, e.IPv6)
			f.Interface.IPv6Prefixes = with(f.Interface.IPv6Prefixes, e.IPv6Prefixes)
		})
		f, _ = tx.Interfaces.Get(string(e.ID))
		tx.use(f.Interface.Subnet, f.taken()-before)
		if n := len(e.Secondary); n > 0 {
			tx.Subnets.change(string(f.Interface.Subnet), func(s *Subnet) { s.Next = e.Secondary[n-1].Next() })
		}
	case events.InterfaceAddressesUnassigned:
		for _, a := range e.Secondary {
			_, public := tx.PublicFor(e.ID, a)
			must(!public, r, "a private address went with its public one")
		}
		f, _ := tx.Interfaces.Get(string(e.ID))
		before := f.taken()
		tx.changeInterface(e.ID, r, func(f *Interface) {
			f.Interface.Secondary = without(f.Interface.Secondary, e.Secondary)
			f.Interface.Prefixes = without(f.Interface.Prefixes, e.Prefixes)
			f.Interface.IPv6 = without(f.Interface.IPv6, e.IPv6)
			f.Interface.IPv6Prefixes = without(f.Interface.IPv6Prefixes, e.IPv6Prefixes)
		})
		f, _ = tx.Interfaces.Get(string(e.ID))
		tx.use(f.Interface.Subnet, f.taken()-before)
	}
}

// with and without make lists of their own: views share the rows.
func with[T any](have, more []T) []T { return append(slices.Clip(have), more...) }

func without[T comparable](have, gone []T) []T {
	return slices.DeleteFunc(slices.Clone(have), func(x T) bool { return slices.Contains(gone, x) })
}

// free asserts that nobody has the addresses that an interface is given.
func (tx *Tx) free(f events.Interface, r events.Record) {
	var all []netip.Prefix
	if f.PrivateIP.IsValid() {
		all = append(all, netip.PrefixFrom(f.PrivateIP, f.PrivateIP.BitLen()))
	}
	for _, a := range slices.Concat(f.Secondary, f.IPv6) {
		all = append(all, netip.PrefixFrom(a, a.BitLen()))
	}
	all = slices.Concat(all, f.Prefixes, f.IPv6Prefixes)
	for n, p := range all {
		_, taken := tx.Holder(f.Subnet, p)
		taken = taken || slices.ContainsFunc(all[:n], p.Overlaps)
		must(!taken, r, "address given twice")
	}
}

func (tx *Tx) use(id events.SubnetID, n int) {
	tx.Subnets.change(string(id), func(s *Subnet) { s.Used += n })
}

// changeInterface changes an interface, which the specs of its instance name.
func (tx *Tx) changeInterface(id events.InterfaceID, r events.Record, f func(*Interface)) {
	tx.Interfaces.change(string(id), func(i *Interface) {
		f(i)
		i.N, i.Request = r.N, r.Request
	})
	i, _ := tx.Interfaces.Get(string(id))
	tx.touchInstance(i.Instance, r)
}

// bind tells the public addresses of an interface, and the routes that lead to
// it, whose it is. They are served again where they were not.
func (tx *Tx) bind(id events.InterfaceID, instance events.InstanceID, r events.Record) {
	for _, a := range slices.Collect(tx.PublicsOf(id)) {
		tx.Addresses.change(a.Address.String(), func(a *Address) { a.Instance, a.N, a.Request = instance, r.N, r.Request })
	}
	tx.serve(id)
	if f, _ := tx.Interfaces.Get(string(id)); tx.Routed(f.Interface.VPC, id) {
		tx.touchVPC(f.Interface.VPC, r)
	}
}

// leave tells the gateways to let go of the public addresses of an interface:
// there is no host to send to.
func (tx *Tx) leave(id events.InterfaceID, r events.Record) {
	for _, a := range slices.Collect(tx.PublicsOf(id)) {
		tx.withdraw(a.Address.String(), r)
	}
}
