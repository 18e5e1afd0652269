package ec2

import (
	"slices"
	"strings"
	"testing"
)

// shown are the public address and name that an instance and its interface
// show: the same in all four places, or nowhere.
func (w *world) outside(account, instance string) (address string) {
	w.t.Helper()
	i := w.ok(account, "DescribeInstances", "InstanceId.1", instance).all("reservationSet/item/instancesSet/item")[0]
	f := w.ok(account, "DescribeNetworkInterfaces", "Filter.1.Name", "attachment.instance-id", "Filter.1.Value.1", instance).all("networkInterfaceSet/item")[0]
	address = i.text("ipAddress")
	name := ""
	if address != "" {
		name = "ec2-" + strings.ReplaceAll(address, ".", "-") + ".isle-1.compute.skerry.internal"
	}
	if i.text("dnsName") != name {
		w.t.Errorf("%q shows %q", address, i.text("dnsName"))
	}
	for _, a := range []*node{f, i.all("networkInterfaceSet/item")[0], f.all("privateIpAddressesSet/item")[0], i.all("networkInterfaceSet/item/privateIpAddressesSet/item")[0]} {
		if a.text("association/publicIp") != address || a.text("association/publicDnsName") != name || a.has("association") != (address != "") {
			w.t.Errorf("%q shows %+v", address, a)
		}
	}
	return address
}

