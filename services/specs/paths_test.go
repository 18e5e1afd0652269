package specs_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"skerry/events"
	"skerry/services/specs"
)

// told writes the events of a story, and after each what it changed in the sets
// of a host and of a gateway node: only the members that are others.
func told(t *testing.T, list []events.Event) string {
	t.Helper()
	tx, _ := story()
	var out strings.Builder
	nodes := []struct {
		host events.HostID
		kind string
	}{{"h1", "network"}, {"gw1", "gateway"}}
	held := map[string]map[string]json.RawMessage{}
	look := func(show bool) {
		for _, n := range nodes {
			set, err := specs.Set(&tx.View, n.host, n.kind, nil, plain{})
			if err != nil {
				t.Fatal(err)
			}
			there := map[string]bool{}
			for _, s := range set.Specs {
				name := fmt.Sprintf("%s %s %s", n.host, s.Kind, s.ID)
				there[name] = true
				var now map[string]json.RawMessage
				if !s.Tombstone {
					if err := json.Unmarshal(s.Body, &now); err != nil {
						t.Fatal(err)
					}
				}
				changed := map[string]json.RawMessage{}
				for k, v := range now {
					if !bytes.Equal(v, held[name][k]) {
						changed[k] = v
					}
				}
				for k := range held[name] {
					if _, ok := now[k]; !ok {
						changed[k] = json.RawMessage("null")
					}
				}
				if show && len(changed) > 0 {
					b, err := json.Marshal(changed)
					if err != nil {
						t.Fatal(err)
					}
					fmt.Fprintf(&out, "  %s %s\n", name, b)
				}
				held[name] = now
			}
			for _, name := range slices.Sorted(maps.Keys(held)) {
				if strings.HasPrefix(name, string(n.host)+" ") && !there[name] {
					delete(held, name)
					if show {
						fmt.Fprintf(&out, "  %s is gone\n", name)
					}
				}
			}
		}
	}
	look(false)
	for _, e := range list {
		tx.Apply(events.Record{N: tx.Meta.N + 1, Time: start, Request: "req", Event: e})
		fmt.Fprintln(&out, events.Line(e))
		look(true)
	}
	return out.String()
}

