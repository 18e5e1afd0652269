package ec2

import (
	"context"
	"fmt"
	"strings"

	"skerry/events"
	"skerry/services/api"
	"skerry/services/api/filter"
	"skerry/services/api/model"
	"skerry/services/compute"
	"skerry/services/network"
)

type typeRow = row[model.InstanceTypeInfo]

var typeListing = listing[model.InstanceTypeInfo]{tagless: true, max: 100, fields: filter.Fields[typeRow]{
	"auto-recovery-supported":           func(r typeRow) []string { return flag(r.shown.AutoRecoverySupported) },
	"bare-metal":                        func(r typeRow) []string { return flag(r.shown.BareMetal) },
	"burstable-performance-supported":   func(r typeRow) []string { return flag(r.shown.BurstablePerformanceSupported) },
	"current-generation":                func(r typeRow) []string { return flag(r.shown.CurrentGeneration) },
	"dedicated-hosts-supported":         func(r typeRow) []string { return flag(r.shown.DedicatedHostsSupported) },
	"free-tier-eligible":                func(r typeRow) []string { return flag(r.shown.FreeTierEligible) },
	"hibernation-supported":             func(r typeRow) []string { return flag(r.shown.HibernationSupported) },
	"hypervisor":                        func(r typeRow) []string { return word(r.shown.Hypervisor) },
	"instance-storage-supported":        func(r typeRow) []string { return flag(r.shown.InstanceStorageSupported) },
	"instance-type":                     func(r typeRow) []string { return word(r.shown.InstanceType) },
	"memory-info.size-in-mib":           func(r typeRow) []string { return number(r.shown.MemoryInfo.SizeInMiB) },
	"nitro-enclaves-support":            func(r typeRow) []string { return word(r.shown.NitroEnclavesSupport) },
	"nitro-tpm-support":                 func(r typeRow) []string { return word(r.shown.NitroTpmSupport) },
	"nitro-tpm-info.supported-versions": never[typeRow],
	"supported-boot-mode":               func(r typeRow) []string { return r.shown.SupportedBootModes },
	"supported-root-device-type":        func(r typeRow) []string { return r.shown.SupportedRootDeviceTypes },
	"supported-usage-class":             func(r typeRow) []string { return r.shown.SupportedUsageClasses },
	"supported-virtualization-type":     func(r typeRow) []string { return r.shown.SupportedVirtualizationTypes },

	"ebs-info.ebs-optimized-support":                          func(r typeRow) []string { return word(r.shown.EbsInfo.EbsOptimizedSupport) },
	"ebs-info.encryption-support":                             func(r typeRow) []string { return word(r.shown.EbsInfo.EncryptionSupport) },
	"ebs-info.nvme-support":                                   func(r typeRow) []string { return word(r.shown.EbsInfo.NvmeSupport) },
	"ebs-info.ebs-optimized-info.baseline-bandwidth-in-mbps":  never[typeRow],
	"ebs-info.ebs-optimized-info.baseline-iops":               never[typeRow],
	"ebs-info.ebs-optimized-info.baseline-throughput-in-mbps": never[typeRow],
	"ebs-info.ebs-optimized-info.maximum-bandwidth-in-mbps":   never[typeRow],
	"ebs-info.ebs-optimized-info.maximum-iops":                never[typeRow],
	"ebs-info.ebs-optimized-info.maximum-throughput-in-mbps":  never[typeRow],

	"instance-storage-info.disk.count": func(r typeRow) []string {
		return each(store(r).Disks, func(d model.DiskInfo) []string { return number(d.Count) })
	},
	"instance-storage-info.disk.size-in-gb": func(r typeRow) []string {
		return each(store(r).Disks, func(d model.DiskInfo) []string { return number(d.SizeInGB) })
	},
	"instance-storage-info.disk.type": func(r typeRow) []string {
		return each(store(r).Disks, func(d model.DiskInfo) []string { return word(d.Type) })
	},
	"instance-storage-info.encryption-support": func(r typeRow) []string { return word(store(r).EncryptionSupport) },
	"instance-storage-info.nvme-support":       func(r typeRow) []string { return word(store(r).NvmeSupport) },
	"instance-storage-info.total-size-in-gb":   func(r typeRow) []string { return number(store(r).TotalSizeInGB) },

	"network-info.efa-info.maximum-efa-interfaces": never[typeRow],
	"network-info.efa-supported":                   func(r typeRow) []string { return flag(r.shown.NetworkInfo.EfaSupported) },
	"network-info.ena-support":                     func(r typeRow) []string { return word(r.shown.NetworkInfo.EnaSupport) },
	"network-info.encryption-in-transit-supported": func(r typeRow) []string {
		return flag(r.shown.NetworkInfo.EncryptionInTransitSupported)
	},
	"network-info.ipv4-addresses-per-interface": func(r typeRow) []string {
		return number(r.shown.NetworkInfo.Ipv4AddressesPerInterface)
	},
	"network-info.ipv6-addresses-per-interface": func(r typeRow) []string {
		return number(r.shown.NetworkInfo.Ipv6AddressesPerInterface)
	},
	"network-info.ipv6-supported":        func(r typeRow) []string { return flag(r.shown.NetworkInfo.Ipv6Supported) },
	"network-info.maximum-network-cards": func(r typeRow) []string { return number(r.shown.NetworkInfo.MaximumNetworkCards) },
	"network-info.maximum-network-interfaces": func(r typeRow) []string {
		return number(r.shown.NetworkInfo.MaximumNetworkInterfaces)
	},
	"network-info.network-performance": func(r typeRow) []string { return word(r.shown.NetworkInfo.NetworkPerformance) },

	"processor-info.supported-architecture": func(r typeRow) []string { return r.shown.ProcessorInfo.SupportedArchitectures },
	"processor-info.supported-features":     func(r typeRow) []string { return r.shown.ProcessorInfo.SupportedFeatures },
	"processor-info.sustained-clock-speed-in-ghz": func(r typeRow) []string {
		return decimal(r.shown.ProcessorInfo.SustainedClockSpeedInGhz)
	},

	"vcpu-info.default-cores":            func(r typeRow) []string { return number(r.shown.VCpuInfo.DefaultCores) },
	"vcpu-info.default-threads-per-core": func(r typeRow) []string { return number(r.shown.VCpuInfo.DefaultThreadsPerCore) },
	"vcpu-info.default-vcpus":            func(r typeRow) []string { return number(r.shown.VCpuInfo.DefaultVCpus) },
	"vcpu-info.valid-cores": func(r typeRow) []string {
		return each(r.shown.VCpuInfo.ValidCores, func(n int32) []string { return number(&n) })
	},
	"vcpu-info.valid-threads-per-core": func(r typeRow) []string {
		return each(r.shown.VCpuInfo.ValidThreadsPerCore, func(n int32) []string { return number(&n) })
	},
}}

