package ec2

import (
	"testing"

	"skerry/events"
	"skerry/services/api"
	"skerry/services/api/model"
)

// Listings of an account with 3000 instances: all of them, a page, a filter.
func BenchmarkDescribeInstances(b *testing.B) {
	w := newWorld(b)
	for _, n := range w.view().Nodes.All() {
		if n.Kind != "compute" {
			continue
		}
		w.act(b, "", events.JoinNode{Host: n.Host, Kind: n.Kind, Zone: n.Zone, Boot: n.Boot, Capacity: events.Capacity{VCPUs: 1000, MemoryMiB: 1 << 20, DiskGiB: 10000}})
	}
	for range 3 {
		w.run(alice, "MinCount", "1", "MaxCount", "1000", "InstanceType", "sk1.tiny")
	}
	b.Logf("%d instances", w.view().Instances.Len())
	h := New(w.fake, w.key, "")
	for name, in := range map[string]*model.DescribeInstancesInput{
		"all":    {},
		"page":   {MaxResults: new(int32(100))},
		"filter": {Filters: []model.Filter{{Name: new("availability-zone"), Values: []string{"isle-1b"}}}},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := h.DescribeInstances(b.Context(), &api.Call{Account: alice, Action: "DescribeInstances", Region: "isle-1"}, in); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
