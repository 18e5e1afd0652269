package events

import (
	"net/netip"
	"time"
)

// Commands and events of the region itself: its zones, accounts, nodes, time
// and feature level.

// FormRegion is the first command of a region's log.
type FormRegion struct {
	Name   string  `json:"name"`
	ID     string  `json:"id"` // uuid
	Zones  []Zone  `json:"zones"`
	Level  int     `json:"level"`
	Images []Image `json:"images,omitempty"` // public images offered from the start, owned by the account amazon
	// Public are the blocks that public addresses are given from.
	Public []netip.Prefix `json:"public,omitempty"`
	// Root is the region whose accounts this one trusts; empty: it has its own.
	Root string `json:"root,omitempty"`
}

// RegionFormed opens the history.
type RegionFormed struct {
	Name   string         `json:"name"`
	ID     string         `json:"id"`
	Zones  []Zone         `json:"zones"`
	Level  int            `json:"level"`
	Public []netip.Prefix `json:"public,omitempty"`
	Root   string         `json:"root,omitempty"`
}

// RaiseFeatureLevel allows behaviour that every voter of the region supports.
type RaiseFeatureLevel struct {
	Level int `json:"level"`
}

// LevelCalls is the feature level from which a record tells the call of the API
// that it comes from, and a launch the limits of its type.
const LevelCalls = 2

// LevelEnds is the feature level from which an instance that stops frees the
// interfaces that its host had to let go of, from which a NAT gateway that failed
// can be deleted, and from which a volume does not grow into room that others
// wait for.
const LevelEnds = 3

// LevelNewest is the newest feature level that this program understands.
const LevelNewest = LevelEnds

// FeatureLevelRaised gates: a decision may use behaviour of a level only after it.
type FeatureLevelRaised struct {
	Level int `json:"level"`
}

// Tick lets region time pass: the leader proposes it when a stored deadline is due.
type Tick struct{}

// CreateAccount makes an account with its first access key and its default VPC.
type CreateAccount struct {
	Name string    `json:"name"`
	ID   AccountID `json:"id,omitempty"` // 12 digits; drawn when empty
}

// DeleteAccount ends an account that holds nothing running.
type DeleteAccount struct {
	ID AccountID `json:"id"`
}

// AccountCreated carries no secret: the secret of an access key is derived from
// the region's key and the key's id.
type AccountCreated struct {
	ID        AccountID `json:"id"`
	Name      string    `json:"name"`
	AccessKey string    `json:"accessKey"` // AKIA…
	UserID    string    `json:"userId"`    // AIDA…
}

// AccountDeleted closes an account.
type AccountDeleted struct {
	ID AccountID `json:"id"`
}

// JoinNode is what a node says first, at every start.
type JoinNode struct {
	Host     HostID   `json:"host"`
	Kind     string   `json:"kind"`
	Zone     Zone     `json:"zone"`
	Boot     string   `json:"boot"` // changes with every start of the process
	Address  string   `json:"address,omitempty"`
	Capacity Capacity `json:"capacity,omitzero"`
	Accel    string   `json:"accel,omitempty"`
}

// ReportNodeLost is the leader's verdict on nodes of one zone that fell silent.
type ReportNodeLost struct {
	Zone  Zone      `json:"zone"`
	Nodes []NodeKey `json:"nodes"`
	Whole bool      `json:"whole"` // every node of the zone is silent
}

// ReportNodeBack is the leader's word that a lost node speaks again.
type ReportNodeBack struct {
	Node NodeKey `json:"node"`
	Boot string  `json:"boot"`
}

// DrainHost keeps new instances off a host; Resume lets them back.
type DrainHost struct {
	Host   HostID `json:"host"`
	Resume bool   `json:"resume,omitempty"`
}

// NodeKey names one program on one host.
type NodeKey struct {
	Host HostID `json:"host"`
	Kind string `json:"kind"`
}

// NodeJoined is a node's first start, or a start with another incarnation or
// other hardware.
type NodeJoined struct {
	Host     HostID    `json:"host"`
	Kind     string    `json:"kind"`
	Zone     Zone      `json:"zone"`
	Boot     string    `json:"boot"`
	Address  string    `json:"address,omitempty"`
	Capacity Capacity  `json:"capacity,omitzero"`
	Accel    string    `json:"accel,omitempty"`
	At       time.Time `json:"at"`
}

// NodeLost takes a node out of placement and marks what is on it as impaired.
type NodeLost struct {
	Host HostID    `json:"host"`
	Kind string    `json:"kind"`
	Zone Zone      `json:"zone"`
	At   time.Time `json:"at"`
}

// NodeReturned is a lost node that speaks again.
type NodeReturned struct {
	Host HostID    `json:"host"`
	Kind string    `json:"kind"`
	Zone Zone      `json:"zone"`
	Boot string    `json:"boot"`
	At   time.Time `json:"at"`
}

