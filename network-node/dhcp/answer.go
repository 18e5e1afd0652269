package dhcp

import (
	"bytes"
	"encoding/binary"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"skerry/events"
)

// leaseTime is EC2's: an hour, asked for again after half of it.
const leaseTime = time.Hour

const (
	serverPort = 67
	clientPort = 68
)

// outcome is what became of a frame.
type outcome int

const (
	offered outcome = iota
	acked
	naked
	released
	declined
	ignored
	foreign
	malformed
	limited
	outcomes
)

// answer is the whole protocol: a frame from the guest of p, and the frame that
// goes back, nil for none.
func answer(frame []byte, p events.PortSpec) ([]byte, outcome) {
	mac, err := net.ParseMAC(p.MAC)
	if err != nil || len(mac) != 6 || !usable(p) {
		return nil, ignored
	}
	q, ok := parse(frame)
	if !ok {
		return nil, malformed
	}
	m := q.message
	if m.OpCode != dhcpv4.OpcodeBootRequest || !bytes.Equal(q.source, mac) || !bytes.Equal(m.ClientHWAddr, mac) ||
		!m.GatewayIPAddr.Equal(net.IPv4zero) {
		return nil, foreign
	}
	// A renewal is sent to us; anything sent to another address is a talk
	// between guests.
	if q.to != netip.AddrFrom4([4]byte{255, 255, 255, 255}) && q.to != p.Router && q.to != broadcast(p.CIDR) {
		return nil, ignored
	}
	self := ip(p.Router)
	if id := m.ServerIdentifier(); id != nil && !id.Equal(self) {
		return nil, ignored // another server was chosen
	}
	mine := func(a net.IP) bool { return a.Equal(ip(p.PrivateIP)) }
	switch m.MessageType() {
	case dhcpv4.MessageTypeDiscover:
		return reply(m, p, mac, dhcpv4.MessageTypeOffer), offered
	case dhcpv4.MessageTypeRequest: // RFC 2131 section 4.3.2
		asked := m.RequestedIPAddress()
		if asked == nil { // renewing or rebinding
			asked = m.ClientIPAddr
		}
		if asked == nil || asked.IsUnspecified() {
			return nil, malformed
		}
		if !mine(asked) {
			return reply(m, p, mac, dhcpv4.MessageTypeNak), naked
		}
		return reply(m, p, mac, dhcpv4.MessageTypeAck), acked
	case dhcpv4.MessageTypeInform: // section 4.3.5
		if !mine(m.ClientIPAddr) {
			return nil, ignored
		}
		return reply(m, p, mac, dhcpv4.MessageTypeAck), acked
	case dhcpv4.MessageTypeRelease:
		return nil, released
	case dhcpv4.MessageTypeDecline:
		return nil, declined
	}
	return nil, ignored
}

// reply builds the frame of an answer. Every parameter is sent whatever the
// client listed: it is one short frame, and clients differ in what they list.
func reply(m *dhcpv4.DHCPv4, p events.PortSpec, mac net.HardwareAddr, kind dhcpv4.MessageType) []byte {
	inform := m.MessageType() == dhcpv4.MessageTypeInform
	with := []dhcpv4.Modifier{
		dhcpv4.WithMessageType(kind),
		dhcpv4.WithOption(dhcpv4.OptServerIdentifier(ip(p.Router))),
	}
	if kind == dhcpv4.MessageTypeNak {
		with = append(with, dhcpv4.WithOption(dhcpv4.OptMessage("this interface has another address")))
	} else {
		with = append(with,
			dhcpv4.WithNetmask(net.CIDRMask(p.CIDR.Bits(), 32)),
			dhcpv4.WithRouter(ip(p.Router)),
			dhcpv4.WithOption(dhcpv4.OptBroadcastAddress(ip(broadcast(p.CIDR)))),
		)
		with = append(with, told(p.DHCP)...)
		if host, _, _ := strings.Cut(p.Hostname, "."); host != "" {
			with = append(with, dhcpv4.WithOption(dhcpv4.OptHostName(host)))
		}
		if p.MTU >= 576 && p.MTU <= 65535 { // RFC 2132 section 5.1 begins at 68, IP needs more
			with = append(with, dhcpv4.WithGeneric(dhcpv4.OptionInterfaceMTU, binary.BigEndian.AppendUint16(nil, uint16(p.MTU))))
		}
		if !inform {
			with = append(with,
				dhcpv4.WithYourIP(ip(p.PrivateIP)),
				dhcpv4.WithOption(dhcpv4.OptIPAddressLeaseTime(leaseTime)),
				dhcpv4.WithOption(dhcpv4.OptRenewTimeValue(leaseTime/2)),
				dhcpv4.WithOption(dhcpv4.OptRebindingTimeValue(leaseTime/8*7)))
		}
	}
	r, err := dhcpv4.NewReplyFromRequest(m, with...)
	if err != nil {
		panic(err) // a modifier cannot fail
	}
	// The server's identity is the option; what a client sent as name and file
	// of a boot server is not echoed, nor is a relay's option.
	r.ServerHostName, r.BootFileName = "", ""
	r.Options.Del(dhcpv4.OptionRelayAgentInformation)
	if kind == dhcpv4.MessageTypeAck && !m.ClientIPAddr.IsUnspecified() {
		r.ClientIPAddr = m.ClientIPAddr
	}

	// Where to: RFC 2131 section 4.1.
	toIP, toMAC := ip(p.PrivateIP), mac
	if kind == dhcpv4.MessageTypeNak || m.ClientIPAddr.IsUnspecified() && m.IsBroadcast() {
		toIP, toMAC = net.IPv4bcast.To4(), net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	}
	from, err := net.ParseMAC(p.RouterMAC)
	if err != nil || len(from) != 6 {
		from, _ = net.ParseMAC(events.RouterMAC(p.Subnet))
	}
	return frame(from, toMAC, ip(p.Router), toIP, r.ToBytes())
}

// told are the options of a VPC's set. DHCP for IPv4 names servers of IPv4.
func told(p events.DHCPPart) (out []dhcpv4.Modifier) {
	servers := func(list []netip.Addr, option func(...net.IP) dhcpv4.Option) {
		var four []net.IP
		for _, a := range list {
			if a.Is4() {
				four = append(four, ip(a))
			}
		}
		if len(four) > 0 {
			out = append(out, dhcpv4.WithOption(option(four...)))
		}
	}
	servers(p.NameServers, dhcpv4.OptDNS)
	servers(p.TimeServers, dhcpv4.OptNTPServers)
	servers(p.NetBIOSServers, dhcpv4.OptNetBIOSNameServers)
	if p.Domain != "" {
		out = append(out, dhcpv4.WithOption(dhcpv4.OptDomainName(p.Domain)))
	}
	if p.NetBIOSNode != 0 {
		out = append(out, dhcpv4.WithGeneric(dhcpv4.OptionNetBIOSOverTCPIPNodeType, []byte{byte(p.NetBIOSNode)}))
	}
	return out
}

// broadcast is the last address of a subnet.
func broadcast(c netip.Prefix) netip.Addr {
	b := c.Masked().Addr().As4()
	v := binary.BigEndian.Uint32(b[:]) | uint32(1<<(32-c.Bits())-1)
	binary.BigEndian.PutUint32(b[:], v)
	return netip.AddrFrom4(b)
}
