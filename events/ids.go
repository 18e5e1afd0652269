package events

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
)

// Typed ids. EC2's have a prefix and 17 hex digits ("Resource IDs" in the EC2
// user guide); hosts and zones are names.
type (
	AccountID     string // 12 digits
	InstanceID    string // i-
	ReservationID string // r-
	ImageID       string // ami-, aki- or ari-
	KeyPairID     string // key-
	VPCID         string // vpc-
	SubnetID      string // subnet-
	GroupID       string // sg-
	RuleID        string // sgr-
	InterfaceID   string // eni-
	VolumeID      string // vol-
	AttachmentID  string // attach-, of a volume to an instance; eni-attach-, of an interface
	AllocationID  string // eipalloc-
	AssociationID string // eipassoc- or rtbassoc-
	GatewayID     string // igw-
	TableID       string // rtb-
	NetworkACLID  string // acl-
	NATGatewayID  string // nat-
	EgressID      string // eigw-
	PeeringID     string // pcx-
	DHCPOptionsID string // dopt-
	PrefixListID  string // pl-
	FlowLogID     string // fl-
	CustomerID    string // cgw-
	VPNGatewayID  string // vgw-
	VPNID         string // vpn-
	SnapshotID    string // snap-
	PlacementID   string // pg-
	TemplateID    string // lt-
	CommandID     string // chosen by the door, unique for 24 h
	HostID        string // isle-1a-1
	Zone          string // isle-1a
)

// Seed is the randomness of a command, drawn once at the door.
type Seed [16]byte

// Hex returns the i-th 17-digit id body of a seed for a prefix such as "i".
// Ids begin with 0, as EC2's do.
func (s Seed) Hex(prefix string, i int) string {
	b := s.Bytes(prefix, i)
	return "0" + hex.EncodeToString(b[:8])
}

// Base32 returns n characters of RFC 4648 base 32 for the ids of identities:
// AKIA…, AIDA….
func (s Seed) Base32(purpose string, n int) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
	b := s.Bytes(purpose, 0)
	out := make([]byte, n)
	for i := range out {
		out[i] = alphabet[b[i]&31]
	}
	return string(out)
}

// Bytes returns 32 bytes that depend on the seed, a purpose and a counter only.
func (s Seed) Bytes(purpose string, i int) [32]byte {
	b := make([]byte, 0, 64)
	b = append(b, s[:]...)
	b = append(b, purpose...)
	b = binary.BigEndian.AppendUint64(b, uint64(i))
	return sha256.Sum256(b)
}

// Derived returns the 17-digit id body of something that comes with another
// thing and has no event of its own.
func Derived(prefix, of string) string {
	b := sha256.Sum256([]byte(prefix + " of " + of))
	return "0" + hex.EncodeToString(b[:8])
}
