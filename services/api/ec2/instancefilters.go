package ec2

import (
	"strconv"

	"skerry/services/api/filter"
	"skerry/services/api/model"
	"skerry/services/state"
)

type (
	instanceRow = row[*instance]
	nic         = model.InstanceNetworkInterface
)

func ipv6Addresses(n nic) []string {
	return each(n.Ipv6Addresses, func(a model.InstanceIpv6Address) []string { return word(a.Ipv6Address) })
}

// nics is a filter on the interfaces of an instance.
func nics(values func(nic) []string) func(instanceRow) []string {
	return func(r instanceRow) []string { return each(r.shown.NetworkInterfaces, values) }
}

// addresses is a filter on the addresses of its interfaces.
func addresses(values func(model.InstancePrivateIpAddress) []string) func(instanceRow) []string {
	return nics(func(n nic) []string { return each(n.PrivateIpAddresses, values) })
}

// associations is a filter on the public addresses of its interfaces.
func associations(values func(model.InstanceNetworkInterfaceAssociation) []string) func(instanceRow) []string {
	return nics(func(n nic) []string {
		if n.Association == nil {
			return nil
		}
		return values(*n.Association)
	})
}

// elastic is a filter on its Elastic IP addresses, of which DescribeInstances
// shows less than can be asked.
func elastic(values func(*state.Address) []string) func(instanceRow) []string {
	return func(r instanceRow) []string { return each(r.shown.public, values) }
}

func allocation(a *state.Address) []string  { return word(some(a.Allocation)) }
func association(a *state.Address) []string { return word(some(a.Association)) }

// disks is a filter on the volumes of an instance.
func disks(values func(model.EbsInstanceBlockDevice) []string) func(instanceRow) []string {
	return func(r instanceRow) []string {
		return each(r.shown.BlockDeviceMappings, func(m model.InstanceBlockDeviceMapping) []string { return values(*m.Ebs) })
	}
}

