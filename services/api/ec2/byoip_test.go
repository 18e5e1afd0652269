package ec2

import (
	"testing"
)

// provision brings a range of addresses with an authorization of the right form.
func (w *world) provision(account, cidr string, params ...string) *node {
	w.t.Helper()
	return w.ok(account, "ProvisionByoipCidr", append([]string{"Cidr", cidr, "CidrAuthorizationContext.Message", "1|aws|" + account + "|" + cidr + "|20991231|SHA256|RSAPSS",
		"CidrAuthorizationContext.Signature", "c2lnbmF0dXJlIG9mIGl0__"}, params...)...)
}

// An account brings a range, gives out of its pool, and takes it away again.
func TestByoip(t *testing.T) {
	w := newWorld(t)
	const cidr = "203.0.113.0/24"
	if n := w.provision(alice, cidr, "Description", "ours", "PoolTagSpecification.1.ResourceType", "ipv4pool-ec2", "PoolTagSpecification.1.Tag.1.Key", "Name"); n.text("byoipCidr/state") != "pending-provision" || n.text("byoipCidr/cidr") != cidr {
		t.Errorf("%+v", n)
	}
	is := func(account, want string) {
		t.Helper()
		if got := w.ok(account, "DescribeByoipCidrs", "MaxResults", "10").text("byoipCidrSet/item/state"); got != want {
			t.Errorf("the ranges are %q, want %q", got, want)
		}
	}
	is(alice, "provisioned")
	is(bob, "")
	const p = "publicIpv4PoolSet/item/"
	pools := w.ok(alice, "DescribePublicIpv4Pools")
	pool := pools.text(p + "poolId")
	if pools.text(p+"totalAddressCount") != "256" || pools.text(p+"totalAvailableAddressCount") != "256" || pools.text(p+"tagSet/item/key") != "Name" || pools.text(p+"description") != "ours" ||
		pools.text(p+"poolAddressRangeSet/item/firstAddress") != "203.0.113.0" || pools.text(p+"poolAddressRangeSet/item/lastAddress") != "203.0.113.255" {
		t.Errorf("%+v", pools)
	}
	any := w.ok(alice, "AllocateAddress", "PublicIpv4Pool", pool)
	if any.text("publicIp") != "203.0.113.0" || any.text("publicIpv4Pool") != pool {
		t.Errorf("%+v", any)
	}
	if n := w.ok(alice, "AllocateAddress", "Address", "203.0.113.7"); n.text("publicIp") != "203.0.113.7" || n.text("publicIpv4Pool") != pool {
		t.Errorf("%+v", n)
	}
	for range 5 {
		w.ok(alice, "AllocateAddress") // the region's own are counted apart
	}
	w.fails("AddressLimitExceeded", alice, "AllocateAddress")
	w.ok(alice, "AllocateAddress", "PublicIpv4Pool", pool)
	if n := w.ok(alice, "DescribeAddresses", "PublicIp.1", "203.0.113.7"); n.text("addressesSet/item/publicIpv4Pool") != pool {
		t.Errorf("%+v", n)
	}
	if n := w.ok(alice, "DescribePublicIpv4Pools", "PoolId.1", pool); n.text(p+"totalAvailableAddressCount") != "253" {
		t.Errorf("%+v", n)
	}
	w.fails("InvalidAddress.NotFound", alice, "AllocateAddress", "PublicIpv4Pool", pool, "Address", "203.0.113.7")
	w.fails("InvalidAddress.NotFound", bob, "AllocateAddress", "Address", "203.0.113.9")
	w.fails("InvalidPublicIpv4PoolID.NotFound", bob, "AllocateAddress", "PublicIpv4Pool", pool)
	w.fails("InvalidPublicIpv4PoolID.NotFound", bob, "DescribePublicIpv4Pools", "PoolId.1", pool)
	w.fails("InvalidPublicIpv4PoolID.Malformed", alice, "AllocateAddress", "PublicIpv4Pool", "mine")
	w.fails("InvalidPublicIpv4PoolID.NotFound", bob, "CreateTags", "ResourceId.1", pool, "Tag.1.Key", "a")

	if n := w.ok(alice, "AdvertiseByoipCidr", "Cidr", cidr); n.text("byoipCidr/state") != "advertised" {
		t.Errorf("%+v", n)
	}
	is(alice, "advertised")
	w.fails("IncorrectState", alice, "DeprovisionByoipCidr", "Cidr", cidr)
	w.fails("InvalidParameterValue", bob, "WithdrawByoipCidr", "Cidr", cidr)
	if n := w.ok(alice, "WithdrawByoipCidr", "Cidr", cidr); n.text("byoipCidr/state") != "provisioned" {
		t.Errorf("%+v", n)
	}
	w.fails("IncorrectState", alice, "WithdrawByoipCidr", "Cidr", cidr)
	w.fails("DependencyViolation", alice, "DeprovisionByoipCidr", "Cidr", cidr)
	for _, a := range []string{"203.0.113.0", "203.0.113.1", "203.0.113.7"} {
		w.ok(alice, "ReleaseAddress", "PublicIp", a)
	}
	if n := w.ok(alice, "DeprovisionByoipCidr", "Cidr", cidr); n.text("byoipCidr/state") != "pending-deprovision" {
		t.Errorf("%+v", n)
	}
	is(alice, "")
	w.fails("InvalidParameterValue", alice, "AdvertiseByoipCidr", "Cidr", cidr)
	w.fails("InvalidParameterValue", alice, "AdvertiseByoipCidr", "Cidr", "203.0.113.0")
	w.fails("MissingParameter", alice, "ProvisionByoipCidr", "Cidr", cidr)
	w.fails("UnsupportedOperation", alice, "AdvertiseByoipCidr", "Cidr", cidr, "Asn", "64512")
}