// store is a type's instance store, or nothing.
func store(r typeRow) model.InstanceStorageInfo { return value(r.shown.InstanceStorageInfo) }

// DescribeInstanceTypes lists the catalogue, in its own order.
func (h *Handlers) DescribeInstanceTypes(_ context.Context, c *api.Call, in *model.DescribeInstanceTypesInput) (*model.DescribeInstanceTypesOutput, error) {
	if len(in.InstanceTypes) > 100 {
		return nil, events.Faultf("InvalidParameterValue", "The request names %d instance types; at most 100 are allowed.", len(in.InstanceTypes))
	}
	if err := notTogether("instanceTypes", len(in.InstanceTypes) > 0, "maxResults", in.MaxResults != nil); err != nil {
		return nil, err
	}
	places := map[string]typeRow{}
	for i, t := range compute.Types() {
		places[t.Name] = typeRow{key: fmt.Sprintf("%04d", i), shown: showType(t)}
	}
	rows, err := byID(in.InstanceTypes,
		func(n string) (typeRow, bool) { r, ok := places[n]; return r, ok },
		func(yield func(typeRow)) {
			for _, r := range places {
				yield(r)
			}
		},
		func(names []string) error {
			return events.Faultf("InvalidInstanceType", "The following supplied instance types do not exist: [%s]", strings.Join(names, ", "))
		})
	if err != nil {
		return nil, err
	}
	out := new(model.DescribeInstanceTypesOutput)
	out.InstanceTypes, out.NextToken, err = typeListing.choose(h, c, ask{in.Filters, in.MaxResults, in.NextToken}, rows)
	return out, err
}