// instanceListing has the filters of DescribeInstances in the EC2 API
// reference.
var instanceListing = listing[*instance]{fields: filter.Fields[instanceRow]{
	"affinity":                          never[instanceRow],
	"architecture":                      func(r instanceRow) []string { return word(r.shown.Architecture) },
	"availability-zone":                 func(r instanceRow) []string { return word(r.shown.Placement.AvailabilityZone) },
	"boot-mode":                         func(r instanceRow) []string { return word(r.shown.BootMode) },
	"client-token":                      func(r instanceRow) []string { return word(r.shown.ClientToken) },
	"current-instance-boot-mode":        func(r instanceRow) []string { return word(r.shown.CurrentInstanceBootMode) },
	"dns-name":                          func(r instanceRow) []string { return word(r.shown.PublicDnsName) },
	"ebs-optimized":                     func(r instanceRow) []string { return flag(r.shown.EbsOptimized) },
	"ena-support":                       func(r instanceRow) []string { return flag(r.shown.EnaSupport) },
	"enclave-options.enabled":           func(r instanceRow) []string { return flag(r.shown.EnclaveOptions.Enabled) },
	"hibernation-options.configured":    func(r instanceRow) []string { return flag(r.shown.HibernationOptions.Configured) },
	"host-id":                           never[instanceRow],
	"hypervisor":                        func(r instanceRow) []string { return word(r.shown.Hypervisor) },
	"image-id":                          func(r instanceRow) []string { return word(r.shown.ImageId) },
	"instance-id":                       func(r instanceRow) []string { return word(r.shown.InstanceId) },
	"instance-lifecycle":                never[instanceRow],
	"instance-state-code":               func(r instanceRow) []string { return number(r.shown.State.Code) },
	"instance-state-name":               func(r instanceRow) []string { return word(r.shown.State.Name) },
	"instance-type":                     func(r instanceRow) []string { return word(r.shown.InstanceType) },
	"instance.group-id":                 func(r instanceRow) []string { return each(r.shown.SecurityGroups, groupID) },
	"instance.group-name":               func(r instanceRow) []string { return each(r.shown.SecurityGroups, groupName) },
	"ip-address":                        func(r instanceRow) []string { return word(r.shown.PublicIpAddress) },
	"ipv6-address":                      func(r instanceRow) []string { return word(r.shown.Ipv6Address) },
	"kernel-id":                         func(r instanceRow) []string { return word(r.shown.KernelId) },
	"key-name":                          func(r instanceRow) []string { return word(r.shown.KeyName) },
	"launch-index":                      func(r instanceRow) []string { return number(r.shown.AmiLaunchIndex) },
	"launch-time":                       func(r instanceRow) []string { return moment(r.shown.LaunchTime) },
	"maintenance-options.auto-recovery": func(r instanceRow) []string { return word(r.shown.MaintenanceOptions.AutoRecovery) },
	"monitoring-state":                  func(r instanceRow) []string { return word(r.shown.Monitoring.State) },
	"outpost-arn":                       never[instanceRow],
	"owner-id":                          func(r instanceRow) []string { return []string{string(r.shown.owner)} },
	"placement-group-name":              func(r instanceRow) []string { return word(r.shown.Placement.GroupName) },
	"placement-partition-number":        func(r instanceRow) []string { return number(r.shown.Placement.PartitionNumber) },
	"platform":                          never[instanceRow],
	"platform-details":                  func(r instanceRow) []string { return word(r.shown.PlatformDetails) },
	"private-dns-name":                  func(r instanceRow) []string { return word(r.shown.PrivateDnsName) },
	"private-ip-address":                func(r instanceRow) []string { return word(r.shown.PrivateIpAddress) },
	"product-code":                      never[instanceRow],
	"product-code.type":                 never[instanceRow],
	"ramdisk-id":                        func(r instanceRow) []string { return word(r.shown.RamdiskId) },
	"reason":                            func(r instanceRow) []string { return word(r.shown.StateTransitionReason) },
	"requester-id":                      never[instanceRow],
	"reservation-id":                    func(r instanceRow) []string { return []string{string(r.shown.reservation)} },
	"root-device-name":                  func(r instanceRow) []string { return word(r.shown.RootDeviceName) },
	"root-device-type":                  func(r instanceRow) []string { return word(r.shown.RootDeviceType) },
	"source-dest-check":                 func(r instanceRow) []string { return flag(r.shown.SourceDestCheck) },
	"spot-instance-request-id":          never[instanceRow],
	"state-reason-code":                 func(r instanceRow) []string { return word(value(r.shown.StateReason).Code) },
	"state-reason-message":              func(r instanceRow) []string { return word(value(r.shown.StateReason).Message) },
	"subnet-id":                         func(r instanceRow) []string { return word(r.shown.SubnetId) },
	"tenancy":                           func(r instanceRow) []string { return word(r.shown.Placement.Tenancy) },
	"tpm-support":                       never[instanceRow],
	"usage-operation":                   func(r instanceRow) []string { return word(r.shown.UsageOperation) },
	"usage-operation-update-time":       func(r instanceRow) []string { return moment(r.shown.UsageOperationUpdateTime) },
	"virtualization-type":               func(r instanceRow) []string { return word(r.shown.VirtualizationType) },
	"vpc-id":                            func(r instanceRow) []string { return word(r.shown.VpcId) },

	"block-device-mapping.attach-time":           disks(func(d model.EbsInstanceBlockDevice) []string { return moment(d.AttachTime) }),
	"block-device-mapping.delete-on-termination": disks(func(d model.EbsInstanceBlockDevice) []string { return flag(d.DeleteOnTermination) }),
	"block-device-mapping.device-name": func(r instanceRow) []string {
		return each(r.shown.BlockDeviceMappings, func(m model.InstanceBlockDeviceMapping) []string { return word(m.DeviceName) })
	},
	"block-device-mapping.status":    disks(func(d model.EbsInstanceBlockDevice) []string { return word(d.Status) }),
	"block-device-mapping.volume-id": disks(func(d model.EbsInstanceBlockDevice) []string { return word(d.VolumeId) }),

	"capacity-reservation-id": never[instanceRow],
	"capacity-reservation-specification.capacity-reservation-preference": func(r instanceRow) []string {
		return word(r.shown.CapacityReservationSpecification.CapacityReservationPreference)
	},
	"capacity-reservation-specification.capacity-reservation-target.capacity-reservation-id":                 never[instanceRow],
	"capacity-reservation-specification.capacity-reservation-target.capacity-reservation-resource-group-arn": never[instanceRow],

	"iam-instance-profile.arn":  never[instanceRow],
	"iam-instance-profile.id":   never[instanceRow],
	"iam-instance-profile.name": never[instanceRow],

	"metadata-options.http-endpoint":      func(r instanceRow) []string { return word(r.shown.MetadataOptions.HttpEndpoint) },
	"metadata-options.http-protocol-ipv4": func(r instanceRow) []string { return []string{"enabled"} },
	"metadata-options.http-protocol-ipv6": func(r instanceRow) []string { return word(r.shown.MetadataOptions.HttpProtocolIpv6) },
	"metadata-options.http-put-response-hop-limit": func(r instanceRow) []string {
		return number(r.shown.MetadataOptions.HttpPutResponseHopLimit)
	},
	"metadata-options.http-tokens":            func(r instanceRow) []string { return word(r.shown.MetadataOptions.HttpTokens) },
	"metadata-options.instance-metadata-tags": func(r instanceRow) []string { return word(r.shown.MetadataOptions.InstanceMetadataTags) },
	"metadata-options.state":                  func(r instanceRow) []string { return word(r.shown.MetadataOptions.State) },

	"private-dns-name-options.enable-resource-name-dns-a-record": func(r instanceRow) []string {
		return flag(r.shown.PrivateDnsNameOptions.EnableResourceNameDnsARecord)
	},
	"private-dns-name-options.enable-resource-name-dns-aaaa-record": func(r instanceRow) []string {
		return flag(r.shown.PrivateDnsNameOptions.EnableResourceNameDnsAAAARecord)
	},
	"private-dns-name-options.hostname-type": func(r instanceRow) []string { return word(r.shown.PrivateDnsNameOptions.HostnameType) },

	"network-interface.addresses.association.allocation-id":     elastic(allocation),
	"network-interface.addresses.association.association-id":    elastic(association),
	"network-interface.addresses.association.carrier-ip":        never[instanceRow],
	"network-interface.addresses.association.customer-owned-ip": never[instanceRow],
	"network-interface.addresses.association.ip-owner-id":       associations(func(a model.InstanceNetworkInterfaceAssociation) []string { return word(a.IpOwnerId) }),
	"network-interface.addresses.association.public-dns-name":   associations(func(a model.InstanceNetworkInterfaceAssociation) []string { return word(a.PublicDnsName) }),
	"network-interface.addresses.association.public-ip":         associations(func(a model.InstanceNetworkInterfaceAssociation) []string { return word(a.PublicIp) }),
	"network-interface.addresses.primary":                       addresses(func(a model.InstancePrivateIpAddress) []string { return flag(a.Primary) }),
	"network-interface.addresses.private-dns-name":              addresses(func(a model.InstancePrivateIpAddress) []string { return word(a.PrivateDnsName) }),
	"network-interface.addresses.private-ip-address":            addresses(func(a model.InstancePrivateIpAddress) []string { return word(a.PrivateIpAddress) }),
	"network-interface.association.allocation-id":               elastic(allocation),
	"network-interface.association.association-id":              elastic(association),
	"network-interface.association.carrier-ip":                  never[instanceRow],
	"network-interface.association.customer-owned-ip":           never[instanceRow],
	"network-interface.association.ip-owner-id":                 associations(func(a model.InstanceNetworkInterfaceAssociation) []string { return word(a.IpOwnerId) }),
	"network-interface.association.public-dns-name":             associations(func(a model.InstanceNetworkInterfaceAssociation) []string { return word(a.PublicDnsName) }),
	"network-interface.association.public-ip":                   associations(func(a model.InstanceNetworkInterfaceAssociation) []string { return word(a.PublicIp) }),

	"network-interface.attachment.attach-time":           nics(func(n nic) []string { return moment(n.Attachment.AttachTime) }),
	"network-interface.attachment.attachment-id":         nics(func(n nic) []string { return word(n.Attachment.AttachmentId) }),
	"network-interface.attachment.delete-on-termination": nics(func(n nic) []string { return flag(n.Attachment.DeleteOnTermination) }),
	"network-interface.attachment.device-index":          nics(func(n nic) []string { return number(n.Attachment.DeviceIndex) }),
	"network-interface.attachment.instance-id":           withNIC(func(r instanceRow) []string { return word(r.shown.InstanceId) }),
	"network-interface.attachment.instance-owner-id":     withNIC(func(r instanceRow) []string { return []string{string(r.shown.owner)} }),
	"network-interface.attachment.network-card-index":    nics(func(n nic) []string { return number(n.Attachment.NetworkCardIndex) }),
	"network-interface.attachment.status":                nics(func(n nic) []string { return word(n.Attachment.Status) }),

	"network-interface.availability-zone":    withNIC(func(r instanceRow) []string { return word(r.shown.Placement.AvailabilityZone) }),
	"network-interface.deny-all-igw-traffic": nics(func(nic) []string { return []string{"false"} }),
	"network-interface.description":          nics(func(n nic) []string { return word(n.Description) }),
	"network-interface.group-id":             nics(func(n nic) []string { return each(n.Groups, groupID) }),
	"network-interface.group-name":           nics(func(n nic) []string { return each(n.Groups, groupName) }),
	"network-interface.ipv4-prefixes.ipv4-prefix": nics(func(n nic) []string {
		return each(n.Ipv4Prefixes, func(p model.InstanceIpv4Prefix) []string { return word(p.Ipv4Prefix) })
	}),
	"network-interface.ipv6-address":                nics(ipv6Addresses),
	"network-interface.ipv6-addresses.ipv6-address": nics(ipv6Addresses),
	"network-interface.ipv6-addresses.is-primary-ipv6": nics(func(n nic) []string {
		return each(n.Ipv6Addresses, func(a model.InstanceIpv6Address) []string { return flag(a.IsPrimaryIpv6) })
	}),
	"network-interface.ipv6-native": nics(func(n nic) []string { return []string{strconv.FormatBool(len(n.PrivateIpAddresses) == 0)} }),
	"network-interface.ipv6-prefixes.ipv6-prefix": nics(func(n nic) []string {
		return each(n.Ipv6Prefixes, func(p model.InstanceIpv6Prefix) []string { return word(p.Ipv6Prefix) })
	}),
	"network-interface.mac-address":          nics(func(n nic) []string { return word(n.MacAddress) }),
	"network-interface.network-interface-id": nics(func(n nic) []string { return word(n.NetworkInterfaceId) }),
	"network-interface.outpost-arn":          never[instanceRow],
	"network-interface.owner-id":             nics(func(n nic) []string { return word(n.OwnerId) }),
	"network-interface.private-dns-name":     nics(func(n nic) []string { return word(n.PrivateDnsName) }),
	"network-interface.private-ip-address":   nics(func(n nic) []string { return word(n.PrivateIpAddress) }),
	"network-interface.public-dns-name":      associations(func(a model.InstanceNetworkInterfaceAssociation) []string { return word(a.PublicDnsName) }),
	"network-interface.requester-id":         never[instanceRow],
	"network-interface.requester-managed":    nics(func(nic) []string { return []string{"false"} }),
	"network-interface.source-dest-check":    nics(func(n nic) []string { return flag(n.SourceDestCheck) }),
	"network-interface.status":               nics(func(n nic) []string { return word(n.Status) }),
	"network-interface.subnet-id":            nics(func(n nic) []string { return word(n.SubnetId) }),
	"network-interface.vpc-id":               nics(func(n nic) []string { return word(n.VpcId) }),
	"network-interface.tag-key": func(r instanceRow) (keys []string) {
		for _, t := range r.shown.nicTags() {
			keys = append(keys, t.Key)
		}
		return keys
	},
	"network-interface.tag-value": func(r instanceRow) (values []string) {
		for _, t := range r.shown.nicTags() {
			values = append(values, t.Value)
		}
		return values
	},
}}

// withNIC is a filter on what an interface shares with its instance.
func withNIC(values func(instanceRow) []string) func(instanceRow) []string {
	return func(r instanceRow) []string {
		if len(r.shown.NetworkInterfaces) == 0 {
			return nil
		}
		return values(r)
	}
}

func groupID(g model.GroupIdentifier) []string   { return word(g.GroupId) }
func groupName(g model.GroupIdentifier) []string { return word(g.GroupName) }
