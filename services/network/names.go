package network

import (
	"fmt"
	"net/netip"
	"strings"

	"skerry/events"
	"skerry/services/state"
)

// PrivateName is the internal name of a private address: ip-172-31-0-4.….
func PrivateName(region string, a netip.Addr) string {
	return events.PrivateName(a, events.PrivateDomain(region))
}

// Types of private names ("Amazon EC2 instance hostname types").
const (
	IPName       = "ip-name"
	ResourceName = "resource-name"
)

// HostnameType is how instances that are launched into a subnet are named.
func HostnameType(s *state.Subnet) string {
	if s.Hostname == "" && s.Native() || s.Hostname == ResourceName {
		return ResourceName
	}
	return IPName
}

// Hostname is an instance's own name, on an interface with this primary address:
// after that, or after the instance.
func Hostname(region string, i *state.Instance, a netip.Addr) string {
	if i.Hostname == ResourceName || !a.IsValid() {
		return string(i.ID) + "." + events.PrivateDomain(region)
	}
	return PrivateName(region, a)
}

// PublicName is the external name of a public address: ec2-198-18-1-4.….
func PublicName(region string, a netip.Addr) string {
	return events.PublicName(a, events.PublicDomain(region))
}

// ZoneID names a zone for good, whatever it is called: the region's name made
// short, and the zone's place among its zones (use1-az1 is us-east-1's first).
func ZoneID(v *state.View, zone events.Zone) string {
	n := 0
	for _, z := range v.Zones.All() {
		n++
		if z.Zone == zone {
			return fmt.Sprintf("%s-az%d", shortName(v.Meta.Region), n)
		}
	}
	return ""
}

// shortName is EC2's short form of a region's name: us-east-1 is use1,
// ap-southeast-2 is apse2, isle-1 is is1.
func shortName(region string) string {
	var out strings.Builder
	for i, w := range strings.Split(region, "-") {
		switch {
		case w == "":
		case i == 0:
			out.WriteString(w[:min(2, len(w))])
		case w[0] >= '0' && w[0] <= '9':
			out.WriteString(w)
		default:
			out.WriteByte(w[0])
			for _, point := range []string{"north", "south"} {
				if rest, ok := strings.CutPrefix(w, point); ok && rest != "" {
					out.WriteByte(rest[0])
				}
			}
		}
	}
	return out.String()
}
