package ec2

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"skerry/events"
	"skerry/services/api"
	"skerry/services/api/model"
	"skerry/services/api/reply"
)

// Listings of an account with 5,000 of a region's 100,000 instances: 1,000 by
// id, 1,000 by a filter, a page of 1,000, and all. Each is told as the median
// until its reply is encoded.
func BenchmarkDescribeInstances(b *testing.B) {
	w := newWorld(b)
	for _, n := range w.view().Nodes.All() {
		if n.Kind == "compute" {
			w.act(b, "", events.JoinNode{Host: n.Host, Kind: n.Kind, Zone: n.Zone, Boot: n.Boot, Capacity: events.Capacity{VCPUs: 100_000, MemoryMiB: 1 << 30, DiskGiB: 1 << 24}})
		}
	}
	run := func(a, tag string) {
		w.act(b, a, events.RunInstances{Image: ami, Type: "sk1.tiny", Min: 1000, Max: 1000, Tags: []events.Tag{{Key: "Name", Value: tag}}})
	}
	for i := range 19 {
		a := fmt.Sprintf("7000000000%02d", i)
		w.act(b, "", events.CreateAccount{Name: fmt.Sprintf("account-%d", i), ID: events.AccountID(a)})
		for range 5 {
			run(a, "other")
		}
	}
	for i := range 5 {
		run(alice, fmt.Sprintf("group-%d", i))
	}
	var ids []string
	for i := range w.view().InstancesOf(events.AccountID(alice)) {
		if ids = append(ids, string(i.ID)); len(ids) == 1000 {
			break
		}
	}
	b.Logf("%d instances", w.view().Instances.Len())
	h := New(w.fake, w.key, "")
	for _, q := range []struct {
		name string
		want int
		in   *model.DescribeInstancesInput
	}{
		{"ids", 1000, &model.DescribeInstancesInput{InstanceIds: ids}},
		{"filter", 1000, &model.DescribeInstancesInput{Filters: []model.Filter{{Name: new("tag:Name"), Values: []string{"group-3"}}}}},
		{"page", 1000, &model.DescribeInstancesInput{MaxResults: new(int32(1000))}},
		{"all", 5000, &model.DescribeInstancesInput{}},
	} {
		b.Run(q.name, func(b *testing.B) {
			b.ReportAllocs()
			var took []time.Duration
			var buf []byte
			for b.Loop() {
				at := time.Now()
				out, err := h.DescribeInstances(b.Context(), &api.Call{Account: alice, Action: "DescribeInstances", Region: "isle-1"}, q.in)
				if err != nil {
					b.Fatal(err)
				}
				buf = reply.Result(buf[:0], reply.EC2, "DescribeInstances", "2016-11-15", "req", out)
				took = append(took, time.Since(at))
				got := 0
				for _, r := range out.Reservations {
					got += len(r.Instances)
				}
				if got != q.want {
					b.Fatalf("%d instances, not %d", got, q.want)
				}
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
		})
	}
}
