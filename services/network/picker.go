package network

import (
	"fmt"
	"net/netip"
	"slices"

	"skerry/events"
	"skerry/internal/planted"
	"skerry/services/state"
)

// MaxAddresses is how many addresses of one kind an interface can have that is
// attached to nothing: no instance type has more.
const MaxAddresses = 50

// picker gives out addresses of a subnet, none twice in one decision.
type picker struct {
	v      *state.View
	s      events.Stamp
	subnet *state.Subnet
	next   netip.Addr
	given  []netip.Prefix
	draw   string // tells the draws of one decision apart
	drawn  int

	move  bool // take addresses from who has them
	taken []taking
}

// taking is an address that an interface loses to another.
type taking struct {
	from *state.Interface
	what netip.Prefix
}

func newPicker(v *state.View, s events.Stamp, subnet *state.Subnet, n int) *picker {
	next := subnet.Next
	if planted.On(planted.AddressTwice) {
		next = netip.Addr{}
	}
	return &picker{v: v, s: s, subnet: subnet, next: next, draw: fmt.Sprintf("ipv6 %d", n)}
}

func single(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }

func (p *picker) free(x netip.Prefix) bool {
	_, taken := p.v.Holder(p.subnet.ID, x)
	return (!taken || planted.On(planted.AddressTwice)) && !slices.ContainsFunc(p.given, x.Overlaps)
}

// named takes an address or prefix that a call names.
func (p *picker) named(x netip.Prefix) error {
	if slices.ContainsFunc(p.given, x.Overlaps) {
		return events.Faultf("InvalidParameterValue", "The address %s is given more than once.", shown(x))
	}
	if f, taken := p.v.Holder(p.subnet.ID, x); taken {
		if !p.move || !holds(f, x) {
			return events.Faultf("InvalidIPAddress.InUse", "Address %s is in use.", shown(x))
		}
		p.taken = append(p.taken, taking{f, x})
	}
	p.given = append(p.given, x)
	return nil
}

// holds says that an interface has just this, and can lose it.
func holds(f *state.Interface, x netip.Prefix) bool {
	if x.IsSingleIP() {
		return slices.Contains(f.Interface.Secondary, x.Addr()) || slices.Contains(f.Interface.IPv6, x.Addr())
	}
	return slices.Contains(f.Interface.Prefixes, x) || slices.Contains(f.Interface.IPv6Prefixes, x)
}

func shown(x netip.Prefix) string {
	if x.IsSingleIP() {
		return x.Addr().String()
	}
	return x.String()
}

func (p *picker) noIPv4() error {
	if p.subnet.Native() {
		return events.Faultf("InvalidParameterCombination", "The subnet '%s' has no IPv4 addresses.", p.subnet.ID)
	}
	return nil
}

func (p *picker) noIPv6() error {
	if !p.subnet.IPv6.CIDR.IsValid() {
		return events.Faultf("InvalidParameterCombination", "The subnet '%s' has no IPv6 CIDR block.", p.subnet.ID)
	}
	return nil
}

// address reads an IPv4 address that a call names.
func (p *picker) address(text string) (netip.Addr, error) {
	if err := p.noIPv4(); err != nil {
		return netip.Addr{}, err
	}
	a, err := netip.ParseAddr(text)
	if err != nil || !a.Is4() {
		return a, events.Faultf("InvalidParameterValue", "Value (%s) for parameter privateIpAddress is invalid. Invalid IPv4 address.", text)
	}
	if !p.subnet.CIDR.Contains(a) {
		return a, events.Faultf("InvalidParameterValue", "Address %s does not fall within the subnet's address range %s.", a, p.subnet.CIDR)
	}
	if first, last := usable(p.subnet.CIDR); a.Less(first) || last.Less(a) {
		return a, events.Faultf("InvalidParameterValue", "Address %s is in the subnet's reserved address range.", a)
	}
	return a, p.named(single(a))
}