// ways is what happens on the ways of packets after the story.
func ways() []events.Event {
	return []events.Event{
		events.RulesModified{Group: "sg-1", VPC: "vpc-1", Rules: []events.Rule{{ID: "sgr-1", Protocol: "tcp", From: 1, To: 2, Group: "sg-1"}}},
		events.NetworkACLCreated{ID: "acl-2", Account: "111111111111", VPC: "vpc-1"},
		events.ACLEntryPut{ACL: "acl-2", VPC: "vpc-1", Entry: events.ACLEntry{Number: 9, Protocol: 6, From: 22, To: 22, CIDR: netip.MustParsePrefix("0.0.0.0/0")}},
		events.NetworkACLAssociated{Association: "aclassoc-1", VPC: "vpc-1", ACL: "acl-2", Subnet: "subnet-1"},
		events.ACLEntryDeleted{ACL: "acl-2", VPC: "vpc-1", Number: 9},
		events.NetworkACLAssociated{Association: "aclassoc-2", VPC: "vpc-1", ACL: events.DefaultACL("vpc-1"), Subnet: "subnet-1"},
		events.NetworkACLDeleted{ID: "acl-2", VPC: "vpc-1"},
		events.DHCPOptionsCreated{ID: "dopt-1", Account: "111111111111", Options: []events.DHCPOption{{Key: events.DHCPDomainName, Values: []string{"example.com"}},
			{Key: events.DHCPDomainNameServers, Values: []string{"10.0.0.1", events.ProvidedDNS, "fd00::1"}}, {Key: events.DHCPNTPServers, Values: []string{"10.0.0.3"}},
			{Key: events.DHCPNetBIOSServers, Values: []string{"10.0.0.4"}}, {Key: events.DHCPNetBIOSNode, Values: []string{"2"}}, {Key: events.DHCPPreferredIPv6, Values: []string{"140"}}}},
		events.DHCPOptionsAssociated{VPC: "vpc-1", Account: "111111111111", Options: "dopt-1"},
		events.DHCPOptionsAssociated{VPC: "vpc-1", Account: "111111111111", Options: events.NoDHCPOptions},
		events.DHCPOptionsDeleted{ID: "dopt-1", Account: "111111111111"},
		events.PrefixListCreated{ID: "pl-1", Account: "111111111111", Name: "offices", Family: events.FamilyIPv4, Max: 3, Entries: []events.PrefixEntry{{CIDR: netip.MustParsePrefix("192.0.2.0/24")}}},
		events.RulesAuthorized{Group: "sg-1", VPC: "vpc-1", Rules: []events.Rule{{ID: "sgr-5", Protocol: "tcp", From: 22, To: 22, PrefixList: "pl-1"}}},
		events.PrefixListModified{ID: "pl-1", Account: "111111111111", Version: 2, Added: []events.PrefixEntry{{CIDR: netip.MustParsePrefix("10.0.0.0/8")}}},
		events.PrefixListModified{ID: "pl-1", Account: "111111111111", Name: new("desks"), Max: new(4)},
		events.PrefixListModified{ID: "pl-1", Account: "111111111111", Version: 3, Removed: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("192.0.2.0/24")}},
		events.PrefixListRestored{ID: "pl-1", Account: "111111111111", Version: 4, From: 2},
		events.RulesRevoked{Group: "sg-1", VPC: "vpc-1", Rules: []events.RuleID{"sgr-5"}},
		events.PrefixListDeleted{ID: "pl-1", Account: "111111111111"},
		events.RangeProvisioned{Pool: "ipv4pool-ec2-1", Account: "111111111111", CIDR: netip.MustParsePrefix("203.0.113.0/24")},
		events.AddressAllocated{Allocation: "eipalloc-9", Address: netip.MustParseAddr("203.0.113.9"), Account: "111111111111", Pool: "ipv4pool-ec2-1"},
		events.PublicAddressReturned{Address: netip.MustParseAddr("198.18.0.16"), Account: "111111111111", Zone: "isle-1a", VPC: "vpc-1", Interface: "eni-2"},
		events.AddressAssociated{Association: "eipassoc-9", Address: netip.MustParseAddr("203.0.113.9"), Account: "111111111111", Zone: "isle-1a", VPC: "vpc-1", Interface: "eni-2", Instance: "i-2", Private: netip.MustParseAddr("172.31.0.5")},
		events.RangeAdvertised{Pool: "ipv4pool-ec2-1", Account: "111111111111", CIDR: netip.MustParsePrefix("203.0.113.0/24")},
		events.RangeWithdrawn{Pool: "ipv4pool-ec2-1", Account: "111111111111", CIDR: netip.MustParsePrefix("203.0.113.0/24")},
		events.AddressDisassociated{Association: "eipassoc-9", Address: netip.MustParseAddr("203.0.113.9"), Account: "111111111111", Zone: "isle-1a", VPC: "vpc-1", Interface: "eni-2"},
		events.AddressReleased{Allocation: "eipalloc-9", Address: netip.MustParseAddr("203.0.113.9"), Account: "111111111111"},
		events.RangeDeprovisioned{Pool: "ipv4pool-ec2-1", Account: "111111111111", CIDR: netip.MustParsePrefix("203.0.113.0/24")},
	}
}

