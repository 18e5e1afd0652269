package events

import (
	"net/netip"
	"time"
)

// Tag is one key and value on a resource.
type Tag struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// ImageFile is one file of an image, known by its content.
type ImageFile struct {
	Name   string `json:"name"`             // file name in the image store
	SHA256 string `json:"sha256"`           // hex digest of the bytes
	Bytes  int64  `json:"bytes"`            // logical size
	Format string `json:"format,omitempty"` // raw, qcow2, or empty for kernels and ramdisks
}

// Shape is what an instance type gives, all integers.
type Shape struct {
	Type         string `json:"type"`
	VCPUs        int    `json:"vcpus"`
	MemoryMiB    int    `json:"memoryMiB"`
	RootGiB      int    `json:"rootGiB"`
	EphemeralGiB []int  `json:"ephemeralGiB,omitempty"` // one entry per instance-store disk
	Interfaces   int    `json:"interfaces,omitempty"`   // at most, as all that follow
	Addresses    int    `json:"addresses,omitempty"`    // IPv4 of each interface, a prefix counting as one
	IPv6         int    `json:"ipv6,omitempty"`         // and IPv6; none when 0
}

// Need is what an instance takes from a host.
type Need struct {
	VCPUs     int `json:"vcpus"`
	MemoryMiB int `json:"memoryMiB"`
	DiskGiB   int `json:"diskGiB"`
}

// Capacity is what a host offers. VCPUs may be over-committed by the node's
// own config; memory and disk are what they say.
type Capacity struct {
	VCPUs     int `json:"vcpus"`
	MemoryMiB int `json:"memoryMiB"`
	DiskGiB   int `json:"diskGiB"`
}

// Interface is an elastic network interface as an instance gets it. PrivateIP is
// the primary address, unset where the subnet has IPv6 alone; nobody else in the
// subnet has an address of any of the lists.
type Interface struct {
	ID          InterfaceID `json:"id"`
	VPC         VPCID       `json:"vpc"`
	Subnet      SubnetID    `json:"subnet"`
	MAC         string      `json:"mac"`
	PrivateIP   netip.Addr  `json:"privateIp"`
	DeviceIndex int         `json:"deviceIndex"`
	Groups      []GroupID   `json:"groups"`
	Public      bool        `json:"public,omitempty"` // launched with a public address of its own

	NAT NATGatewayID `json:"nat,omitempty"` // that it is part of

	Description  string         `json:"description,omitempty"`
	Secondary    []netip.Addr   `json:"secondary,omitempty"`
	Prefixes     []netip.Prefix `json:"prefixes,omitempty"` // of IPv4, /28
	IPv6         []netip.Addr   `json:"ipv6,omitempty"`
	IPv6Prefixes []netip.Prefix `json:"ipv6Prefixes,omitempty"` // /80
}

// Rule is one line of a security group. Protocol "-1" is everything; From and
// To are ports, or ICMP type and code.
type Rule struct {
	ID          RuleID       `json:"id"`
	Egress      bool         `json:"egress"`
	Protocol    string       `json:"protocol"`
	From        int          `json:"from"`
	To          int          `json:"to"`
	CIDR        netip.Prefix `json:"cidr,omitzero"`
	Group       GroupID      `json:"group,omitempty"`
	Description string       `json:"description,omitempty"`
	PrefixList  PrefixListID `json:"prefixList,omitempty"`
}

// Reason says why an instance is in its state ("Instance state reasons" in the
// EC2 API reference, StateReason and StateTransitionReason).
type Reason struct {
	Code    string `json:"code"`    // Client.UserInitiatedShutdown
	Message string `json:"message"` // Client.UserInitiatedShutdown: User initiated shutdown
}

// Why explains a placement: which hosts were looked at, and why the others
// were not taken.
type Why struct {
	Basis      uint64      `json:"basis"`      // event number of the state it was computed on
	Policy     string      `json:"policy"`     // name of the rule that chose
	Candidates []Candidate `json:"candidates"` // best first, bounded
	Rejected   []Rejection `json:"rejected,omitempty"`
}

// Candidate is a host that could have taken the instance. A lower score is a
// tighter fit.
type Candidate struct {
	Host  HostID `json:"host"`
	Score int64  `json:"score"`
}

// Rejection is a host that could not, and the reason in words.
type Rejection struct {
	Host   HostID `json:"host"`
	Reason string `json:"reason"`
}

// Metadata options of an instance ("Configure the instance metadata service").
type MetadataOptions struct {
	HTTPTokens   string `json:"httpTokens"`   // optional or required
	HopLimit     int    `json:"hopLimit"`     // 1..64
	Endpoint     string `json:"endpoint"`     // enabled or disabled
	InstanceTags string `json:"instanceTags"` // enabled or disabled
}

// KeepTerminated is how long a terminated instance stays listed ("Terminate
// your instance": about an hour).
const KeepTerminated = time.Hour

// KeepCommands is how long the reply of a command id or a client token is kept
// ("Ensuring idempotency": at least 24 hours).
const KeepCommands = 24 * time.Hour
