package ec2

import (
	"encoding/xml"
	"fmt"
	"strings"

	"skerry/services/api/model"
	"skerry/services/state"
)

// What a customer's device needs to know of a connection, in the document that
// EC2 makes of it ("CustomerGatewayConfiguration"):
//
//	vpn_connection
//	    ipsec_tunnel, for each of the two
//	        customer_gateway, vpn_gateway   addresses outside and inside, BGP unless routes are static
//	        ike, ipsec                      phases 1 and 2; the pre-shared key is in the first
type vpnDocument struct {
	XMLName    xml.Name         `xml:"vpn_connection"`
	ID         string           `xml:"id,attr"`
	Customer   string           `xml:"customer_gateway_id"`
	Gateway    string           `xml:"vpn_gateway_id"`
	Type       string           `xml:"vpn_connection_type"`
	Attributes string           `xml:"vpn_connection_attributes,omitempty"`
	Tunnels    []tunnelDocument `xml:"ipsec_tunnel"`
}

type tunnelDocument struct {
	Customer tunnelEnd `xml:"customer_gateway"`
	Gateway  tunnelEnd `xml:"vpn_gateway"`
	IKE      struct {
		Authentication string `xml:"authentication_protocol"`
		Encryption     string `xml:"encryption_protocol"`
		Lifetime       int32  `xml:"lifetime"`
		Secrecy        string `xml:"perfect_forward_secrecy"`
		Mode           string `xml:"mode"`
		Key            string `xml:"pre_shared_key"`
	} `xml:"ike"`
	IPsec struct {
		Protocol       string `xml:"protocol"`
		Authentication string `xml:"authentication_protocol"`
		Encryption     string `xml:"encryption_protocol"`
		Lifetime       int32  `xml:"lifetime"`
		Secrecy        string `xml:"perfect_forward_secrecy"`
		Mode           string `xml:"mode"`
		ClearDF        bool   `xml:"clear_df_bit"`
		Fragment       bool   `xml:"fragmentation_before_encryption"`
		MSS            int    `xml:"tcp_mss_adjustment"`
		Interval       int32  `xml:"dead_peer_detection>interval"`
		Retries        int32  `xml:"dead_peer_detection>retries"`
	} `xml:"ipsec"`
}

type tunnelEnd struct {
	Outside string      `xml:"tunnel_outside_address>ip_address"`
	Inside  string      `xml:"tunnel_inside_address>ip_address"`
	Mask    string      `xml:"tunnel_inside_address>network_mask"`
	Bits    int         `xml:"tunnel_inside_address>network_cidr"`
	BGP     *tunnelPeer `xml:"bgp"`
}

type tunnelPeer struct {
	ASN  uint32 `xml:"asn"`
	Hold int    `xml:"hold_time"`
}

// configuration writes the document of a connection. Of what a tunnel permits it
// names the first; EC2's own minimum where nothing was asked for.
func configuration(x *state.VPN, customer *state.CustomerGateway, own *state.VPNGateway, options []model.TunnelOption) string {
	d := vpnDocument{ID: string(x.ID), Customer: string(x.Customer), Gateway: string(x.Gateway), Type: "ipsec.1"}
	peer := func(asn uint32) *tunnelPeer { return &tunnelPeer{asn, 30} }
	if x.Static {
		d.Attributes = "NoBGPVPNConnection"
		peer = func(uint32) *tunnelPeer { return nil }
	}
	for i, t := range x.Tunnels {
		var e tunnelDocument
		o, ours := options[i], t.Inside.Addr().Next()
		e.Customer = tunnelEnd{customer.Address.String(), ours.Next().String(), "255.255.255.252", t.Inside.Bits(), peer(customer.ASN)}
		e.Gateway = tunnelEnd{t.Outside.String(), ours.String(), "255.255.255.252", t.Inside.Bits(), peer(own.ASN)}
		e.IKE.Authentication = first(o.Phase1IntegrityAlgorithms, "sha1", func(a model.Phase1IntegrityAlgorithmsListValue) string { return strings.ToLower(value(a.Value)) })
		e.IKE.Encryption = first(o.Phase1EncryptionAlgorithms, "aes-128-cbc", func(a model.Phase1EncryptionAlgorithmsListValue) string { return cipherName(value(a.Value)) })
		e.IKE.Lifetime = or(o.Phase1LifetimeSeconds, 28800)
		e.IKE.Secrecy = first(o.Phase1DHGroupNumbers, "group2", func(g model.Phase1DHGroupNumbersListValue) string { return fmt.Sprint("group", value(g.Value)) })
		e.IKE.Mode, e.IKE.Key = "main", value(o.PreSharedKey)
		e.IPsec.Protocol, e.IPsec.Mode = "esp", "tunnel"
		e.IPsec.Authentication = first(o.Phase2IntegrityAlgorithms, "hmac-sha1-96", func(a model.Phase2IntegrityAlgorithmsListValue) string {
			return strings.Replace("hmac-"+strings.ToLower(value(a.Value)), "sha1", "sha1-96", 1)
		})
		e.IPsec.Encryption = first(o.Phase2EncryptionAlgorithms, "aes-128-cbc", func(a model.Phase2EncryptionAlgorithmsListValue) string { return cipherName(value(a.Value)) })
		e.IPsec.Lifetime = or(o.Phase2LifetimeSeconds, 3600)
		e.IPsec.Secrecy = first(o.Phase2DHGroupNumbers, "group2", func(g model.Phase2DHGroupNumbersListValue) string { return fmt.Sprint("group", value(g.Value)) })
		e.IPsec.ClearDF, e.IPsec.Fragment, e.IPsec.MSS = true, true, 1379
		e.IPsec.Interval, e.IPsec.Retries = 10, or(o.DpdTimeoutSeconds, 30)/10
		d.Tunnels = append(d.Tunnels, e)
	}
	b, err := xml.MarshalIndent(d, "", "  ")
	if err != nil {
		panic(err) // texts and numbers can always be written
	}
	return xml.Header + string(b)
}

// cipherName is a device's word for an algorithm: aes-256-cbc for AES256.
func cipherName(s string) string {
	name, mode, ok := strings.Cut(strings.ToLower(strings.TrimPrefix(s, "AES")), "-")
	if !ok {
		mode = "cbc"
	}
	return "aes-" + name + "-" + mode
}

// first is the first of a list in a device's words, or what is usual.
func first[T any](list []T, usual string, word func(T) string) string {
	if len(list) == 0 {
		return usual
	}
	return word(list[0])
}

func or(n *int32, usual int32) int32 {
	if n != nil {
		return *n
	}
	return usual
}
