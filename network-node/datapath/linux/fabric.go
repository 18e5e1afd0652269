package linux

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"github.com/mdlayher/packet"
	"golang.org/x/sys/unix"
)

// The port of the fabric is open to the nodes of the region, on the device of
// the fabric, and to nobody else:
//
//	table ip skerry {
//	  set nodes { type ipv4_addr }
//	  chain fabric { type filter hook input priority raw;
//	    udp dport 4789 iifname != <fabric> drop
//	    udp dport 4789 ip saddr != @nodes drop } }
const tableName, chainName, setName = "skerry", "fabric", "nodes"

// guardFabric makes the table when it is not there, with nobody in the set.
func guardFabric(dev string) error {
	c, err := nftables.New()
	if err != nil {
		return fmt.Errorf("datapath: nftables: %w", err)
	}
	if _, err := c.ListTableOfFamily(tableName, nftables.TableFamilyIPv4); err == nil {
		return nil
	}
	t := c.AddTable(&nftables.Table{Family: nftables.TableFamilyIPv4, Name: tableName})
	set := &nftables.Set{Table: t, Name: setName, KeyType: nftables.TypeIPAddr}
	if err := c.AddSet(set, nil); err != nil {
		return fmt.Errorf("datapath: nftables: %w", err)
	}
	chain := c.AddChain(&nftables.Chain{Table: t, Name: chainName, Type: nftables.ChainTypeFilter,
		Hooknum: nftables.ChainHookInput, Priority: nftables.ChainPriorityRaw})
	port := []expr.Any{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{unix.IPPROTO_UDP}},
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: binaryutil.BigEndian.PutUint16(fabricPort)},
	}
	name := make([]byte, unix.IFNAMSIZ)
	copy(name, dev)
	rule := func(e ...expr.Any) {
		e = append(append([]expr.Any{}, port...), e...)
		c.AddRule(&nftables.Rule{Table: t, Chain: chain, Exprs: append(e, &expr.Counter{}, &expr.Verdict{Kind: expr.VerdictDrop})})
	}
	rule(&expr.Meta{Key: expr.MetaKeyIIFNAME, Register: 1}, &expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: name})
	rule(&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: 12, Len: 4},
		&expr.Lookup{SourceRegister: 1, SetName: setName, SetID: set.ID, Invert: true})
	if err := c.Flush(); err != nil {
		return fmt.Errorf("datapath: nftables: %w", err)
	}
	return nil
}

// admitNodes makes the set hold exactly the nodes.
func admitNodes(nodes []netip.Addr) error {
	c, err := nftables.New()
	if err != nil {
		return fmt.Errorf("datapath: nftables: %w", err)
	}
	t := &nftables.Table{Family: nftables.TableFamilyIPv4, Name: tableName}
	set, err := c.GetSetByName(t, setName)
	if err != nil {
		return fmt.Errorf("datapath: nftables: set %s: %w", setName, err)
	}
	elems, err := c.GetSetElements(set)
	if err != nil {
		return fmt.Errorf("datapath: nftables: set %s: %w", setName, err)
	}
	have := map[[4]byte]bool{}
	for _, e := range elems {
		if len(e.Key) == 4 {
			have[[4]byte(e.Key)] = true
		}
	}
	var add, del []nftables.SetElement
	want := map[[4]byte]bool{}
	for _, n := range nodes {
		if k := v4(n); n.Is4() && !want[k] {
			want[k] = true
			if !have[k] {
				add = append(add, nftables.SetElement{Key: k[:]})
			}
		}
	}
	for k := range have {
		if !want[k] {
			del = append(del, nftables.SetElement{Key: k[:]})
		}
	}
	if len(add) > 0 {
		err = c.SetAddElements(set, add)
	}
	if err == nil && len(del) > 0 {
		err = c.SetDeleteElements(set, del)
	}
	if err == nil && len(add)+len(del) > 0 {
		err = c.Flush()
	}
	if err != nil {
		return fmt.Errorf("datapath: nftables: set %s: %w", setName, err)
	}
	return nil
}

// announce tells the link outside that an address is here (RFC 5227, section 3:
// an ARP announcement).
func (d *Datapath) announce(a netip.Addr) error {
	dev, err := net.InterfaceByName(d.o.Uplink)
	if err != nil {
		return err
	}
	c, err := packet.Listen(dev, packet.Raw, unix.ETH_P_ARP, nil)
	if err != nil {
		return err
	}
	defer c.Close()
	frame := make([]byte, 60)
	everybody := net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	copy(frame, everybody)
	copy(frame[6:], dev.HardwareAddr)
	binary.BigEndian.PutUint16(frame[12:], unix.ETH_P_ARP)
	copy(frame[14:], []byte{0, 1, 8, 0, 6, 4, 0, 1})
	copy(frame[22:], dev.HardwareAddr)
	ip := a.As4()
	copy(frame[28:], ip[:])
	copy(frame[38:], ip[:])
	_, err = c.WriteTo(frame, &packet.Addr{HardwareAddr: everybody})
	return err
}
