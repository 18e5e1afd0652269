// Package region decides about the region itself: its forming, accounts, nodes,
// tags, feature level and the passing of time.
package region

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"skerry/events"
	"skerry/services/iam"
	"skerry/services/network"
	"skerry/services/state"
)

// Amazon is the account that owns the region's own images; its alias is amazon.
const Amazon events.AccountID = "000000000000"

// maxZones is how many /20 subnets a default VPC holds.
const maxZones = 16

var (
	zoneName = regexp.MustCompile(`^[a-z0-9-]+[a-z]$`)
	imageID  = regexp.MustCompile(`^(ami|aki|ari)-[A-Za-z0-9-]+$`)
	// word is a name that becomes a word of a subject: an event under a subject
	// that the bus refuses could never be published, and would stop the stream.
	word = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)
)

// Form is the first decision of a region's log.
func Form(v *state.View, s events.Stamp, c events.FormRegion) ([]events.Event, error) {
	if v.Meta.Region != "" {
		return nil, events.Faultf("IncorrectState", "The region '%s' is already formed.", v.Meta.Region)
	}
	if c.Name == "" || c.ID == "" || len(c.Zones) == 0 {
		return nil, events.Faultf("MissingParameter", "A region needs a name, an id and at least one zone.")
	}
	if !word.MatchString(c.Name) {
		return nil, events.Faultf("InvalidParameterValue", "'%s' is not a region name: use up to 64 letters, digits, - and _.", c.Name)
	}
	if len(c.Zones) > maxZones {
		return nil, events.Faultf("InvalidParameterValue", "%d zones are more than the %d that a region can have.", len(c.Zones), maxZones)
	}
	for i, z := range c.Zones {
		if !zoneName.MatchString(string(z)) {
			return nil, events.Faultf("InvalidParameterValue", "'%s' is not a zone name: use the region's name and a letter.", z)
		}
		if slices.Contains(c.Zones[:i], z) {
			return nil, events.Faultf("InvalidParameterValue", "The zone '%s' is named twice.", z)
		}
	}
	for i, m := range c.Images {
		if !imageID.MatchString(string(m.ID)) {
			return nil, events.Faultf("InvalidAMIID.Malformed", "'%s' is not an image id: use ami-, aki- or ari- and letters and digits.", m.ID)
		}
		if slices.ContainsFunc(c.Images[:i], func(o events.Image) bool { return o.ID == m.ID }) {
			return nil, events.Faultf("InvalidParameterValue", "The image '%s' is named twice.", m.ID)
		}
	}
	if c.Root != "" && (!word.MatchString(c.Root) || c.Root == c.Name) {
		return nil, events.Faultf("InvalidParameterValue", "The accounts of the region '%s' cannot be those of '%s': name another region.", c.Name, c.Root)
	}
	if c.Level < 1 || c.Level > events.LevelNewest {
		return nil, events.Faultf("InvalidParameterValue", "Feature level %d is not known here; the highest is %d.", c.Level, events.LevelNewest)
	}
	for i, b := range c.Public {
		if !b.IsValid() || !b.Addr().Is4() || b != b.Masked() || b.Bits() < 8 || b.Bits() > 26 {
			return nil, events.Faultf("InvalidParameterValue", "'%s' is not a block of public addresses: use an IPv4 network of /8 to /26.", b)
		}
		if slices.ContainsFunc(c.Public[:i], b.Overlaps) {
			return nil, events.Faultf("InvalidParameterValue", "The block %s overlaps another one.", b)
		}
	}
	out := []events.Event{events.RegionFormed{Name: c.Name, ID: c.ID, Zones: c.Zones, Level: c.Level, Public: c.Public, Root: c.Root}}
	for _, i := range c.Images {
		i.Account, i.OwnerAlias, i.Public, i.At = Amazon, "amazon", true, s.Time
		out = append(out, events.ImageRegistered{Image: i})
	}
	return out, nil
}

