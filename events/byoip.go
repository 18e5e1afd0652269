package events

import (
	"net/netip"
	"time"
)

// Ranges of addresses that accounts bring ("Bring your own IP addresses"). A
// range makes a pool: Elastic IP addresses are of one of IPv4, blocks of VPCs of
// one of IPv6. Gateways announce addresses of a range while it is advertised.

// PoolID names the pool of a range: ipv4pool-ec2- or ipv6pool-ec2-.
type PoolID string

// ProvisionRange brings a range. Message and signature are the account's word
// that the range is its own.
type ProvisionRange struct {
	CIDR        string `json:"cidr"`
	Description string `json:"description,omitempty"`
	Message     string `json:"message,omitempty"`
	Signature   string `json:"signature,omitempty"`
	Private     bool   `json:"private,omitempty"` // of IPv6, never to be advertised
	Tags        []Tag  `json:"tags,omitempty"`    // of the pool
}

// AdvertiseRange has gateways announce the addresses of a range.
type AdvertiseRange struct {
	CIDR string `json:"cidr"`
}

// WithdrawRange has them stop.
type WithdrawRange struct {
	CIDR string `json:"cidr"`
}

// DeprovisionRange takes a range away that nothing has a part of.
type DeprovisionRange struct {
	CIDR string `json:"cidr"`
}

// RangeProvisioned is a range and its pool.
type RangeProvisioned struct {
	Pool        PoolID       `json:"pool"`
	Account     AccountID    `json:"account"`
	CIDR        netip.Prefix `json:"cidr"`
	Description string       `json:"description,omitempty"`
	Private     bool         `json:"private,omitempty"`
	At          time.Time    `json:"at"`
}

// RangeAdvertised has gateways announce the addresses of a range.
type RangeAdvertised struct {
	Pool    PoolID       `json:"pool"`
	Account AccountID    `json:"account"`
	CIDR    netip.Prefix `json:"cidr"`
}

// RangeWithdrawn has them stop.
type RangeWithdrawn struct {
	Pool    PoolID       `json:"pool"`
	Account AccountID    `json:"account"`
	CIDR    netip.Prefix `json:"cidr"`
}

// RangeDeprovisioned ends a range and its pool.
type RangeDeprovisioned struct {
	Pool    PoolID       `json:"pool"`
	Account AccountID    `json:"account"`
	CIDR    netip.Prefix `json:"cidr"`
}

// Service names the room that decides.
func (ProvisionRange) Service() string   { return "network" }
func (AdvertiseRange) Service() string   { return "network" }
func (WithdrawRange) Service() string    { return "network" }
func (DeprovisionRange) Service() string { return "network" }

// About says of whom.
func (e RangeProvisioned) About() About   { return poolAbout(e.Pool, "provisioned") }
func (e RangeAdvertised) About() About    { return poolAbout(e.Pool, "advertised") }
func (e RangeWithdrawn) About() About     { return poolAbout(e.Pool, "withdrawn") }
func (e RangeDeprovisioned) About() About { return poolAbout(e.Pool, "deprovisioned") }

func poolAbout(id PoolID, verb string) About {
	return About{"", "network", "pool", string(id), verb}
}

func init() {
	for _, c := range []Command{ProvisionRange{}, AdvertiseRange{}, WithdrawRange{}, DeprovisionRange{}} {
		commands.add(c)
	}
	for _, e := range []Event{RangeProvisioned{}, RangeAdvertised{}, RangeWithdrawn{}, RangeDeprovisioned{}} {
		kinds.add(e)
	}
}
