package ec2

import (
	"encoding/xml"
	"regexp"
	"strings"
	"testing"
	"time"

	"skerry/events"
)

// vpns are gateways and connections of every kind, some of them ended.
func (w *world) vpns() {
	w.t.Helper()
	customer := func(params ...string) string {
		return w.ok(alice, "CreateCustomerGateway", append(params, "Type", "ipsec.1")...).text("customerGateway/customerGatewayId")
	}
	own := func(params ...string) string {
		return w.ok(alice, "CreateVpnGateway", append(params, "Type", "ipsec.1")...).text("vpnGateway/vpnGatewayId")
	}
	office := customer(tagged("customer-gateway", "IpAddress", "203.0.113.1", "BgpAsn", "65010", "DeviceName", "office")...)
	shed := customer("PublicIp", "203.0.113.2", "BgpAsn", "65020")
	w.ok(alice, "DeleteCustomerGateway", "CustomerGatewayId", customer("IpAddress", "203.0.113.3"))
	vgw := own(tagged("vpn-gateway", "AmazonSideAsn", "64900")...)
	w.ok(alice, "DeleteVpnGateway", "VpnGatewayId", own("AvailabilityZone", "isle-1b"))
	other := own()
	vpc := w.ok(alice, "CreateVpc", "CidrBlock", "10.67.0.0/16").text("vpc/vpcId")
	w.ok(alice, "AttachVpnGateway", "VpnGatewayId", vgw, "VpcId", vpc)
	connect := func(customer, vgw string, params ...string) string {
		return w.ok(alice, "CreateVpnConnection", append(params, "Type", "ipsec.1", "CustomerGatewayId", customer, "VpnGatewayId", vgw)...).text("vpnConnection/vpnConnectionId")
	}
	static := connect(office, vgw, tagged("vpn-connection", "Options.StaticRoutesOnly", "true")...)
	w.ok(alice, "CreateVpnConnectionRoute", "VpnConnectionId", static, "DestinationCidrBlock", "192.168.0.0/24")
	w.ok(alice, "CreateVpnConnectionRoute", "VpnConnectionId", static, "DestinationCidrBlock", "192.168.1.0/24")
	connect(shed, other)
	w.ok(alice, "DeleteVpnConnection", "VpnConnectionId", connect(shed, vgw))
	table := w.ok(alice, "CreateRouteTable", "VpcId", vpc).text("routeTable/routeTableId")
	w.ok(alice, "CreateRoute", "RouteTableId", table, "DestinationCidrBlock", "10.9.0.0/16", "GatewayId", vgw)
	w.ok(alice, "EnableVgwRoutePropagation", "RouteTableId", table, "GatewayId", vgw)
}