// RaiseFeatureLevel allows newer behaviour, for good.
func RaiseFeatureLevel(v *state.View, _ events.Stamp, c events.RaiseFeatureLevel) ([]events.Event, error) {
	switch {
	case c.Level <= v.Meta.Level:
		return nil, events.Faultf("IncorrectState", "The feature level is %d already; it only goes up.", v.Meta.Level)
	case c.Level > events.LevelNewest:
		return nil, events.Faultf("InvalidParameterValue", "Feature level %d is not known here; the highest is %d.", c.Level, events.LevelNewest)
	}
	return []events.Event{events.FeatureLevelRaised{Level: c.Level}}, nil
}

// Tick does what is due.
func Tick(v *state.View, s events.Stamp, _ events.Tick) ([]events.Event, error) {
	var out []events.Event
	ended := s.Time.Add(-events.KeepTerminated)
	for i := range v.EndedBefore(ended) {
		out = append(out, events.InstanceForgotten{Instance: i.ID, Zone: i.Zone})
		if len(out) == maxTick {
			return out, nil
		}
	}
	for g := range v.NATEndedBefore(ended) {
		out = append(out, events.NATGatewayForgotten{ID: g.ID, Account: g.Account, Zone: g.Zone})
		if len(out) == maxTick {
			return out, nil
		}
	}
	for c := range v.VPNsEndedBefore(ended) {
		out = append(out, events.VPNForgotten{ID: c.ID, Account: c.Account})
		if len(out) == maxTick {
			return out, nil
		}
	}
	for g := range v.VPNGatewaysEndedBefore(ended) {
		out = append(out, events.VPNGatewayForgotten{ID: g.ID, Account: g.Account})
		if len(out) == maxTick {
			return out, nil
		}
	}
	for g := range v.CustomerGatewaysEndedBefore(ended) {
		out = append(out, events.CustomerGatewayForgotten{ID: g.ID, Account: g.Account})
		if len(out) == maxTick {
			return out, nil
		}
	}
	for p := range v.PeeringsDue(s.Time) {
		if p.Live() {
			out = append(out, events.PeeringExpired{ID: p.ID, Account: p.Account, PeerAccount: p.PeerAccount, At: s.Time})
		} else {
			out = append(out, events.PeeringForgotten{ID: p.ID, Account: p.Account})
		}
		if len(out) == maxTick {
			return out, nil
		}
	}
	return out, nil
}

// maxTick bounds the events of one Tick; the next one does the rest.
const maxTick = 1000

var (
	accountID   = regexp.MustCompile(`^[0-9]{12}$`)
	accountName = regexp.MustCompile(`^[\w+=,.@-]{1,64}$`)
)

// CreateAccount makes a tenant with its access key and its default VPC.
func CreateAccount(v *state.View, s events.Stamp, c events.CreateAccount) ([]events.Event, error) {
	if err := iam.Here(v); err != nil {
		return nil, err
	}
	if !accountName.MatchString(c.Name) {
		return nil, events.Faultf("InvalidParameterValue", "The account name '%s' is not valid: use 1 to 64 letters, digits and +=,.@-_.", c.Name)
	}
	for _, a := range v.Accounts.All() {
		if a.Name == c.Name {
			return nil, events.Faultf("EntityAlreadyExists", "An account named '%s' already exists: %s.", c.Name, a.ID)
		}
	}
	id := c.ID
	if id == "" {
		id = drawAccount(v, s)
	}
	if !accountID.MatchString(string(id)) || id == Amazon {
		return nil, events.Faultf("InvalidParameterValue", "'%s' is not an account id: use 12 digits.", id)
	}
	if _, taken := v.Accounts.Get(string(id)); taken {
		return nil, events.Faultf("EntityAlreadyExists", "The account '%s' already exists.", id)
	}
	out := []events.Event{events.AccountCreated{ID: id, Name: c.Name, AccessKey: "AKIA" + s.Seed.Base32("access key", 16), UserID: "AIDA" + s.Seed.Base32("user id", 17)}}
	vpc, err := network.DefaultVPC(v, s, id)
	return append(out, vpc...), err
}