// any draws an IPv4 address. The search goes on from the last one given, so that
// a returned one is not reused at once.
func (p *picker) any() (netip.Addr, error) {
	if err := p.noIPv4(); err != nil {
		return netip.Addr{}, err
	}
	first, last := usable(p.subnet.CIDR)
	from := p.next
	if from.Less(first) || last.Less(from) {
		from = first
	}
	for a := from; ; {
		if p.free(single(a)) {
			p.given, p.next = append(p.given, single(a)), a.Next()
			return a, nil
		}
		if a = a.Next(); last.Less(a) {
			a = first
		}
		if a == from {
			return a, events.Faultf("InsufficientFreeAddressesInSubnet", "The subnet '%s' has no free addresses.", p.subnet.ID)
		}
	}
}

// prefix reads a prefix that a call names.
func (p *picker) prefix(text string, of netip.Prefix, bits int) (netip.Prefix, error) {
	x, err := netip.ParsePrefix(text)
	switch {
	case err != nil || x.Bits() != bits || x.Masked() != x || x.Addr().Is4() != of.Addr().Is4():
		return x, events.Faultf("InvalidParameterValue", "Value (%s) for parameter prefix is invalid. It must be a /%d prefix.", text, bits)
	case !of.Contains(x.Addr()):
		return x, events.Faultf("InvalidParameterValue", "The prefix %s does not fall within the subnet's address range %s.", x, of)
	case !whole(of, x):
		return x, events.Faultf("InvalidParameterValue", "The prefix %s has addresses that are reserved in the subnet.", x)
	}
	return x, p.named(x)
}

// whole says that no address of a prefix is reserved in its subnet.
func whole(of, x netip.Prefix) bool {
	if of.Addr().Is4() {
		first, last := usable(of)
		return !x.Contains(first.Prev()) && !x.Contains(last.Next())
	}
	return x.Addr() != of.Masked().Addr()
}

// anyPrefix finds a free /28.
func (p *picker) anyPrefix() (netip.Prefix, error) {
	if err := p.noIPv4(); err != nil {
		return netip.Prefix{}, err
	}
	for a := p.subnet.CIDR.Masked().Addr(); p.subnet.CIDR.Contains(a); {
		x := netip.PrefixFrom(a, state.Prefix4)
		if whole(p.subnet.CIDR, x) && p.free(x) {
			p.given = append(p.given, x)
			return x, nil
		}
		for range 1 << (32 - state.Prefix4) {
			a = a.Next()
		}
	}
	return netip.Prefix{}, events.Faultf("InsufficientCidrBlocks", "The subnet '%s' does not have enough free cidr blocks to satisfy the request.", p.subnet.ID)
}

// address6 reads an IPv6 address that a call names.
func (p *picker) address6(text string) (netip.Addr, error) {
	if err := p.noIPv6(); err != nil {
		return netip.Addr{}, err
	}
	a, err := netip.ParseAddr(text)
	of := p.subnet.IPv6.CIDR
	switch {
	case err != nil || !a.Is6() || a.Zone() != "":
		return a, events.Faultf("InvalidParameterValue", "Value (%s) for parameter ipv6Address is invalid. Invalid IPv6 address.", text)
	case !of.Contains(a):
		return a, events.Faultf("InvalidParameterValue", "Address %s does not fall within the subnet's address range %s.", a, of)
	case reserved6(of, a):
		return a, events.Faultf("InvalidParameterValue", "Address %s is in the subnet's reserved address range.", a)
	}
	return a, p.named(single(a))
}

// reserved6 says that nobody gets an address: the first four, and the last.
func reserved6(of netip.Prefix, a netip.Addr) bool {
	if !of.Contains(a.Next()) {
		return true
	}
	for range Reserved {
		if a == of.Masked().Addr() {
			return true
		}
		a = a.Prev()
	}
	return false
}