// gateways is what happens to the gateways and peers of a VPC after the story.
func gateways() []events.Event {
	nat := events.Interface{ID: "eni-8", VPC: "vpc-1", Subnet: "subnet-1", MAC: "06:00:00:00:00:08", PrivateIP: netip.MustParseAddr("172.31.0.88"), Groups: []events.GroupID{}, NAT: "nat-1"}
	all, six := netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("::/0")
	route := func(r events.Route) events.Event { return events.RouteCreated{Table: "rtb-1", VPC: "vpc-1", Route: r} }
	return []events.Event{
		events.AddressAllocated{Allocation: "eipalloc-8", Address: netip.MustParseAddr("198.18.0.18"), Account: "111111111111", At: start},
		events.InterfaceCreated{Account: "111111111111", Zone: "isle-1a", Interface: nat, At: start},
		events.NATGatewayCreated{ID: "nat-1", Account: "111111111111", Zone: "isle-1a", VPC: "vpc-1", Subnet: "subnet-1", Interface: "eni-8", PrivateIP: nat.PrivateIP,
			Allocation: "eipalloc-8", Address: netip.MustParseAddr("198.18.0.18"), At: start},
		events.AddressAssociated{Association: "eipassoc-8", Address: netip.MustParseAddr("198.18.0.18"), Account: "111111111111", Zone: "isle-1a", VPC: "vpc-1", Interface: "eni-8", Private: nat.PrivateIP},
		events.NATGatewayAvailable{ID: "nat-1", Account: "111111111111", Zone: "isle-1a", VPC: "vpc-1"},
		route(events.Route{Destination: all, NAT: "nat-1"}),
		events.GatewayElected{Zone: "isle-1a", Host: "gw2", Epoch: 9},
		events.GatewayElected{Zone: "isle-1a", Host: "gw1", Epoch: 10},
		events.VPCBlockAssociated{VPC: "vpc-1", Account: "111111111111", Association: "vpc-cidr-assoc-8", CIDR: netip.MustParsePrefix("fd00:8::/56"), Pool: "Amazon"},
		events.EgressGatewayCreated{ID: "eigw-1", Account: "111111111111", VPC: "vpc-1"},
		route(events.Route{Destination: six, Egress: "eigw-1"}),
		events.EgressGatewayDeleted{ID: "eigw-1", Account: "111111111111", VPC: "vpc-1"},
		events.VPCBlockDisassociated{VPC: "vpc-1", Account: "111111111111", Association: "vpc-cidr-assoc-8", CIDR: netip.MustParsePrefix("fd00:8::/56")},
		events.VPCCreated{ID: "vpc-8", Account: "222222222222", CIDR: netip.MustParsePrefix("10.8.0.0/16"), VNI: 8},
		events.SubnetCreated{ID: "subnet-8", Account: "222222222222", VPC: "vpc-8", Zone: "isle-1a", CIDR: netip.MustParsePrefix("10.8.1.0/24")},
		events.InterfaceCreated{Account: "222222222222", Zone: "isle-1a", At: start,
			Interface: events.Interface{ID: "eni-9", VPC: "vpc-8", Subnet: "subnet-8", MAC: "06:00:00:00:00:09", PrivateIP: netip.MustParseAddr("10.8.1.9"), Groups: []events.GroupID{}}},
		events.PeeringRequested{ID: "pcx-1", Account: "111111111111", VPC: "vpc-1", PeerAccount: "222222222222", Peer: "vpc-8", At: start},
		route(events.Route{Destination: netip.MustParsePrefix("10.8.0.0/16"), Peering: "pcx-1"}),
		events.PeeringAccepted{ID: "pcx-1", Account: "111111111111", PeerAccount: "222222222222", VPC: "vpc-1", Peer: "vpc-8"},
		events.PeeringDeleted{ID: "pcx-1", Account: "111111111111", PeerAccount: "222222222222", VPC: "vpc-1", Peer: "vpc-8", By: "222222222222", At: start},
		events.RouteTableCreated{ID: "rtb-8", Account: "111111111111", VPC: "vpc-1", Routes: []events.Route{{Destination: netip.MustParsePrefix("172.31.0.0/16")}}},
		events.GatewayTableAssociated{Association: "rtbassoc-8", Account: "111111111111", VPC: "vpc-1", Table: "rtb-8", Gateway: "igw-1"},
		events.RouteReplaced{Table: "rtb-8", VPC: "vpc-1", Route: events.Route{Destination: netip.MustParsePrefix("172.31.0.0/16"), Interface: "eni-1"}},
		events.GatewayTableDisassociated{Association: "rtbassoc-8", Account: "111111111111", VPC: "vpc-1", Table: "rtb-8", Gateway: "igw-1"},
		events.NATGatewayDeleted{ID: "nat-1", Account: "111111111111", Zone: "isle-1a", VPC: "vpc-1", At: start},
		events.AddressDisassociated{Association: "eipassoc-8", Address: netip.MustParseAddr("198.18.0.18"), Account: "111111111111", Zone: "isle-1a", VPC: "vpc-1", Interface: "eni-8"},
		events.InterfaceDeleted{ID: "eni-8", Account: "111111111111", Zone: "isle-1a", VPC: "vpc-1"},
		events.PrefixListCreated{ID: "pl-8", Account: "111111111111", Name: "offices", Family: "IPv4", Max: 5, Entries: []events.PrefixEntry{{CIDR: netip.MustParsePrefix("192.0.2.0/24")}}},
		route(events.Route{PrefixList: "pl-8", Gateway: "igw-1"}),
		events.PrefixListModified{ID: "pl-8", Account: "111111111111", Version: 2, Added: []events.PrefixEntry{{CIDR: netip.MustParsePrefix("203.0.113.0/24")}, {CIDR: netip.MustParsePrefix("172.31.5.0/24")}}},
		events.PrefixListRestored{ID: "pl-8", Account: "111111111111", Version: 3, From: 1},
		events.RouteDeleted{Table: "rtb-1", Account: "111111111111", VPC: "vpc-1", PrefixList: "pl-8"},
		events.PrefixListDeleted{ID: "pl-8", Account: "111111111111"},
		events.CustomerGatewayCreated{ID: "cgw-1", Account: "111111111111", Address: netip.MustParseAddr("192.0.2.9"), ASN: 65000, At: start},
		events.VPNGatewayCreated{ID: "vgw-1", Account: "111111111111", ASN: 64512, At: start},
		events.VPNGatewayAttached{ID: "vgw-1", Account: "111111111111", VPC: "vpc-1"},
		route(events.Route{Destination: netip.MustParsePrefix("10.9.0.0/16"), VPN: "vgw-1"}),
		events.VPNCreated{ID: "vpn-1", Account: "111111111111", Customer: "cgw-1", Gateway: "vgw-1", Static: true, Tunnels: []events.TunnelPart{{Outside: netip.MustParseAddr("198.18.0.19")}}, At: start},
		events.RoutePropagationEnabled{Table: "rtb-1", Account: "111111111111", VPC: "vpc-1", Gateway: "vgw-1"},
		events.VPNRouteCreated{VPN: "vpn-1", Account: "111111111111", Destination: netip.MustParsePrefix("192.168.0.0/24")},
		events.VPNRouteDeleted{VPN: "vpn-1", Account: "111111111111", Destination: netip.MustParsePrefix("192.168.0.0/24")},
		events.RoutePropagationDisabled{Table: "rtb-1", Account: "111111111111", VPC: "vpc-1", Gateway: "vgw-1"},
		events.VPNGatewayDetached{ID: "vgw-1", Account: "111111111111", VPC: "vpc-1"},
		events.VPNDeleted{ID: "vpn-1", Account: "111111111111", At: start},
		events.VPNGatewayDeleted{ID: "vgw-1", Account: "111111111111", At: start},
		events.CustomerGatewayDeleted{ID: "cgw-1", Account: "111111111111", At: start},
	}
}

// What the events on the ways of packets ask of nodes, event by event.
func TestGoldenPaths(t *testing.T) {
	t.Run("paths", func(t *testing.T) { golden(t, ways(), "testdata/paths.txt") })
	t.Run("gateways", func(t *testing.T) { golden(t, gateways(), "testdata/gateways.txt") })
}

func golden(t *testing.T, list []events.Event, path string) {
	got := told(t, list)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != got {
		t.Errorf("the specs are others:\n%s", got)
	}
}
