package events

import (
	"net/netip"
	"strings"
)

// PrivateDomain is the domain of private names: isle-1.compute.internal ("EC2
// instance hostnames and domains").
func PrivateDomain(region string) string { return region + ".compute.internal" }

// PublicDomain is the domain of public names: isle-1.compute.skerry.internal.
func PublicDomain(region string) string { return region + ".compute.skerry.internal" }

// PrivateName is the name of a private address in a domain: ip-172-31-0-4.….
func PrivateName(a netip.Addr, domain string) string { return "ip-" + dashed(a) + "." + domain }

// PublicName is the name of a public address in a domain: ec2-198-18-1-4.….
func PublicName(a netip.Addr, domain string) string { return "ec2-" + dashed(a) + "." + domain }

func dashed(a netip.Addr) string { return strings.ReplaceAll(a.Unmap().String(), ".", "-") }