// The gateways are known by what they are, in EC2's limits.
func TestVPNGateways(t *testing.T) {
	w := newWorld(t)
	create := func(params ...string) *node {
		return w.ok(alice, "CreateCustomerGateway", append(params, "Type", "ipsec.1")...).all("customerGateway")[0]
	}
	first := create(tagged("customer-gateway", "PublicIp", "203.0.113.9")...)
	w.is(first.text("bgpAsn")+" "+first.text("state")+" "+first.text("ipAddress")+" "+first.text("type"), "65000 available 203.0.113.9 ipsec.1")
	again := create("IpAddress", "203.0.113.9", "BgpAsn", "65000")
	w.is(again.text("customerGatewayId")+" "+again.text("tagSet/item/key"), first.text("customerGatewayId")+" Name owner")
	named := create("IpAddress", "203.0.113.9", "DeviceName", "second", "BgpAsnExtended", "4294967295")
	w.is(named.text("deviceName")+" "+named.text("bgpAsnExtended")+" "+named.text("bgpAsn"), "second 4294967295 ")
	w.is(w.ok(alice, "DescribeCustomerGateways", "Filter.1.Name", "bgp-asn", "Filter.1.Value.1", "4294967295").text("customerGatewaySet/item/deviceName"), "second")
	for _, c := range []struct {
		code   string
		params []string
	}{
		{"MissingParameter", nil},
		{"InvalidParameterCombination", []string{"IpAddress", "203.0.113.9", "PublicIp", "203.0.113.9"}},
		{"InvalidParameterCombination", []string{"IpAddress", "203.0.113.9", "BgpAsn", "1", "BgpAsnExtended", "4294967295"}},
		{"InvalidParameterValue", []string{"IpAddress", "203.0.113.9", "BgpAsn", "0"}},
		{"InvalidParameterValue", []string{"IpAddress", "203.0.113.9", "BgpAsnExtended", "65000"}},
		{"InvalidParameterValue", []string{"IpAddress", "2001:db8::1"}},
		{"UnsupportedOperation", []string{"IpAddress", "203.0.113.9", "CertificateArn", "arn:aws:acm:x"}},
	} {
		w.fails(c.code, alice, "CreateCustomerGateway", append(c.params, "Type", "ipsec.1")...)
	}
	for _, asn := range []string{"0", "65535", "-1", "4294967295", "4294967296"} {
		w.fails("InvalidParameterValue", alice, "CreateVpnGateway", "Type", "ipsec.1", "AmazonSideAsn", asn)
	}
	g := w.ok(alice, "CreateVpnGateway", "Type", "ipsec.1", "AmazonSideAsn", "4294967294", "AvailabilityZone", "isle-1a").all("vpnGateway")[0]
	w.is(g.text("amazonSideAsn")+" "+g.text("availabilityZone")+" "+g.text("state")+" "+g.text("type"), "4294967294 isle-1a available ipsec.1")
	w.fails("InvalidParameterValue", alice, "CreateVpnGateway", "Type", "ipsec.2")
	w.fails("DryRunOperation", alice, "CreateVpnGateway", "Type", "ipsec.1", "DryRun", "true")
}

// vpnConfig is how the Terraform provider reads a connection's configuration.
type vpnConfig struct {
	Tunnels []struct {
		ASN     string `xml:"vpn_gateway>bgp>asn"`
		Hold    int    `xml:"vpn_gateway>bgp>hold_time"`
		Theirs  string `xml:"customer_gateway>tunnel_inside_address>ip_address"`
		Outside string `xml:"vpn_gateway>tunnel_outside_address>ip_address"`
		Key     string `xml:"ike>pre_shared_key"`
		Ours    string `xml:"vpn_gateway>tunnel_inside_address>ip_address"`

		Device     string `xml:"customer_gateway>tunnel_outside_address>ip_address"`
		Encryption string `xml:"ike>encryption_protocol"`
		Lifetime   int    `xml:"ipsec>lifetime"`
	} `xml:"ipsec_tunnel"`
}

func (w *world) vpnConfig(n *node) (out vpnConfig) {
	w.t.Helper()
	if err := xml.Unmarshal([]byte(n.text("customerGatewayConfiguration")), &out); err != nil {
		w.t.Fatal(err)
	}
	if len(out.Tunnels) != 2 {
		w.t.Fatalf("%d tunnels: %s", len(out.Tunnels), n.text("customerGatewayConfiguration"))
	}
	return out
}