func TestAddresses(t *testing.T) {
	w := newWorld(t)
	id := w.run(alice)[0]
	if got := w.outside(alice, id); got != "" {
		t.Error("a pending instance shows", got)
	}
	w.fails("InvalidInstanceID", alice, "AssociateAddress", "PublicIp", w.ok(alice, "AllocateAddress").text("publicIp"), "InstanceId", id)
	w.place(t)
	w.report(t, id, "running")
	own := w.outside(alice, id)
	if !strings.HasPrefix(own, "198.18.0.") {
		t.Error(own)
	}
	f := w.ok(alice, "DescribeNetworkInterfaces").all("networkInterfaceSet/item")[0]
	if f.text("association/ipOwnerId") != "amazon" || f.has("association/allocationId") {
		t.Errorf("%+v", f)
	}

	n := w.ok(alice, "AllocateAddress", "Domain", "vpc", "TagSpecification.1.ResourceType", "elastic-ip", "TagSpecification.1.Tag.1.Key", "Name", "TagSpecification.1.Tag.1.Value", "front")
	ip, allocation := n.text("publicIp"), n.text("allocationId")
	if n.text("domain") != "vpc" || n.text("publicIpv4Pool") != "amazon" || n.text("networkBorderGroup") != "isle-1" || !strings.HasPrefix(allocation, "eipalloc-") {
		t.Errorf("%+v", n)
	}
	show := func(params ...string) *node {
		t.Helper()
		list := w.ok(alice, "DescribeAddresses", params...).all("addressesSet/item")
		if len(list) != 1 {
			t.Fatalf("%+v", list)
		}
		return list[0]
	}
	if a := show("AllocationId.1", allocation); a.text("publicIp") != ip || a.text("domain") != "vpc" || a.text("publicIpv4Pool") != "amazon" || a.text("networkBorderGroup") != "isle-1" ||
		a.text("tagSet/item/value") != "front" || a.has("associationId") || a.has("instanceId") {
		t.Errorf("%+v", a)
	}
	association := w.ok(alice, "AssociateAddress", "AllocationId", allocation, "InstanceId", id).text("associationId")
	if got := w.ok(alice, "AssociateAddress", "PublicIp", ip, "InstanceId", id).text("associationId"); got != association || !strings.HasPrefix(got, "eipassoc-") {
		t.Error(got, association)
	}
	if got := w.outside(alice, id); got != ip {
		t.Error(got)
	}
	eni := f.text("networkInterfaceId")
	if a := show("PublicIp.1", ip, "AllocationId.1", allocation); a.text("associationId") != association || a.text("instanceId") != id || a.text("networkInterfaceId") != eni ||
		a.text("networkInterfaceOwnerId") != alice || a.text("privateIpAddress") != f.text("privateIpAddress") {
		t.Errorf("%+v", a)
	}
	f = w.ok(alice, "DescribeNetworkInterfaces", "NetworkInterfaceId.1", eni).all("networkInterfaceSet/item")[0]
	if f.text("association/ipOwnerId") != alice || f.text("association/allocationId") != allocation || f.text("association/associationId") != association {
		t.Errorf("%+v", f)
	}
	// What DescribeInstances does not show can be asked all the same.
	other := w.running(alice)
	for name, v := range map[string]string{"allocation-id": allocation, "association-id": association} {
		for _, prefix := range []string{"network-interface.association.", "network-interface.addresses.association."} {
			got := w.ok(alice, "DescribeInstances", "Filter.1.Name", prefix+name, "Filter.1.Value.1", v).texts("reservationSet/item/instancesSet/item/instanceId")
			if !slices.Equal(got, []string{id}) {
				t.Error(prefix+name, got)
			}
			if w.ok(alice, "DescribeInstances", "Filter.1.Name", prefix+name, "Filter.1.Value.1", "x").has("reservationSet/item") {
				t.Error(prefix + name)
			}
		}
	}
	// It moves, unless it must not; what it leaves has an address of its own again.
	w.fails("Resource.AlreadyAssociated", alice, "AssociateAddress", "AllocationId", allocation, "InstanceId", other, "AllowReassociation", "false")
	moved := w.ok(alice, "AssociateAddress", "AllocationId", allocation, "InstanceId", other, "AllowReassociation", "true").text("associationId")
	if got := w.outside(alice, other); got != ip || moved == association {
		t.Error(got)
	}
	if got := w.outside(alice, id); got == "" || got == ip || got == own {
		t.Error(got)
	}
	w.ok(alice, "DisassociateAddress", "AssociationId", moved)
	w.fails("InvalidAssociationID.NotFound", alice, "DisassociateAddress", "AssociationId", moved)
	w.ok(alice, "DisassociateAddress", "PublicIp", ip)
	if a := show("AllocationId.1", allocation); a.has("associationId") {
		t.Errorf("%+v", a)
	}
	w.ok(alice, "AssociateAddress", "AllocationId", allocation, "NetworkInterfaceId", eni)
	w.ok(alice, "ReleaseAddress", "AllocationId", allocation)
	w.fails("InvalidAllocationID.NotFound", alice, "DescribeAddresses", "AllocationId.1", allocation)
	w.fails("InvalidAddress.NotFound", alice, "DescribeAddresses", "PublicIp.1", ip)
	w.ok(alice, "ReleaseAddress", "PublicIp", show().text("publicIp"))
	if w.ok(alice, "DescribeAddresses").has("addressesSet/item") {
		t.Error("addresses of interfaces are listed as Elastic IP addresses")
	}
	for _, c := range [][]string{
		{"InvalidParameterValue", "AllocateAddress", "Domain", "standard"},
		{"InvalidPublicIpv4PoolID.NotFound", "AllocateAddress", "PublicIpv4Pool", "ipv4pool-ec2-01234567"},
		{"InvalidParameterValue", "AllocateAddress", "NetworkBorderGroup", "elsewhere"},
		{"InvalidParameterValue", "ReleaseAddress", "PublicIp", ip, "NetworkBorderGroup", "elsewhere"},
		{"UnsupportedOperation", "AllocateAddress", "CustomerOwnedIpv4Pool", "x"},
		{"InvalidAddress.NotFound", "AllocateAddress", "Address", "203.0.113.9"},
		{"InvalidParameterValue", "DescribeAddresses", "PublicIp.1", "elephant"},
		{"InvalidParameterValue", "ReleaseAddress", "PublicIp", "elephant"},
		{"MissingParameter", "ReleaseAddress"},
		{"MissingParameter", "DisassociateAddress"},
		{"InvalidParameterCombination", "ReleaseAddress", "PublicIp", ip, "AllocationId", allocation},
	} {
		w.fails(c[0], alice, c[1], c[2:]...)
	}
	for range 5 {
		w.ok(alice, "AllocateAddress")
	}
	w.fails("AddressLimitExceeded", alice, "AllocateAddress")
}

// Whether an instance has a public address is the subnet's to say, or the
// launch's.
func TestPublicAtLaunch(t *testing.T) {
	w := newWorld(t)
	if got := w.ok(alice, "DescribeSubnets").texts("subnetSet/item/mapPublicIpOnLaunch"); !slices.Equal(got, []string{"true", "true", "true"}) {
		t.Error(got)
	}
	for want, params := range map[bool][]string{
		true:  {"NetworkInterface.1.DeviceIndex", "0", "NetworkInterface.1.AssociatePublicIpAddress", "true"},
		false: {"NetworkInterface.1.DeviceIndex", "0", "NetworkInterface.1.AssociatePublicIpAddress", "false"},
	} {
		if got := w.outside(alice, w.running(alice, params...)); (got != "") != want {
			t.Error(params, got)
		}
	}
}