// ZoneImpaired says that every node of a zone is silent; ZoneRecovered that one
// of them speaks again.
type ZoneImpaired struct {
	Zone Zone      `json:"zone"`
	At   time.Time `json:"at"`
}

// ZoneRecovered ends ZoneImpaired.
type ZoneRecovered struct {
	Zone Zone      `json:"zone"`
	At   time.Time `json:"at"`
}

// HostDrained keeps new instances off a host.
type HostDrained struct {
	Host HostID `json:"host"`
	Zone Zone   `json:"zone"`
}

// HostResumed lets them back.
type HostResumed struct {
	Host HostID `json:"host"`
	Zone Zone   `json:"zone"`
}

// TagResources sets tags; UntagResources removes them. Remove with an empty
// value matches any value when Any is set.
type TagResources struct {
	Resources []string `json:"resources"`
	Tags      []Tag    `json:"tags"`
}

// UntagResources removes tags by key, and by value where one is given. No tags
// at all removes every tag of the resources.
type UntagResources struct {
	Resources []string   `json:"resources"`
	Tags      []UntagTag `json:"tags,omitempty"`
}

// UntagTag selects a tag to remove; a nil value matches any.
type UntagTag struct {
	Key   string  `json:"key"`
	Value *string `json:"value,omitempty"`
}

// ResourceTagged replaces or adds tags of one resource.
type ResourceTagged struct {
	Account  AccountID `json:"account"`
	Resource string    `json:"resource"`
	Tags     []Tag     `json:"tags"`
}

// ResourceUntagged removes tags by key.
type ResourceUntagged struct {
	Account  AccountID `json:"account"`
	Resource string    `json:"resource"`
	Keys     []string  `json:"keys"`
}

// Service names the room that decides.
func (FormRegion) Service() string        { return "region" }
func (RaiseFeatureLevel) Service() string { return "region" }
func (Tick) Service() string              { return "region" }
func (CreateAccount) Service() string     { return "accounts" }
func (DeleteAccount) Service() string     { return "accounts" }
func (JoinNode) Service() string          { return "region" }
func (ReportNodeLost) Service() string    { return "region" }
func (ReportNodeBack) Service() string    { return "region" }
func (DrainHost) Service() string         { return "region" }
func (TagResources) Service() string      { return "tags" }
func (UntagResources) Service() string    { return "tags" }

// About says of whom.
func (e RegionFormed) About() About { return About{"", "region", "region", e.Name, "formed"} }
func (e FeatureLevelRaised) About() About {
	return About{"", "region", "region", "level", "raised"}
}
func (e AccountCreated) About() About {
	return About{"", "accounts", "account", string(e.ID), "created"}
}
func (e AccountDeleted) About() About {
	return About{"", "accounts", "account", string(e.ID), "deleted"}
}
func (e NodeJoined) About() About   { return nodeAbout(e.Zone, e.Host, e.Kind, "joined") }
func (e NodeLost) About() About     { return nodeAbout(e.Zone, e.Host, e.Kind, "lost") }
func (e NodeReturned) About() About { return nodeAbout(e.Zone, e.Host, e.Kind, "returned") }
func (e ZoneImpaired) About() About {
	return About{e.Zone, "region", "zone", string(e.Zone), "impaired"}
}
func (e ZoneRecovered) About() About {
	return About{e.Zone, "region", "zone", string(e.Zone), "recovered"}
}
func (e HostDrained) About() About      { return About{e.Zone, "region", "host", string(e.Host), "drained"} }
func (e HostResumed) About() About      { return About{e.Zone, "region", "host", string(e.Host), "resumed"} }
func (e ResourceTagged) About() About   { return About{"", "tags", "resource", e.Resource, "tagged"} }
func (e ResourceUntagged) About() About { return About{"", "tags", "resource", e.Resource, "untagged"} }

func nodeAbout(z Zone, h HostID, kind, verb string) About {
	return About{z, "region", kind + "-node", string(h), verb}
}

func init() {
	for _, c := range []Command{FormRegion{}, RaiseFeatureLevel{}, Tick{}, CreateAccount{}, DeleteAccount{}, JoinNode{},
		ReportNodeLost{}, ReportNodeBack{}, DrainHost{}, TagResources{}, UntagResources{}} {
		commands.add(c)
	}
	for _, e := range []Event{RegionFormed{}, FeatureLevelRaised{}, AccountCreated{}, AccountDeleted{}, NodeJoined{}, NodeLost{},
		NodeReturned{}, ZoneImpaired{}, ZoneRecovered{}, HostDrained{}, HostResumed{},
		ResourceTagged{}, ResourceUntagged{}} {
		kinds.add(e)
	}
}