// A connection has two tunnels, and a document for the customer's device that
// agrees with what is shown. What a key is, only the caller hears.
func TestVPNConnections(t *testing.T) {
	w := newWorld(t)
	customer := w.ok(alice, "CreateCustomerGateway", "Type", "ipsec.1", "IpAddress", "203.0.113.9").text("customerGateway/customerGatewayId")
	vgw := w.ok(alice, "CreateVpnGateway", "Type", "ipsec.1").text("vpnGateway/vpnGatewayId")
	with := func(params ...string) []string {
		return append([]string{"Type", "ipsec.1", "CustomerGatewayId", customer, "VpnGatewayId", vgw}, params...)
	}
	const secret = "my.own_secret"
	tunnel := func(name, value string) []string { return with("Options.TunnelOptions.1."+name, value) }
	for _, c := range []struct {
		code   string
		params []string
	}{
		{"UnsupportedOperation", with("TransitGatewayId", "tgw-01234567")},
		{"UnsupportedOperation", with("Options.EnableAcceleration", "true")},
		{"UnsupportedOperation", with("Options.TunnelInsideIpVersion", "ipv6")},
		{"UnsupportedOperation", with("Options.OutsideIpAddressType", "PrivateIpv4")},
		{"UnsupportedOperation", with("Options.LocalIpv6NetworkCidr", "::/0")},
		{"UnsupportedOperation", tunnel("TunnelInsideIpv6Cidr", "fd00::/126")},
		{"UnsupportedOperation", tunnel("EnableTunnelLifecycleControl", "true")},
		{"UnsupportedOperation", tunnel("LogOptions.CloudWatchLogOptions.LogEnabled", "true")},
		{"MissingParameter", []string{"Type", "ipsec.1", "CustomerGatewayId", customer}},
		{"InvalidParameterValue", []string{"Type", "ipsec.2", "CustomerGatewayId", customer, "VpnGatewayId", vgw}},
		{"InvalidParameterValue", tunnel("PreSharedKey", "short")},
		{"InvalidParameterValue", tunnel("PreSharedKey", "0"+secret)},
		{"InvalidParameterValue", tunnel("PreSharedKey", "not+"+secret)},
		{"InvalidParameterValue", tunnel("TunnelInsideCidr", "169.254.0.0/30")},
		{"InvalidParameterValue", tunnel("Phase1LifetimeSeconds", "899")},
		{"InvalidParameterValue", append(tunnel("Phase1LifetimeSeconds", "1000"), "Options.TunnelOptions.1.Phase2LifetimeSeconds", "1000")},
		{"InvalidParameterValue", tunnel("RekeyMarginTimeSeconds", "1801")},
		{"InvalidParameterValue", tunnel("IKEVersion.1.Value", "ikev3")},
		{"InvalidParameterValue", tunnel("Phase1DHGroupNumber.1.Value", "5")},
		{"InvalidParameterValue", tunnel("DPDTimeoutAction", "elephant")},
	} {
		if message := w.fails(c.code, alice, "CreateVpnConnection", c.params...); strings.Contains(message, secret) {
			t.Errorf("a refusal tells the key: %s", message)
		}
	}

	wanted := with("Options.StaticRoutesOnly", "false", "Options.LocalIpv4NetworkCidr", "192.168.0.0/16", "Options.TunnelOptions.1.TunnelInsideCidr", "169.254.8.0/30",
		"Options.TunnelOptions.1.PreSharedKey", secret, "Options.TunnelOptions.1.Phase1EncryptionAlgorithm.1.Value", "AES256-GCM-16", "Options.TunnelOptions.1.Phase2LifetimeSeconds", "1800",
		"Options.TunnelOptions.1.Phase2DHGroupNumber.1.Value", "5", "Options.TunnelOptions.1.IKEVersion.1.Value", "ikev2", "Options.TunnelOptions.1.DPDTimeoutAction", "restart")
	made := w.ok(alice, "CreateVpnConnection", append(wanted, "TagSpecification.1.ResourceType", "vpn-connection", "TagSpecification.1.Tag.1.Key", "Name")...).all("vpnConnection")[0]
	id := made.text("vpnConnectionId")
	w.is(made.text("state")+" "+made.text("category")+" "+made.text("tagSet/item/key"), "pending VPN Name")
	shown := func() *node {
		return w.ok(alice, "DescribeVpnConnections", "VpnConnectionId.1", id).all("vpnConnectionSet/item")[0]
	}
	n := shown()
	w.is(n.text("state")+" "+n.text("options/localIpv4NetworkCidr")+" "+n.text("options/remoteIpv4NetworkCidr")+" "+n.text("options/staticRoutesOnly"), "available 192.168.0.0/16 0.0.0.0/0 false")
	w.is(n.text("vgwTelemetry/item/status")+" "+n.text("vgwTelemetry/item/acceptedRouteCount"), "DOWN DOWN 0 0")
	w.is(n.text("customerGatewayConfiguration"), made.text("customerGatewayConfiguration"))
	tunnels := n.all("options/tunnelOptionSet/item")
	w.is(tunnels[0].text("phase1EncryptionAlgorithmSet/item/value")+" "+tunnels[0].text("phase2DHGroupNumberSet/item/value")+" "+tunnels[0].text("ikeVersionSet/item/value")+" "+
		tunnels[0].text("dpdTimeoutAction")+" "+tunnels[0].text("phase2LifetimeSeconds")+" "+tunnels[0].text("tunnelInsideCidr"), "AES256-GCM-16 5 ikev2 restart 1800 169.254.8.0/30")
	c := w.vpnConfig(n)
	for i, x := range c.Tunnels {
		w.is(x.Outside+" "+x.Key, tunnels[i].text("outsideIpAddress")+" "+tunnels[i].text("preSharedKey"))
		w.is(x.ASN+" "+x.Device, "64512 203.0.113.9")
		if !sharedKey.MatchString(x.Key) {
			t.Errorf("the key %q is none", x.Key)
		}
	}
	w.is(c.Tunnels[0].Ours+" "+c.Tunnels[0].Theirs+" "+c.Tunnels[0].Encryption, "169.254.8.1 169.254.8.2 aes-256-gcm-16")
	w.is(c.Tunnels[0].Key, secret)
	derived := c.Tunnels[1].Key
	if !regexp.MustCompile(`^[A-Z2-7]{32}$`).MatchString(derived) || c.Tunnels[0].Outside == c.Tunnels[1].Outside {
		t.Errorf("the tunnels are %+v", c.Tunnels)
	}
	// The same again is the same; another is refused.
	w.is(w.ok(alice, "CreateVpnConnection", wanted...).text("vpnConnection/vpnConnectionId"), id)
	w.fails("InvalidParameterValue", alice, "CreateVpnConnection", with()...)
	w.is(w.ok(alice, "DescribeVpnConnections", "Filter.1.Name", "bgp-asn", "Filter.1.Value.1", "65000").text("vpnConnectionSet/item/vpnConnectionId"), id)
	for value, want := range map[string]string{"*<ip_address>203.0.113.9</ip_address>*": id, "*<ip_address>203.0.113.8</ip_address>*": ""} { // whole, it is longer than a filter's value
		w.is(w.ok(alice, "DescribeVpnConnections", "Filter.1.Name", "customer-gateway-configuration", "Filter.1.Value.1", value).text("vpnConnectionSet/item/vpnConnectionId"), want)
	}
	if w.ok(alice, "DescribeVpnConnections", "Filter.1.Name", "bgp-asn", "Filter.1.Value.1", "65001").has("vpnConnectionSet/item") {
		t.Error("found by another's number")
	}

	// Neither key is in the history, nor in the state.
	var said strings.Builder
	for _, r := range w.records {
		said.WriteString(events.Line(r.Event) + r.Call.Parameters)
		said.Write(events.Encode(r.Event))
	}
	rows, err := w.view().Rows(id)
	if err != nil || len(rows["VPN"]) == 0 {
		t.Fatal(rows, err)
	}
	said.Write(rows["VPN"])
	for _, key := range []string{secret, derived} {
		if strings.Contains(said.String(), key) {
			t.Errorf("%s is said in the region", key)
		}
	}
	if !strings.Contains(said.String(), "sensitiveDataRemoved") {
		t.Error("the call is not told")
	}

	w.fails("InvalidVpnConnection.InvalidType", alice, "CreateVpnConnectionRoute", "VpnConnectionId", id, "DestinationCidrBlock", "192.168.0.0/24")
	w.ok(alice, "DeleteVpnConnection", "VpnConnectionId", id)
	w.ok(alice, "DeleteVpnConnection", "VpnConnectionId", id)
	n = shown()
	w.is(n.text("state"), "deleted")
	for _, gone := range []string{"customerGatewayConfiguration", "options/tunnelOptionSet/item", "vgwTelemetry/item"} {
		if n.has(gone) {
			t.Errorf("a connection that has ended has %s", gone)
		}
	}
	w.now = w.now.Add(61 * time.Minute)
	w.act(t, "", events.Tick{})
	w.fails("InvalidVpnConnectionID.NotFound", alice, "DescribeVpnConnections", "VpnConnectionId.1", id)
}

