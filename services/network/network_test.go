package network

import (
	"net/netip"
	"testing"

	"skerry/events"
	"skerry/services/state"
)

func subnetOf(cidr string) (*state.Tx, *state.Subnet) {
	tx := state.New()
	tx.Apply(events.Record{N: 1, Event: events.SubnetCreated{ID: "subnet-1", VPC: "vpc-1", Account: "1", CIDR: netip.MustParsePrefix(cidr)}})
	s, _ := tx.Subnets.Get("subnet-1")
	return tx, s
}

// Every usable address of a subnet is given once; then it is full; what comes
// back is given again, and not at once.
func TestAddresses(t *testing.T) {
	tx, s := subnetOf("172.31.0.0/26")
	given := map[netip.Addr]bool{}
	macs := map[string]bool{}
	allocate := func(i int) (netip.Addr, error) {
		s, _ = tx.Subnets.Get("subnet-1")
		f, err := Make(&tx.View, events.Stamp{Seed: events.Seed{byte(i)}}, s, nil, "", events.Wanted{}, i)
		if err != nil {
			return netip.Addr{}, err
		}
		addr, mac := f.PrivateIP, f.MAC
		if given[addr] || macs[mac] {
			t.Fatalf("%s or %s was given twice", addr, mac)
		}
		given[addr], macs[mac] = true, true
		id := events.InterfaceID("eni-" + addr.String())
		tx.Apply(events.Record{N: 2, Event: events.InterfaceCreated{Account: "1", Interface: events.Interface{ID: id, Subnet: "subnet-1", MAC: mac, PrivateIP: addr}}})
		return addr, nil
	}
	if free := Free(s); free != 64-5 {
		t.Errorf("an empty /26 has %d free addresses, want 59", free)
	}
	for i := range 59 {
		if _, err := allocate(i); err != nil {
			t.Fatalf("address %d of 59: %v", i+1, err)
		}
	}
	for _, reserved := range []string{"172.31.0.0", "172.31.0.1", "172.31.0.2", "172.31.0.3", "172.31.0.63"} {
		if given[netip.MustParseAddr(reserved)] {
			t.Errorf("%s is reserved and was given", reserved)
		}
	}
	_, err := allocate(59)
	if f, ok := events.AsFault(err); !ok || f.FaultCode != "InsufficientFreeAddressesInSubnet" {
		t.Errorf("a full subnet: %v", err)
	}
	if s, _ = tx.Subnets.Get("subnet-1"); Free(s) != 0 {
		t.Errorf("a full subnet has %d free addresses", Free(s))
	}
	back := netip.MustParseAddr("172.31.0.9")
	delete(given, back)
	tx.Apply(events.Record{N: 3, Event: events.InterfaceDeleted{ID: "eni-172.31.0.9", Account: "1"}})
	if addr, err := allocate(60); err != nil || addr != back {
		t.Errorf("the address given back is %v, %v", addr, err)
	}
}

// An address just given back rests while there are others.
func TestAddressRests(t *testing.T) {
	tx, s := subnetOf("172.31.0.0/26")
	f, err := Make(&tx.View, events.Stamp{}, s, nil, "", events.Wanted{}, 0)
	if err != nil {
		t.Fatal(err)
	}
	f.ID = "eni-1"
	tx.Apply(events.Record{N: 2, Event: events.InterfaceCreated{Account: "1", Interface: f}})
	tx.Apply(events.Record{N: 3, Event: events.InterfaceDeleted{ID: "eni-1", Account: "1"}})
	s, _ = tx.Subnets.Get("subnet-1")
	if g, err := Make(&tx.View, events.Stamp{}, s, nil, "", events.Wanted{}, 0); err != nil || g.PrivateIP == f.PrivateIP {
		t.Errorf("%v was given, and given again at once: %v %v", f.PrivateIP, g.PrivateIP, err)
	}
}

// Network identifiers are 24 bits and never reused: the last one is the last.
func TestNetworkIdentifiersEnd(t *testing.T) {
	tx := state.New()
	tx.Apply(events.Record{N: 1, Event: events.RegionFormed{Name: "isle-1", Zones: []events.Zone{"isle-1a"}, Level: 1}})
	tx.Meta.NextVNI = maxVNI
	made, err := DefaultVPC(&tx.View, events.Stamp{}, "1")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range made {
		tx.Apply(events.Record{N: 2, Event: e})
	}
	_, err = DefaultVPC(&tx.View, events.Stamp{Seed: events.Seed{1}}, "2")
	if f, ok := events.AsFault(err); !ok || f.FaultCode != "VpcLimitExceeded" {
		t.Errorf("one more than there are: %v", err)
	}
}