func drawAccount(v *state.View, s events.Stamp) events.AccountID {
	for i := 0; ; i++ {
		b := s.Seed.Bytes("account", i)
		var n uint64
		for _, x := range b[:8] {
			n = n<<8 | uint64(x)
		}
		id := events.AccountID(fmt.Sprintf("%012d", 100000000000+n%900000000000))
		if _, taken := v.Accounts.Get(string(id)); !taken {
			return id
		}
	}
}

// DeleteAccount ends a tenant that has nothing running. Where the accounts are
// another region's, it ends what is left of one that was deleted there.
func DeleteAccount(v *state.View, _ events.Stamp, c events.DeleteAccount) ([]events.Event, error) {
	a, ok := v.Accounts.Get(string(c.ID))
	if !ok {
		return nil, events.Faultf("NoSuchEntity", "The account '%s' does not exist.", c.ID)
	}
	if err := iam.Here(v); err != nil && a.Closed.IsZero() {
		return nil, err
	}
	return ended(v, c.ID)
}

// ended ends an account that holds nothing which has to be let go first.
func ended(v *state.View, id events.AccountID) ([]events.Event, error) {
	for i := range v.InstancesOf(id) {
		if i.Live() {
			return nil, events.Faultf("DeleteConflict", "The account '%s' still has instances, %s among them: terminate them first.", id, i.ID)
		}
	}
	for r := range v.VolumesOf(id) {
		return nil, events.Faultf("DeleteConflict", "The account '%s' still has volumes, %s among them: delete them first.", id, r.ID)
	}
	for r := range v.SnapshotsOf(id) {
		return nil, events.Faultf("DeleteConflict", "The account '%s' still has snapshots, %s among them: delete them first.", id, r.ID)
	}
	for g := range v.NATGatewaysOf(id) {
		if g.Live() {
			return nil, events.Faultf("DeleteConflict", "The account '%s' still has NAT gateways, %s among them: delete them first.", id, g.ID)
		}
	}
	for p := range v.PeeringsOf(id) {
		if p.Live() {
			return nil, events.Faultf("DeleteConflict", "The account '%s' still has VPC peering connections, %s among them: delete them first.", id, p.ID)
		}
	}
	for c := range v.VPNsOf(id) {
		if c.Live() {
			return nil, events.Faultf("DeleteConflict", "The account '%s' still has VPN connections, %s among them: delete them first.", id, c.ID)
		}
	}
	var out []events.Event
	for i := range v.InstancesOf(id) {
		out = append(out, events.InstanceForgotten{Instance: i.ID, Zone: i.Zone})
	}
	for i := range v.InterfacesOf(id) {
		out = append(out, events.InterfaceDeleted{ID: i.Interface.ID, Account: id, Zone: i.Zone})
	}
	for a := range v.AddressesOf(id) {
		if a.Association == "" && a.Allocation != "" {
			out = append(out, events.AddressReleased{Allocation: a.Allocation, Address: a.Address, Account: id})
		}
	}
	return append(out, events.AccountDeleted{ID: id}), nil
}

// DrainHost keeps new instances off a host, or lets them back.
func DrainHost(v *state.View, _ events.Stamp, c events.DrainHost) ([]events.Event, error) {
	h, ok := v.Hosts.Get(string(c.Host))
	if !ok {
		var known []string
		for name := range v.Hosts.All() {
			known = append(known, name)
		}
		return nil, events.Faultf("InvalidParameterValue", "The host '%s' does not exist; the hosts are %s.", c.Host, strings.Join(known, ", "))
	}
	switch {
	case h.Drained == !c.Resume:
		return nil, nil
	case c.Resume:
		return []events.Event{events.HostResumed{Host: h.Host, Zone: h.Zone}}, nil
	}
	return []events.Event{events.HostDrained{Host: h.Host, Zone: h.Zone}}, nil
}
