package ec2

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"skerry/events"
	"skerry/services/api"
	"skerry/services/api/filter"
	"skerry/services/api/model"
	"skerry/services/network"
	"skerry/services/state"
)

var regionListing = listing[model.Region]{tagless: true, fields: filter.Fields[row[model.Region]]{
	"endpoint":      func(r row[model.Region]) []string { return word(r.shown.Endpoint) },
	"opt-in-status": func(r row[model.Region]) []string { return word(r.shown.OptInStatus) },
	"region-name":   func(r row[model.Region]) []string { return word(r.shown.RegionName) },
}}

const noOptIn = "opt-in-not-required"

// DescribeRegions tells the region that this endpoint belongs to, and those that
// share its accounts.
func (h *Handlers) DescribeRegions(ctx context.Context, c *api.Call, in *model.DescribeRegionsInput) (*model.DescribeRegionsOutput, error) {
	endpoint := h.endpoint
	if endpoint == "" {
		endpoint = c.Host
	}
	v, err := h.read(ctx)
	if err != nil {
		return nil, err
	}
	shown := func(name, endpoint string) row[model.Region] {
		return row[model.Region]{key: name, shown: model.Region{RegionName: &name, Endpoint: &endpoint, OptInStatus: new(noOptIn)}}
	}
	rows, err := byID(in.RegionNames,
		func(n string) (row[model.Region], bool) {
			if n == c.Region {
				return shown(n, endpoint), true
			}
			r, ok := v.Regions.Get(n)
			if !ok {
				return row[model.Region]{}, false
			}
			return shown(n, r.Region.Endpoint), true
		},
		func(yield func(row[model.Region])) {
			yield(shown(c.Region, endpoint))
			for name, r := range v.Regions.All() {
				if name != c.Region {
					yield(shown(name, r.Region.Endpoint))
				}
			}
		},
		func(names []string) error {
			return events.Faultf("InvalidParameterValue", "Invalid region: [%s]. This endpoint belongs to the region %s.", strings.Join(names, ", "), c.Region)
		})
	if err != nil {
		return nil, err
	}
	out := new(model.DescribeRegionsOutput)
	out.Regions, _, err = regionListing.choose(h, c, ask{filters: in.Filters}, rows)
	return out, err
}

var zoneListing = listing[model.AvailabilityZone]{tagless: true, fields: filter.Fields[row[model.AvailabilityZone]]{
	"group-name": func(r row[model.AvailabilityZone]) []string { return word(r.shown.GroupName) },
	"message": func(r row[model.AvailabilityZone]) []string {
		return each(r.shown.Messages, func(m model.AvailabilityZoneMessage) []string { return word(m.Message) })
	},
	"opt-in-status":    func(r row[model.AvailabilityZone]) []string { return word(r.shown.OptInStatus) },
	"parent-zone-id":   never[row[model.AvailabilityZone]],
	"parent-zone-name": never[row[model.AvailabilityZone]],
	"region-name":      func(r row[model.AvailabilityZone]) []string { return word(r.shown.RegionName) },
	"state":            func(r row[model.AvailabilityZone]) []string { return word(r.shown.State) },
	"zone-id":          func(r row[model.AvailabilityZone]) []string { return word(r.shown.ZoneId) },
	"zone-name":        func(r row[model.AvailabilityZone]) []string { return word(r.shown.ZoneName) },
	"zone-type":        func(r row[model.AvailabilityZone]) []string { return word(r.shown.ZoneType) },
}}