// showType shows a type as this region gives it: the root can be an instance
// store, whatever EC2 gives the type, or a volume.
func showType(t compute.Type) model.InstanceTypeInfo {
	out := model.InstanceTypeInfo{
		InstanceType:      &t.Name,
		CurrentGeneration: &t.Current,
		BareMetal:         &t.BareMetal, BurstablePerformanceSupported: &t.Burstable,
		FreeTierEligible: new(false), HibernationSupported: new(false), AutoRecoverySupported: new(false), DedicatedHostsSupported: new(false),
		SupportedUsageClasses: []string{"on-demand"}, SupportedRootDeviceTypes: []string{"ebs", "instance-store"},
		SupportedVirtualizationTypes: []string{"hvm"}, SupportedBootModes: []string{"legacy-bios"},
		Hypervisor:    new("xen"),
		MemoryInfo:    &model.MemoryInfo{SizeInMiB: new(int64(t.MemoryMiB))},
		ProcessorInfo: &model.ProcessorInfo{SupportedArchitectures: []string{"x86_64"}, SustainedClockSpeedInGhz: new(float64(t.ClockMHz) / 1000)},
		VCpuInfo: &model.VCpuInfo{
			DefaultVCpus: new(int32(t.VCPUs)), DefaultCores: new(cores(t)), DefaultThreadsPerCore: new(threads(t)),
			ValidCores: []int32{cores(t)}, ValidThreadsPerCore: []int32{threads(t)},
		},
		EbsInfo: &model.EbsInfo{EbsOptimizedSupport: &t.EBSOptimize, EncryptionSupport: new("unsupported"), NvmeSupport: new("unsupported")},
		NetworkInfo: &model.NetworkInfo{
			NetworkPerformance: &t.Network, MaximumNetworkInterfaces: new(int32(t.ENIs)), MaximumNetworkCards: new(int32(1)), DefaultNetworkCardIndex: new(int32(0)),
			NetworkCards:              []model.NetworkCardInfo{{NetworkCardIndex: new(int32(0)), NetworkPerformance: &t.Network, MaximumNetworkInterfaces: new(int32(t.ENIs))}},
			Ipv4AddressesPerInterface: new(int32(t.Addresses)), Ipv6AddressesPerInterface: new(int32(0)), Ipv6Supported: &t.IPv6,
			EnaSupport: new("unsupported"), EfaSupported: new(false), EncryptionInTransitSupported: new(false), EnaSrdSupported: new(false),
		},
		PlacementGroupInfo:       &model.PlacementGroupInfo{SupportedStrategies: []string{events.Cluster, events.Partition, events.Spread}},
		InstanceStorageSupported: new(true),
		NitroEnclavesSupport:     new("unsupported"), NitroTpmSupport: new("unsupported"), PhcSupport: new("unsupported"),
	}
	if t.PV {
		out.SupportedVirtualizationTypes = []string{"hvm", "paravirtual"}
	}
	if t.IPv6 {
		out.NetworkInfo.Ipv6AddressesPerInterface = new(int32(t.Addresses))
	}
	if len(t.Ephemeral) > 0 {
		info := &model.InstanceStorageInfo{NvmeSupport: new("unsupported"), EncryptionSupport: new("unsupported")}
		total := int64(0)
		for _, g := range t.Ephemeral {
			total += int64(g)
			info.Disks = append(info.Disks, model.DiskInfo{SizeInGB: new(int64(g)), Count: new(int32(1)), Type: some(t.DiskKind)})
		}
		info.TotalSizeInGB = &total
		out.InstanceStorageInfo = info
	} else {
		out.InstanceStorageSupported = new(false)
	}
	return out
}

func threads(t compute.Type) int32 { return int32(max(t.Threads, 1)) }
func cores(t compute.Type) int32   { return max(int32(t.VCPUs)/threads(t), 1) }

type offeringRow = row[model.InstanceTypeOffering]

var offeringListing = listing[model.InstanceTypeOffering]{tagless: true, fields: filter.Fields[offeringRow]{
	"instance-type": func(r offeringRow) []string { return word(r.shown.InstanceType) },
	"location":      func(r offeringRow) []string { return word(r.shown.Location) },
}}

// DescribeInstanceTypeOfferings tells where each type can be had: everywhere.
func (h *Handlers) DescribeInstanceTypeOfferings(ctx context.Context, c *api.Call, in *model.DescribeInstanceTypeOfferingsInput) (*model.DescribeInstanceTypeOfferingsOutput, error) {
	v, err := h.read(ctx)
	if err != nil {
		return nil, err
	}
	kind := "region"
	if in.LocationType != nil {
		kind = *in.LocationType
	}
	var places []string
	switch kind {
	case "region":
		places = []string{v.Meta.Region}
	case "availability-zone":
		for _, z := range v.Zones.All() {
			places = append(places, string(z.Zone))
		}
	case "availability-zone-id":
		for _, z := range v.Zones.All() {
			places = append(places, network.ZoneID(v.View, z.Zone))
		}
	}
	var rows []offeringRow
	for i, t := range compute.Types() {
		for j, p := range places {
			rows = append(rows, offeringRow{key: fmt.Sprintf("%04d/%04d", i, j),
				shown: model.InstanceTypeOffering{InstanceType: &t.Name, Location: new(p), LocationType: &kind}})
		}
	}
	out := new(model.DescribeInstanceTypeOfferingsOutput)
	out.InstanceTypeOfferings, out.NextToken, err = offeringListing.choose(h, c, ask{in.Filters, in.MaxResults, in.NextToken}, rows)
	return out, err
}