// draws makes an address of a block out of the seed: with so many to draw from,
// one that was returned does not come again.
func (p *picker) draws(of netip.Prefix, bits int) netip.Prefix {
	a := of.Masked().Addr().As16()
	b := p.s.Seed.Bytes(p.draw, p.drawn)
	p.drawn++
	copy(a[8:], b[:8])
	x, _ := netip.AddrFrom16(a).Prefix(bits) // no address has fewer bits
	return x
}

func (p *picker) any6(bits int) (netip.Prefix, error) {
	if err := p.noIPv6(); err != nil {
		return netip.Prefix{}, err
	}
	of := p.subnet.IPv6.CIDR
	for {
		x := p.draws(of, bits)
		if !p.free(x) || bits == state.Prefix6 && !whole(of, x) || bits == 128 && reserved6(of, x.Addr()) {
			continue
		}
		p.given = append(p.given, x)
		return x, nil
	}
}

// one refuses a call that asks for the same in several ways.
func one(what string, ways ...bool) error {
	n := 0
	for _, w := range ways {
		if w {
			n++
		}
	}
	if n > 1 {
		return events.Faultf("InvalidParameterCombination", "Only one of these can be specified: %s addresses, a count of them, %s prefixes, a count of them.", what, what)
	}
	return nil
}

// fill gives an interface what is wanted beside its primary address.
func (p *picker) fill(f *events.Interface, w events.Wanted) error {
	if err := one("private IPv4", len(w.Secondary) > 0, w.SecondaryCount > 0, len(w.Prefixes) > 0, w.PrefixCount > 0); err != nil {
		return err
	}
	if err := one("IPv6", len(w.IPv6) > 0, w.IPv6Count > 0, len(w.IPv6Prefixes) > 0, w.IPv6PrefixCount > 0); err != nil {
		return err
	}
	for _, n := range []int{w.SecondaryCount, w.PrefixCount, w.IPv6Count, w.IPv6PrefixCount} {
		if n < 0 || n > MaxAddresses {
			return tooMany(MaxAddresses)
		}
	}
	if len(w.Secondary)+len(w.Prefixes) > MaxAddresses || len(w.IPv6)+len(w.IPv6Prefixes) > MaxAddresses {
		return tooMany(MaxAddresses)
	}
	for _, text := range w.Secondary {
		a, err := p.address(text)
		if err != nil {
			return err
		}
		f.Secondary = append(f.Secondary, a)
	}
	for range w.SecondaryCount {
		a, err := p.any()
		if err != nil {
			return err
		}
		f.Secondary = append(f.Secondary, a)
	}
	for _, text := range w.Prefixes {
		if err := p.noIPv4(); err != nil {
			return err
		}
		x, err := p.prefix(text, p.subnet.CIDR, state.Prefix4)
		if err != nil {
			return err
		}
		f.Prefixes = append(f.Prefixes, x)
	}
	for range w.PrefixCount {
		x, err := p.anyPrefix()
		if err != nil {
			return err
		}
		f.Prefixes = append(f.Prefixes, x)
	}
	for _, text := range w.IPv6 {
		a, err := p.address6(text)
		if err != nil {
			return err
		}
		f.IPv6 = append(f.IPv6, a)
	}
	for range w.IPv6Count {
		x, err := p.any6(128)
		if err != nil {
			return err
		}
		f.IPv6 = append(f.IPv6, x.Addr())
	}
	for _, text := range w.IPv6Prefixes {
		if err := p.noIPv6(); err != nil {
			return err
		}
		x, err := p.prefix(text, p.subnet.IPv6.CIDR, state.Prefix6)
		if err != nil {
			return err
		}
		f.IPv6Prefixes = append(f.IPv6Prefixes, x)
	}
	for range w.IPv6PrefixCount {
		x, err := p.any6(state.Prefix6)
		if err != nil {
			return err
		}
		f.IPv6Prefixes = append(f.IPv6Prefixes, x)
	}
	return nil
}

func tooMany(limit int) error {
	return events.Faultf("PrivateIpAddressLimitExceeded", "Number of private addresses will exceed limit: an interface has %d at most.", limit)
}