// Networks have blocks of a pool of IPv6 that their account brought.
func TestByoipIPv6(t *testing.T) {
	w := newWorld(t)
	w.ok(alice, "ProvisionByoipCidr", "Cidr", "2001:db8:1::/48", "PubliclyAdvertisable", "false", "PoolTagSpecification.1.ResourceType", "ipv6pool-ec2", "PoolTagSpecification.1.Tag.1.Key", "Name")
	if n := w.ok(alice, "DescribeByoipCidrs", "MaxResults", "5"); n.text("byoipCidrSet/item/state") != "provisioned-not-publicly-advertisable" {
		t.Errorf("%+v", n)
	}
	pool := w.ok(alice, "DescribeTags", "Filter.1.Name", "resource-type", "Filter.1.Value.1", "ipv6pool-ec2").text("tagSet/item/resourceId")
	n := w.ok(alice, "CreateVpc", "CidrBlock", "10.0.0.0/16", "Ipv6Pool", pool, "Ipv6CidrBlock", "2001:db8:1:100::/56")
	const x = "vpc/ipv6CidrBlockAssociationSet/item/"
	if n.text(x+"ipv6CidrBlock") != "2001:db8:1:100::/56" || n.text(x+"ipv6Pool") != pool {
		t.Errorf("%+v", n)
	}
	if m := w.ok(alice, "AssociateVpcCidrBlock", "VpcId", n.text("vpc/vpcId"), "Ipv6Pool", pool); m.text("ipv6CidrBlockAssociation/ipv6CidrBlock") != "2001:db8:1::/56" {
		t.Errorf("%+v", m)
	}
	w.fails("CidrConflict", alice, "CreateVpc", "Ipv6Pool", pool, "Ipv6CidrBlock", "2001:db8:1:100::/56")
	w.fails("InvalidParameterValue", alice, "CreateVpc", "Ipv6Pool", pool, "Ipv6CidrBlock", "2001:db8:2:100::/56")
	w.fails("InvalidIpv6PoolID.NotFound", bob, "CreateVpc", "Ipv6Pool", pool)
	w.fails("DependencyViolation", alice, "DeprovisionByoipCidr", "Cidr", "2001:db8:1::/48")
	w.fails("IncorrectState", alice, "AdvertiseByoipCidr", "Cidr", "2001:db8:1::/48")
	w.ok(alice, "DeleteVpc", "VpcId", n.text("vpc/vpcId"))
	w.ok(alice, "DeprovisionByoipCidr", "Cidr", "2001:db8:1::/48")
}