// What is behind a virtual private gateway is in the tables that take it up, after
// their own routes; what leads to one that is away leads nowhere.
func TestVPNRoutes(t *testing.T) {
	w := newWorld(t)
	vpc := w.ok(alice, "CreateVpc", "CidrBlock", "10.0.0.0/16").text("vpc/vpcId")
	table := w.ok(alice, "DescribeRouteTables", "Filter.1.Name", "vpc-id", "Filter.1.Value.1", vpc).text("routeTableSet/item/routeTableId")
	customer := w.ok(alice, "CreateCustomerGateway", "Type", "ipsec.1", "IpAddress", "203.0.113.9").text("customerGateway/customerGatewayId")
	vgw := w.ok(alice, "CreateVpnGateway", "Type", "ipsec.1").text("vpnGateway/vpnGatewayId")
	id := w.ok(alice, "CreateVpnConnection", "Type", "ipsec.1", "CustomerGatewayId", customer, "VpnGatewayId", vgw, "Options.StaticRoutesOnly", "true").text("vpnConnection/vpnConnectionId")
	if n := w.ok(alice, "DescribeVpnConnections").all("vpnConnectionSet/item")[0]; w.vpnConfig(n).Tunnels[0].ASN != "" || !strings.Contains(n.text("customerGatewayConfiguration"), "NoBGPVPNConnection") {
		t.Error("a connection of static routes speaks BGP")
	}
	for _, to := range []string{"192.168.0.0/24", "192.168.1.0/24"} {
		w.ok(alice, "CreateVpnConnectionRoute", "VpnConnectionId", id, "DestinationCidrBlock", to)
	}
	w.fails("Gateway.NotAttached", alice, "EnableVgwRoutePropagation", "RouteTableId", table, "GatewayId", vgw)
	w.fails("InvalidParameterValue", alice, "CreateRoute", "RouteTableId", table, "DestinationCidrBlock", "192.168.0.0/24", "GatewayId", vgw)
	w.is(w.ok(alice, "AttachVpnGateway", "VpnGatewayId", vgw, "VpcId", vpc).text("attachment/state"), "attaching")
	w.is(w.ok(alice, "AttachVpnGateway", "VpnGatewayId", vgw, "VpcId", vpc).text("attachment/state"), "attached")
	w.ok(alice, "CreateRoute", "RouteTableId", table, "DestinationCidrBlock", "192.168.0.0/24", "GatewayId", vgw)
	w.ok(alice, "EnableVgwRoutePropagation", "RouteTableId", table, "GatewayId", vgw)
	routes := w.reader("DescribeRouteTables", "routeTableSet/item", "RouteTableId.1", table)
	paths := []string{"propagatingVgwSet/item/gatewayId", "routeSet/item/destinationCidrBlock", "routeSet/item/gatewayId", "routeSet/item/origin", "routeSet/item/state"}
	w.is(routes(paths...), vgw+"|10.0.0.0/16 192.168.0.0/24 192.168.1.0/24|local "+vgw+" "+vgw+"|CreateRouteTable CreateRoute EnableVgwRoutePropagation|active active active")
	w.is(w.ok(alice, "DescribeRouteTables", "Filter.1.Name", "route.origin", "Filter.1.Value.1", "EnableVgwRoutePropagation").text("routeTableSet/item/routeTableId"), table)
	w.fails("UnsupportedOperation", alice, "AssociateRouteTable", "RouteTableId", table, "GatewayId", vgw)
	w.fails("DependencyViolation", alice, "DeleteVpc", "VpcId", vpc)
	w.ok(alice, "DeleteVpnConnectionRoute", "VpnConnectionId", id, "DestinationCidrBlock", "192.168.1.0/24")
	w.is(routes(paths[1]), "10.0.0.0/16 192.168.0.0/24")
	w.ok(alice, "DetachVpnGateway", "VpnGatewayId", vgw, "VpcId", vpc)
	w.is(routes(paths...), "|10.0.0.0/16 192.168.0.0/24|local "+vgw+"|CreateRouteTable CreateRoute|active blackhole")
	w.ok(alice, "DeleteRoute", "RouteTableId", table, "DestinationCidrBlock", "192.168.0.0/24")
	w.ok(alice, "DeleteVpc", "VpcId", vpc)
}
