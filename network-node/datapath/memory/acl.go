package memory

import (
	"skerry/events"
)

// passes says whether the network ACL of a subnet lets a packet in or out. It
// remembers nothing: an answer asks as its question did.
//
// The rest of a packet in pieces has no ports. A rule that asks for some lets it
// pass, for it is worth nothing without the first piece, and denies it nothing.
func (d *Datapath) passes(subnet uint32, p packet, dir direction) bool {
	list, ok := d.acls[subnet]
	if !ok {
		return true
	}
	other := p.dst
	if dir == ingress {
		other = p.src
	}
	for _, e := range list {
		if e.Egress == (dir == egress) && e.CIDR.IsValid() && e.CIDR.Masked().Contains(other) && (e.Protocol == -1 || e.Protocol == int(p.proto) && within(e, p)) {
			return !e.Deny
		}
	}
	return false
}

// within looks at the ports, or at the type and code of ICMP.
func within(e events.ACLEntry, p packet) bool {
	switch p.proto {
	case protoTCP, protoUDP:
		if p.fragment == 2 {
			return !e.Deny || e.From == 0 && e.To == 65535
		}
		return int(p.dport) >= e.From && int(p.dport) <= e.To
	case protoICMP, protoICMPv6:
		if p.fragment == 2 {
			return !e.Deny || e.From < 0
		}
		return (e.From < 0 || e.From == int(p.icmp)) && (e.To < 0 || e.To == int(p.code))
	}
	return true
}