// DescribeAvailabilityZones lists the zones, and says of one that is dark that
// it is impaired.
func (h *Handlers) DescribeAvailabilityZones(ctx context.Context, c *api.Call, in *model.DescribeAvailabilityZonesInput) (*model.DescribeAvailabilityZonesOutput, error) {
	if err := notTogether("zoneNames", len(in.ZoneNames) > 0, "zoneIds", len(in.ZoneIds) > 0); err != nil {
		return nil, err
	}
	v, err := h.read(ctx)
	if err != nil {
		return nil, err
	}
	all := func(yield func(row[model.AvailabilityZone])) {
		for _, z := range v.Zones.All() {
			yield(row[model.AvailabilityZone]{key: string(z.Zone), shown: v.zone(z)})
		}
	}
	get := func(name string) (row[model.AvailabilityZone], bool) {
		z, ok := v.Zones.Get(name)
		if !ok {
			return row[model.AvailabilityZone]{}, false
		}
		return row[model.AvailabilityZone]{key: name, shown: v.zone(z)}, true
	}
	names, what := in.ZoneNames, "availability zone"
	if len(in.ZoneIds) > 0 {
		names, what = in.ZoneIds, "availability zone id"
		byName := get
		get = func(id string) (row[model.AvailabilityZone], bool) { return byName(string(v.zoneOf(id))) }
	}
	rows, err := byID(names, get, all, func(names []string) error {
		return events.Faultf("InvalidParameterValue", "Invalid %s: [%s]", what, strings.Join(names, ", "))
	})
	if err != nil {
		return nil, err
	}
	out := new(model.DescribeAvailabilityZonesOutput)
	out.AvailabilityZones, _, err = zoneListing.choose(h, c, ask{filters: in.Filters}, rows)
	return out, err
}

// zone shows a zone. Its group and border group are the region, as those of
// every availability zone are.
func (v view) zone(z *state.ZoneRow) model.AvailabilityZone {
	out := model.AvailabilityZone{
		ZoneName: new(string(z.Zone)), ZoneId: new(network.ZoneID(v.View, z.Zone)), ZoneType: new("availability-zone"),
		RegionName: &v.Meta.Region, GroupName: &v.Meta.Region, NetworkBorderGroup: &v.Meta.Region,
		OptInStatus: new(noOptIn), State: new("available"), Messages: []model.AvailabilityZoneMessage{},
	}
	if z.Impaired {
		out.State = new("impaired")
		out.Messages = append(out.Messages, model.AvailabilityZoneMessage{Message: new(fmt.Sprintf("No host of the zone %s answers. Instances there keep their state; new ones are placed in other zones.", z.Zone))})
	}
	return out
}

// zoneOf is the zone of an id, or none.
func (v view) zoneOf(id string) events.Zone {
	for _, z := range v.Zones.All() {
		if network.ZoneID(v.View, z.Zone) == id {
			return z.Zone
		}
	}
	return ""
}

// DescribeAccountAttributes tells what an account may use. EC2 documents that
// the numbers are not its real limits.
//
// The names are EC2's own list, of which its model knows the first two.
func (h *Handlers) DescribeAccountAttributes(ctx context.Context, c *api.Call, in *model.DescribeAccountAttributesInput) (*model.DescribeAccountAttributesOutput, error) {
	v, err := h.read(ctx)
	if err != nil {
		return nil, err
	}
	vpc := "none"
	if d, ok := v.DefaultVPC(events.AccountID(c.Account)); ok {
		vpc = string(d.ID)
	}
	out := &model.DescribeAccountAttributesOutput{AccountAttributes: []model.AccountAttribute{}}
	all := [][2]string{
		{"supported-platforms", "VPC"},
		{"default-vpc", vpc},
		{"max-instances", "1000"},
		{"vpc-max-security-groups-per-interface", "5"},
		{"max-elastic-ips", "5"},
		{"vpc-max-elastic-ips", "5"},
	}
	for _, name := range in.AttributeNames {
		if !slices.ContainsFunc(all, func(a [2]string) bool { return a[0] == name }) {
			return nil, events.Faultf("InvalidParameterValue", "Value (%s) for parameter attributeName is invalid. Unknown account attribute.", name)
		}
	}
	for _, a := range all {
		if len(in.AttributeNames) == 0 || slices.Contains(in.AttributeNames, a[0]) {
			out.AccountAttributes = append(out.AccountAttributes, model.AccountAttribute{
				AttributeName: new(a[0]), AttributeValues: []model.AccountAttributeValue{{AttributeValue: new(a[1])}}})
		}
	}
	return out, nil
}
