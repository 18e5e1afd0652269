package ec2

import (
	"encoding/json"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"skerry/events"
)

// described is a describe action: where its rows are in the document, and for
// each filter of the EC2 API reference where the row shows what it filters by.
// A path may begin with ^ for the element around the row's list; - says that no
// row here has such a thing; =TEXT that every row has this value, and
// =TEXT@path that those have it that show the path; ~ that what it filters by is
// not shown, and has a test of its own.
type described struct {
	action  string
	params  []string
	rows    string
	up      string // the element around, when rows are nested
	id      string
	filters string
	fields  []string // names that are implemented
}

func names[R any](m map[string]func(R) []string) []string { return slices.Sorted(maps.Keys(m)) }

var describes = []described{
	{action: "DescribeRegions", rows: "regionInfo/item", id: "regionName", fields: names(regionListing.fields), filters: `
		endpoint regionEndpoint
		opt-in-status optInStatus
		region-name regionName`},
	{action: "DescribeAvailabilityZones", rows: "availabilityZoneInfo/item", id: "zoneName", fields: names(zoneListing.fields), filters: `
		group-name groupName
		message messageSet/item/message
		opt-in-status optInStatus
		parent-zone-id -
		parent-zone-name -
		region-name regionName
		state zoneState
		zone-id zoneId
		zone-name zoneName
		zone-type zoneType`},
	{action: "DescribeInstanceTypeOfferings", params: []string{"LocationType", "availability-zone-id"}, rows: "instanceTypeOfferingSet/item", id: "instanceType location",
		fields: names(offeringListing.fields), filters: `
		instance-type instanceType
		location location`},
	{action: "DescribeInstanceTypes", rows: "instanceTypeSet/item", id: "instanceType", fields: names(typeListing.fields), filters: `
		auto-recovery-supported autoRecoverySupported
		bare-metal bareMetal
		burstable-performance-supported burstablePerformanceSupported
		current-generation currentGeneration
		dedicated-hosts-supported dedicatedHostsSupported
		ebs-info.ebs-optimized-info.baseline-bandwidth-in-mbps -
		ebs-info.ebs-optimized-info.baseline-iops -
		ebs-info.ebs-optimized-info.baseline-throughput-in-mbps -
		ebs-info.ebs-optimized-info.maximum-bandwidth-in-mbps -
		ebs-info.ebs-optimized-info.maximum-iops -
		ebs-info.ebs-optimized-info.maximum-throughput-in-mbps -
		ebs-info.ebs-optimized-support ebsInfo/ebsOptimizedSupport
		ebs-info.encryption-support ebsInfo/encryptionSupport
		ebs-info.nvme-support ebsInfo/nvmeSupport
		free-tier-eligible freeTierEligible
		hibernation-supported hibernationSupported
		hypervisor hypervisor
		instance-storage-info.disk.count instanceStorageInfo/disks/item/count
		instance-storage-info.disk.size-in-gb instanceStorageInfo/disks/item/sizeInGB
		instance-storage-info.disk.type instanceStorageInfo/disks/item/type
		instance-storage-info.encryption-support instanceStorageInfo/encryptionSupport
		instance-storage-info.nvme-support instanceStorageInfo/nvmeSupport
		instance-storage-info.total-size-in-gb instanceStorageInfo/totalSizeInGB
		instance-storage-supported instanceStorageSupported
		instance-type instanceType
		memory-info.size-in-mib memoryInfo/sizeInMiB
		network-info.efa-info.maximum-efa-interfaces -
		network-info.efa-supported networkInfo/efaSupported
		network-info.ena-support networkInfo/enaSupport
		network-info.encryption-in-transit-supported networkInfo/encryptionInTransitSupported
		network-info.ipv4-addresses-per-interface networkInfo/ipv4AddressesPerInterface
		network-info.ipv6-addresses-per-interface networkInfo/ipv6AddressesPerInterface
		network-info.ipv6-supported networkInfo/ipv6Supported
		network-info.maximum-network-cards networkInfo/maximumNetworkCards
		network-info.maximum-network-interfaces networkInfo/maximumNetworkInterfaces
		network-info.network-performance networkInfo/networkPerformance
		nitro-enclaves-support nitroEnclavesSupport
		nitro-tpm-support nitroTpmSupport
		nitro-tpm-info.supported-versions -
		processor-info.supported-architecture processorInfo/supportedArchitectures/item
		processor-info.sustained-clock-speed-in-ghz processorInfo/sustainedClockSpeedInGhz
		processor-info.supported-features -
		supported-boot-mode supportedBootModes/item
		supported-root-device-type supportedRootDeviceTypes/item
		supported-usage-class supportedUsageClasses/item
		supported-virtualization-type supportedVirtualizationTypes/item
		vcpu-info.default-cores vCpuInfo/defaultCores
		vcpu-info.default-threads-per-core vCpuInfo/defaultThreadsPerCore
		vcpu-info.default-vcpus vCpuInfo/defaultVCpus
		vcpu-info.valid-cores vCpuInfo/validCores/item
		vcpu-info.valid-threads-per-core vCpuInfo/validThreadsPerCore/item`},
	{action: "DescribeTags", rows: "tagSet/item", id: "resourceId key", fields: names(tagListing.fields), filters: `
		key key
		resource-id resourceId
		resource-type resourceType
		value value
		tag-key key
		tag-value value`},
	{action: "DescribeKeyPairs", rows: "keySet/item", id: "keyName", fields: names(keyListing.fields), filters: `
		key-pair-id keyPairId
		fingerprint keyFingerprint
		key-name keyName
		tag-key tagSet/item/key
		tag-value tagSet/item/value`},
	{action: "DescribeImages", rows: "imagesSet/item", id: "imageId", fields: names(imageListing.fields), filters: `
		architecture architecture
		block-device-mapping.delete-on-termination blockDeviceMapping/item/ebs/deleteOnTermination
		block-device-mapping.device-name blockDeviceMapping/item/deviceName
		block-device-mapping.snapshot-id blockDeviceMapping/item/ebs/snapshotId
		block-device-mapping.volume-size blockDeviceMapping/item/ebs/volumeSize
		block-device-mapping.volume-type blockDeviceMapping/item/ebs/volumeType
		block-device-mapping.encrypted blockDeviceMapping/item/ebs/encrypted
		creation-date creationDate
		description description
		ena-support enaSupport
		hypervisor hypervisor
		image-id imageId
		image-type imageType
		is-public isPublic
		kernel-id kernelId
		manifest-location imageLocation
		name name
		owner-alias imageOwnerAlias
		owner-id imageOwnerId
		platform -
		product-code -
		product-code.type -
		ramdisk-id ramdiskId
		root-device-name rootDeviceName
		root-device-type rootDeviceType
		source-instance-id -
		state imageState
		state-reason-code -
		state-reason-message -
		sriov-net-support -
		tag-key tagSet/item/key
		tag-value tagSet/item/value
		virtualization-type virtualizationType`},
	{action: "DescribeInstanceStatus", params: []string{"IncludeAllInstances", "true"}, rows: "instanceStatusSet/item", id: "instanceId", fields: names(statusListing.fields), filters: `
		availability-zone availabilityZone
		event.code -
		event.description -
		event.instance-event-id -
		event.not-after -
		event.not-before -
		event.not-before-deadline -
		instance-state-code instanceState/code
		instance-state-name instanceState/name
		instance-status.reachability instanceStatus/details/item/status
		instance-status.status instanceStatus/status
		system-status.reachability systemStatus/details/item/status
		system-status.status systemStatus/status`},
	{action: "DescribeVpcs", rows: "vpcSet/item", id: "vpcId", fields: names(vpcListing.fields), filters: `
		cidr cidrBlock
		cidr-block-association.cidr-block cidrBlockAssociationSet/item/cidrBlock
		cidr-block-association.association-id cidrBlockAssociationSet/item/associationId
		cidr-block-association.state cidrBlockAssociationSet/item/cidrBlockState/state
		dhcp-options-id dhcpOptionsId
		ipv6-cidr-block-association.ipv6-cidr-block ipv6CidrBlockAssociationSet/item/ipv6CidrBlock
		ipv6-cidr-block-association.ipv6-pool ipv6CidrBlockAssociationSet/item/ipv6Pool
		ipv6-cidr-block-association.association-id ipv6CidrBlockAssociationSet/item/associationId
		ipv6-cidr-block-association.state ipv6CidrBlockAssociationSet/item/ipv6CidrBlockState/state
		is-default isDefault
		isDefault isDefault
		owner-id ownerId
		state state
		tag-key tagSet/item/key
		tag-value tagSet/item/value
		vpc-id vpcId`},
	{action: "DescribeSubnets", rows: "subnetSet/item", id: "subnetId", fields: names(subnetListing.fields), filters: `
		availability-zone availabilityZone
		availabilityZone availabilityZone
		availability-zone-id availabilityZoneId
		availabilityZoneId availabilityZoneId
		available-ip-address-count availableIpAddressCount
		cidr cidrBlock
		cidr-block cidrBlock
		cidrBlock cidrBlock
		customer-owned-ipv4-pool -
		default-for-az defaultForAz
		defaultForAz defaultForAz
		enable-dns64 enableDns64
		enable-lni-at-device-index -
		ipv6-cidr-block-association.ipv6-cidr-block ipv6CidrBlockAssociationSet/item/ipv6CidrBlock
		ipv6-cidr-block-association.association-id ipv6CidrBlockAssociationSet/item/associationId
		ipv6-cidr-block-association.state ipv6CidrBlockAssociationSet/item/ipv6CidrBlockState/state
		ipv6-native ipv6Native
		map-customer-owned-ip-on-launch mapCustomerOwnedIpOnLaunch
		map-public-ip-on-launch mapPublicIpOnLaunch
		outpost-arn -
		owner-id ownerId
		private-dns-name-options-on-launch.hostname-type privateDnsNameOptionsOnLaunch/hostnameType
		private-dns-name-options-on-launch.enable-resource-name-dns-a-record privateDnsNameOptionsOnLaunch/enableResourceNameDnsARecord
		private-dns-name-options-on-launch.enable-resource-name-dns-aaaa-record privateDnsNameOptionsOnLaunch/enableResourceNameDnsAAAARecord
		state state
		subnet-arn subnetArn
		subnet-id subnetId
		tag-key tagSet/item/key
		tag-value tagSet/item/value
		vpc-id vpcId`},
	{action: "DescribeSecurityGroups", rows: "securityGroupInfo/item", id: "groupId", fields: names(groupListing.fields), filters: `
		description groupDescription
		egress.ip-permission.cidr ipPermissionsEgress/item/ipRanges/item/cidrIp
		egress.ip-permission.from-port ipPermissionsEgress/item/fromPort
		egress.ip-permission.group-id ipPermissionsEgress/item/groups/item/groupId
		egress.ip-permission.group-name ~
		egress.ip-permission.ipv6-cidr ipPermissionsEgress/item/ipv6Ranges/item/cidrIpv6
		egress.ip-permission.prefix-list-id ipPermissionsEgress/item/prefixListIds/item/prefixListId
		egress.ip-permission.protocol ipPermissionsEgress/item/ipProtocol
		egress.ip-permission.to-port ipPermissionsEgress/item/toPort
		egress.ip-permission.user-id ipPermissionsEgress/item/groups/item/userId
		group-id groupId
		group-name groupName
		ip-permission.cidr ipPermissions/item/ipRanges/item/cidrIp
		ip-permission.from-port ipPermissions/item/fromPort
		ip-permission.group-id ipPermissions/item/groups/item/groupId
		ip-permission.group-name ~
		ip-permission.ipv6-cidr ipPermissions/item/ipv6Ranges/item/cidrIpv6
		ip-permission.prefix-list-id ipPermissions/item/prefixListIds/item/prefixListId
		ip-permission.protocol ipPermissions/item/ipProtocol
		ip-permission.to-port ipPermissions/item/toPort
		ip-permission.user-id ipPermissions/item/groups/item/userId
		owner-id ownerId
		tag-key tagSet/item/key
		tag-value tagSet/item/value
		vpc-id vpcId`},
	{action: "DescribeInternetGateways", rows: "internetGatewaySet/item", id: "internetGatewayId", fields: names(gatewayListing.fields), filters: `
		attachment.state attachmentSet/item/state
		attachment.vpc-id attachmentSet/item/vpcId
		internet-gateway-id internetGatewayId
		owner-id ownerId
		tag-key tagSet/item/key
		tag-value tagSet/item/value`},
	{action: "DescribeNetworkAcls", rows: "networkAclSet/item", id: "networkAclId", fields: names(aclListing.fields), filters: `
		association.association-id associationSet/item/networkAclAssociationId
		association.network-acl-id associationSet/item/networkAclId
		association.subnet-id associationSet/item/subnetId
		default default
		entry.cidr entrySet/item/cidrBlock
		entry.egress entrySet/item/egress
		entry.icmp.code entrySet/item/icmpTypeCode/code
		entry.icmp.type entrySet/item/icmpTypeCode/type
		entry.ipv6-cidr entrySet/item/ipv6CidrBlock
		entry.port-range.from entrySet/item/portRange/from
		entry.port-range.to entrySet/item/portRange/to
		entry.protocol entrySet/item/protocol
		entry.rule-action entrySet/item/ruleAction
		entry.rule-number entrySet/item/ruleNumber
		network-acl-id networkAclId
		owner-id ownerId
		tag-key tagSet/item/key
		tag-value tagSet/item/value
		vpc-id vpcId`},
	{action: "DescribeNatGateways", rows: "natGatewaySet/item", id: "natGatewayId", fields: names(natListing.fields), filters: `
		nat-gateway-id natGatewayId
		state state
		subnet-id subnetId
		tag-key tagSet/item/key
		tag-value tagSet/item/value
		vpc-id vpcId`},
	{action: "DescribeEgressOnlyInternetGateways", rows: "egressOnlyInternetGatewaySet/item", id: "egressOnlyInternetGatewayId", fields: names(egressListing.fields), filters: `
		tag-key tagSet/item/key
		tag-value tagSet/item/value`},
	{action: "DescribeVpcPeeringConnections", rows: "vpcPeeringConnectionSet/item", id: "vpcPeeringConnectionId", fields: names(peeringListing.fields), filters: `
		accepter-vpc-info.cidr-block accepterVpcInfo/cidrBlock
		accepter-vpc-info.owner-id accepterVpcInfo/ownerId
		accepter-vpc-info.vpc-id accepterVpcInfo/vpcId
		expiration-time expirationTime
		requester-vpc-info.cidr-block requesterVpcInfo/cidrBlock
		requester-vpc-info.owner-id requesterVpcInfo/ownerId
		requester-vpc-info.vpc-id requesterVpcInfo/vpcId
		status-code status/code
		status-message status/message
		tag-key tagSet/item/key
		tag-value tagSet/item/value
		vpc-peering-connection-id vpcPeeringConnectionId`},
	{action: "DescribeCustomerGateways", rows: "customerGatewaySet/item", id: "customerGatewayId", fields: names(customerListing.fields), filters: `
		bgp-asn bgpAsn
		customer-gateway-id customerGatewayId
		ip-address ipAddress
		state state
		tag-key tagSet/item/key
		tag-value tagSet/item/value
		type type`},
	{action: "DescribeVpnGateways", rows: "vpnGatewaySet/item", id: "vpnGatewayId", fields: names(vpnGatewayListing.fields), filters: `
		amazon-side-asn amazonSideAsn
		attachment.state attachments/item/state
		attachment.vpc-id attachments/item/vpcId
		availability-zone availabilityZone
		state state
		tag-key tagSet/item/key
		tag-value tagSet/item/value
		type type
		vpn-gateway-id vpnGatewayId`},
	{action: "DescribeVpnConnections", rows: "vpnConnectionSet/item", id: "vpnConnectionId", fields: names(vpnListing.fields), filters: `
		bgp-asn ~
		customer-gateway-configuration ~
		customer-gateway-id customerGatewayId
		option.static-routes-only options/staticRoutesOnly
		route.destination-cidr-block routes/item/destinationCidrBlock
		state state
		tag-key tagSet/item/key
		tag-value tagSet/item/value
		transit-gateway-id -
		type type
		vpn-connection-id vpnConnectionId
		vpn-gateway-id vpnGatewayId`},
	{action: "DescribeManagedPrefixLists", rows: "prefixListSet/item", id: "prefixListId", fields: names(prefixListListing.fields), filters: `
		owner-id ownerId
		prefix-list-id prefixListId
		prefix-list-name prefixListName`},
	{action: "DescribePublicIpv4Pools", rows: "publicIpv4PoolSet/item", id: "poolId", fields: names(poolListing.fields), filters: `
		tag-key tagSet/item/key
		tag-value tagSet/item/value`},
	{action: "DescribeFlowLogs", rows: "flowLogSet/item", id: "flowLogId", fields: names(flowLogListing.fields), filters: `
		deliver-log-status deliverLogsStatus
		flow-log-id flowLogId
		log-destination-type logDestinationType
		log-group-name logGroupName
		resource-id resourceId
		tag-key tagSet/item/key
		tag-value tagSet/item/value
		traffic-type trafficType`},
	{action: "DescribeDhcpOptions", rows: "dhcpOptionsSet/item", id: "dhcpOptionsId", fields: names(dhcpListing.fields), filters: `
		dhcp-options-id dhcpOptionsId
		key dhcpConfigurationSet/item/key
		owner-id ownerId
		tag-key tagSet/item/key
		tag-value tagSet/item/value
		value dhcpConfigurationSet/item/valueSet/item/value`},
	{action: "DescribeRouteTables", rows: "routeTableSet/item", id: "routeTableId", fields: names(tableListing.fields), filters: `
		association.gateway-id associationSet/item/gatewayId
		association.main associationSet/item/main
		association.route-table-association-id associationSet/item/routeTableAssociationId
		association.route-table-id associationSet/item/routeTableId
		association.subnet-id associationSet/item/subnetId
		owner-id ownerId
		route-table-id routeTableId
		route.destination-cidr-block routeSet/item/destinationCidrBlock
		route.destination-ipv6-cidr-block routeSet/item/destinationIpv6CidrBlock
		route.destination-prefix-list-id routeSet/item/destinationPrefixListId
		route.egress-only-internet-gateway-id routeSet/item/egressOnlyInternetGatewayId
		route.gateway-id routeSet/item/gatewayId
		route.instance-id routeSet/item/instanceId
		route.nat-gateway-id routeSet/item/natGatewayId
		route.origin routeSet/item/origin
		route.state routeSet/item/state
		route.transit-gateway-id -
		route.vpc-peering-connection-id routeSet/item/vpcPeeringConnectionId
		tag-key tagSet/item/key
		tag-value tagSet/item/value
		vpc-id vpcId`},
	{action: "DescribeNetworkInterfaces", rows: "networkInterfaceSet/item", id: "networkInterfaceId", fields: names(interfaceListing.fields), filters: `
		addresses.association.owner-id privateIpAddressesSet/item/association/ipOwnerId
		addresses.association.public-ip privateIpAddressesSet/item/association/publicIp
		addresses.primary privateIpAddressesSet/item/primary
		addresses.private-ip-address privateIpAddressesSet/item/privateIpAddress
		association.allocation-id association/allocationId
		association.association-id association/associationId
		association.ip-owner-id association/ipOwnerId
		association.public-dns-name association/publicDnsName
		association.public-ip association/publicIp
		attachment.attach-time attachment/attachTime
		attachment.attachment-id attachment/attachmentId
		attachment.delete-on-termination attachment/deleteOnTermination
		attachment.device-index attachment/deviceIndex
		attachment.instance-id attachment/instanceId
		attachment.instance-owner-id attachment/instanceOwnerId
		attachment.nat-gateway-id -
		attachment.status attachment/status
		availability-zone availabilityZone
		description description
		group-id groupSet/item/groupId
		group-name groupSet/item/groupName
		interface-type interfaceType
		ipv6-addresses.ipv6-address ipv6AddressesSet/item/ipv6Address
		mac-address macAddress
		network-interface-id networkInterfaceId
		owner-id ownerId
		private-dns-name privateDnsName
		private-ip-address privateIpAddress
		requester-id requesterId
		requester-managed requesterManaged
		source-dest-check sourceDestCheck
		status status
		subnet-id subnetId
		tag-key tagSet/item/key
		tag-value tagSet/item/value
		vpc-id vpcId`},
	{action: "DescribeSecurityGroupRules", rows: "securityGroupRuleSet/item", id: "securityGroupRuleId", fields: names(ruleListing.fields), filters: `
		group-id groupId
		security-group-rule-id securityGroupRuleId
		tag-key tagSet/item/key
		tag-value tagSet/item/value`},
	{action: "DescribeAddresses", rows: "addressesSet/item", id: "publicIp", fields: names(addressListing.fields), filters: `
		allocation-id allocationId
		association-id associationId
		domain domain
		instance-id instanceId
		network-border-group networkBorderGroup
		network-interface-id networkInterfaceId
		network-interface-owner-id networkInterfaceOwnerId
		private-ip-address privateIpAddress
		public-ip publicIp
		tag-key tagSet/item/key
		tag-value tagSet/item/value`},
	{action: "DescribeVolumes", rows: "volumeSet/item", id: "volumeId", fields: names(volumeListing.fields), filters: `
		attachment.attach-time attachmentSet/item/attachTime
		attachment.delete-on-termination attachmentSet/item/deleteOnTermination
		attachment.device attachmentSet/item/device
		attachment.instance-id attachmentSet/item/instanceId
		attachment.status attachmentSet/item/status
		availability-zone availabilityZone
		create-time createTime
		encrypted encrypted
		fast-restored -
		multi-attach-enabled multiAttachEnabled
		size size
		snapshot-id snapshotId
		status status
		tag-key tagSet/item/key
		tag-value tagSet/item/value
		volume-id volumeId
		volume-type volumeType`},
	{action: "DescribeVolumeStatus", rows: "volumeStatusSet/item", id: "volumeId", fields: names(volumeStatusListing.fields), filters: `
		action.code -
		action.description -
		action.event-id -
		availability-zone availabilityZone
		event.description -
		event.event-id -
		event.event-type -
		event.not-after -
		event.not-before -
		volume-status.details-name volumeStatus/details/item/name
		volume-status.details-status volumeStatus/details/item/status
		volume-status.status volumeStatus/status`},
	{action: "DescribeSnapshots", params: []string{"Owner.1", "self", "Owner.2", bob}, rows: "snapshotSet/item", id: "snapshotId", fields: names(snapshotListing.fields), filters: `
		description description
		encrypted encrypted
		owner-alias -
		owner-id ownerId
		progress progress
		snapshot-id snapshotId
		start-time startTime
		status status
		storage-tier storageTier
		tag-key tagSet/item/key
		tag-value tagSet/item/value
		volume-id volumeId
		volume-size volumeSize`},
	{action: "DescribeVolumesModifications", rows: "volumeModificationSet/item", id: "volumeId", fields: names(modificationListing.fields), filters: `
		modification-state modificationState
		original-iops originalIops
		original-size originalSize
		original-volume-type originalVolumeType
		originalMultiAttachEnabled originalMultiAttachEnabled
		start-time startTime
		target-iops targetIops
		target-size targetSize
		target-volume-type targetVolumeType
		targetMultiAttachEnabled targetMultiAttachEnabled
		volume-id volumeId`},
	{action: "DescribePlacementGroups", rows: "placementGroupSet/item", id: "groupName", fields: names(placementListing.fields), filters: `
		group-arn groupArn
		group-name groupName
		spread-level spreadLevel
		state state
		strategy strategy
		tag-key tagSet/item/key
		tag-value tagSet/item/value`},
	{action: "DescribeLaunchTemplates", rows: "launchTemplates/item", id: "launchTemplateId", fields: names(templateListing.fields), filters: `
		create-time createTime
		launch-template-name launchTemplateName
		tag-key tagSet/item/key
		tag-value tagSet/item/value`},
	{action: "DescribeLaunchTemplateVersions", params: []string{"LaunchTemplateVersion.1", "$Latest", "LaunchTemplateVersion.2", "$Default"}, rows: "launchTemplateVersionSet/item",
		id: "launchTemplateId versionNumber", fields: names(versionListing.fields), filters: `
		create-time createTime
		ebs-optimized launchTemplateData/ebsOptimized
		host-resource-group-arn launchTemplateData/placement/hostResourceGroupArn
		http-endpoint launchTemplateData/metadataOptions/httpEndpoint
		http-protocol-ipv4 -
		http-tokens launchTemplateData/metadataOptions/httpTokens
		iam-instance-profile launchTemplateData/iamInstanceProfile/arn
		image-id launchTemplateData/imageId
		instance-type launchTemplateData/instanceType
		is-default-version defaultVersion
		kernel-id launchTemplateData/kernelId
		license-configuration-arn launchTemplateData/licenseSet/item/licenseConfigurationArn
		network-card-index launchTemplateData/networkInterfaceSet/item/networkCardIndex
		ram-disk-id launchTemplateData/ramDiskId`},
	{action: "DescribeInstanceCreditSpecifications", rows: "instanceCreditSpecificationSet/item", id: "instanceId", fields: names(creditListing.fields), filters: `
		instance-id instanceId`},
	{action: "DescribeInstances", up: "reservationSet/item", rows: "instancesSet/item", id: "instanceId", fields: names(instanceListing.fields), filters: `
		affinity -
		architecture architecture
		availability-zone placement/availabilityZone
		block-device-mapping.attach-time blockDeviceMapping/item/ebs/attachTime
		block-device-mapping.delete-on-termination blockDeviceMapping/item/ebs/deleteOnTermination
		block-device-mapping.device-name blockDeviceMapping/item/deviceName
		block-device-mapping.status blockDeviceMapping/item/ebs/status
		block-device-mapping.volume-id blockDeviceMapping/item/ebs/volumeId
		boot-mode -
		capacity-reservation-id -
		capacity-reservation-specification.capacity-reservation-preference capacityReservationSpecification/capacityReservationPreference
		capacity-reservation-specification.capacity-reservation-target.capacity-reservation-id -
		capacity-reservation-specification.capacity-reservation-target.capacity-reservation-resource-group-arn -
		client-token clientToken
		current-instance-boot-mode currentInstanceBootMode
		dns-name dnsName
		ebs-optimized ebsOptimized
		ena-support enaSupport
		enclave-options.enabled enclaveOptions/enabled
		hibernation-options.configured hibernationOptions/configured
		host-id -
		hypervisor hypervisor
		iam-instance-profile.arn -
		iam-instance-profile.id -
		iam-instance-profile.name -
		image-id imageId
		instance-id instanceId
		instance-lifecycle -
		instance-state-code instanceState/code
		instance-state-name instanceState/name
		instance-type instanceType
		instance.group-id groupSet/item/groupId
		instance.group-name groupSet/item/groupName
		ip-address ipAddress
		ipv6-address ipv6Address
		kernel-id kernelId
		key-name keyName
		launch-index amiLaunchIndex
		launch-time launchTime
		maintenance-options.auto-recovery maintenanceOptions/autoRecovery
		metadata-options.http-endpoint metadataOptions/httpEndpoint
		metadata-options.http-protocol-ipv4 =enabled
		metadata-options.http-protocol-ipv6 metadataOptions/httpProtocolIpv6
		metadata-options.http-put-response-hop-limit metadataOptions/httpPutResponseHopLimit
		metadata-options.http-tokens metadataOptions/httpTokens
		metadata-options.instance-metadata-tags metadataOptions/instanceMetadataTags
		metadata-options.state metadataOptions/state
		monitoring-state monitoring/state
		network-interface.addresses.association.allocation-id ~
		network-interface.addresses.association.association-id ~
		network-interface.addresses.association.carrier-ip -
		network-interface.addresses.association.customer-owned-ip -
		network-interface.addresses.association.ip-owner-id networkInterfaceSet/item/privateIpAddressesSet/item/association/ipOwnerId
		network-interface.addresses.association.public-dns-name networkInterfaceSet/item/privateIpAddressesSet/item/association/publicDnsName
		network-interface.addresses.association.public-ip networkInterfaceSet/item/privateIpAddressesSet/item/association/publicIp
		network-interface.addresses.primary networkInterfaceSet/item/privateIpAddressesSet/item/primary
		network-interface.addresses.private-dns-name networkInterfaceSet/item/privateIpAddressesSet/item/privateDnsName
		network-interface.addresses.private-ip-address networkInterfaceSet/item/privateIpAddressesSet/item/privateIpAddress
		network-interface.association.allocation-id ~
		network-interface.association.association-id ~
		network-interface.association.carrier-ip -
		network-interface.association.customer-owned-ip -
		network-interface.association.ip-owner-id networkInterfaceSet/item/association/ipOwnerId
		network-interface.association.public-dns-name networkInterfaceSet/item/association/publicDnsName
		network-interface.association.public-ip networkInterfaceSet/item/association/publicIp
		network-interface.attachment.attach-time networkInterfaceSet/item/attachment/attachTime
		network-interface.attachment.attachment-id networkInterfaceSet/item/attachment/attachmentId
		network-interface.attachment.delete-on-termination networkInterfaceSet/item/attachment/deleteOnTermination
		network-interface.attachment.device-index networkInterfaceSet/item/attachment/deviceIndex
		network-interface.attachment.instance-id instanceId@networkInterfaceSet/item
		network-interface.attachment.instance-owner-id =111111111111@networkInterfaceSet/item
		network-interface.attachment.network-card-index networkInterfaceSet/item/attachment/networkCardIndex
		network-interface.attachment.status networkInterfaceSet/item/attachment/status
		network-interface.availability-zone placement/availabilityZone@networkInterfaceSet/item
		network-interface.deny-all-igw-traffic =false@networkInterfaceSet/item
		network-interface.description networkInterfaceSet/item/description
		network-interface.group-id networkInterfaceSet/item/groupSet/item/groupId
		network-interface.group-name networkInterfaceSet/item/groupSet/item/groupName
		network-interface.ipv4-prefixes.ipv4-prefix networkInterfaceSet/item/ipv4PrefixSet/item/ipv4Prefix
		network-interface.ipv6-address networkInterfaceSet/item/ipv6AddressesSet/item/ipv6Address
		network-interface.ipv6-addresses.ipv6-address networkInterfaceSet/item/ipv6AddressesSet/item/ipv6Address
		network-interface.ipv6-addresses.is-primary-ipv6 networkInterfaceSet/item/ipv6AddressesSet/item/isPrimaryIpv6
		network-interface.ipv6-native =false@networkInterfaceSet/item
		network-interface.ipv6-prefixes.ipv6-prefix networkInterfaceSet/item/ipv6PrefixSet/item/ipv6Prefix
		network-interface.mac-address networkInterfaceSet/item/macAddress
		network-interface.network-interface-id networkInterfaceSet/item/networkInterfaceId
		network-interface.outpost-arn -
		network-interface.owner-id networkInterfaceSet/item/ownerId
		network-interface.private-dns-name networkInterfaceSet/item/privateDnsName
		network-interface.private-ip-address networkInterfaceSet/item/privateIpAddress
		network-interface.public-dns-name networkInterfaceSet/item/association/publicDnsName
		network-interface.requester-id -
		network-interface.requester-managed =false@networkInterfaceSet/item
		network-interface.status networkInterfaceSet/item/status
		network-interface.source-dest-check networkInterfaceSet/item/sourceDestCheck
		network-interface.subnet-id networkInterfaceSet/item/subnetId
		network-interface.tag-key =nic@tagSet/item
		network-interface.tag-value =one@tagSet/item
		network-interface.vpc-id networkInterfaceSet/item/vpcId
		outpost-arn -
		owner-id ^ownerId
		placement-group-name placement/groupName
		placement-partition-number -
		platform -
		platform-details platformDetails
		private-dns-name privateDnsName
		private-dns-name-options.enable-resource-name-dns-a-record privateDnsNameOptions/enableResourceNameDnsARecord
		private-dns-name-options.enable-resource-name-dns-aaaa-record privateDnsNameOptions/enableResourceNameDnsAAAARecord
		private-dns-name-options.hostname-type privateDnsNameOptions/hostnameType
		private-ip-address privateIpAddress
		product-code -
		product-code.type -
		ramdisk-id ramdiskId
		reason reason
		requester-id -
		reservation-id ^reservationId
		root-device-name rootDeviceName
		root-device-type rootDeviceType
		source-dest-check sourceDestCheck
		spot-instance-request-id -
		state-reason-code stateReason/code
		state-reason-message stateReason/message
		subnet-id subnetId
		tag-key tagSet/item/key
		tag-value tagSet/item/value
		tenancy placement/tenancy
		tpm-support -
		usage-operation usageOperation
		usage-operation-update-time usageOperationUpdateTime
		virtualization-type virtualizationType
		vpc-id vpcId`},
}

// shownRow is one row of a document and the element around it.
type shownRow struct{ row, around *node }

func (d described) read(n *node) (out []shownRow) {
	for _, u := range n.all(d.up) {
		for _, r := range u.all(d.rows) {
			out = append(out, shownRow{r, u})
		}
	}
	return out
}

func (d described) name(r shownRow) string {
	var parts []string
	for _, p := range strings.Fields(d.id) {
		parts = append(parts, r.row.text(p))
	}
	return strings.Join(parts, " ")
}

// values are what a row shows at a path of the table.
func (r shownRow) values(path string) []string {
	path, only, limited := strings.Cut(path, "@")
	switch {
	case path == "-", limited && !r.row.has(only):
		return nil
	case path[0] == '=':
		return []string{path[1:]}
	case path[0] == '^':
		return r.around.texts(path[1:])
	}
	return r.row.texts(path)
}

// Each documented filter selects exactly the rows whose document shows a
// matching value, and no other name is a filter.
func TestFilters(t *testing.T) {
	w := variety(t)
	for _, d := range describes {
		t.Run(d.action, func(t *testing.T) {
			w.t = t
			all := d.read(w.ok(alice, d.action, d.params...))
			if len(all) == 0 {
				t.Fatal("no rows to filter")
			}
			documented := []string{}
			for _, l := range strings.Split(strings.TrimSpace(d.filters), "\n") {
				name, path, _ := strings.Cut(strings.TrimSpace(l), " ")
				documented = append(documented, name)
				if path == "~" {
					continue
				}
				check := func(want func(string) bool, values ...string) {
					t.Helper()
					params := append([]string{"Filter.1.Name", name}, d.params...)
					for i, v := range values {
						params = append(params, "Filter.1.Value."+string(rune('1'+i)), v)
					}
					var expected, got []string
					for _, r := range all {
						if slices.ContainsFunc(r.values(path), want) {
							expected = append(expected, d.name(r))
						}
					}
					for _, r := range d.read(w.ok(alice, d.action, params...)) {
						got = append(got, d.name(r))
					}
					if !slices.Equal(got, expected) {
						t.Errorf("%s=%q: got %d rows %v, want %d %v", name, values, len(got), got, len(expected), expected)
					}
				}
				distinct := map[string]bool{}
				for _, r := range all {
					for _, v := range r.values(path) {
						distinct[v] = true
					}
				}
				values := slices.Sorted(maps.Keys(distinct))
				check(func(string) bool { return true }, "*")
				check(func(string) bool { return false }, "no such value")
				for _, v := range values[:min(len(values), 3)] {
					plain := strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`).Replace(v)
					check(func(s string) bool { return s == v }, plain)
				}
				if n := len(values); n > 1 {
					a, b := values[0], values[n-1]
					check(func(s string) bool { return s == a || s == b }, a, b)
					if len(b) > 2 && !strings.ContainsAny(b, `*?\`) {
						check(func(s string) bool { return strings.HasPrefix(s, b[:2]) }, b[:2]+"*")
					}
				}
			}
			for _, f := range documentedFilters(d.action) {
				if !slices.Contains(documented, f) {
					t.Errorf("the filter %s is documented and not in the table", f)
				}
			}
			for _, f := range d.fields {
				if !slices.Contains(documented, f) {
					t.Errorf("the filter %s is not in the table", f)
				}
			}
			w.fails("InvalidParameterValue", alice, d.action, append([]string{"Filter.1.Name", "elephant", "Filter.1.Value.1", "x"}, d.params...)...)
			w.fails("InvalidParameterValue", alice, d.action, append([]string{"Filter.1.Name", documented[0]}, d.params...)...)
		})
	}
}

// documentedFilters are what the public API model's texts say that an action can
// filter by, but for tag:KEY; none where the module cache has no model.
func documentedFilters(action string) (out []string) {
	op, ok := struct{ Input, Output struct{ Shape string } }{}, false
	if m := public(); m != nil {
		op, ok = m.Operations[action]
	}
	text := filterTexts()[op.Input.Shape+"$Filters"]
	if !ok || text == "" {
		return nil
	}
	for _, m := range regexp.MustCompile(`<li>\s*<p>\s*<code>([^<]+)</code>`).FindAllStringSubmatch(text, -1) {
		if !strings.HasPrefix(m[1], "tag:") && m[1] != "tag" {
			out = append(out, m[1])
		}
	}
	return out
}

// filterTexts are the model's texts about filters, by structure and member.
var filterTexts = sync.OnceValue(func() map[string]string {
	var texts struct {
		Shapes map[string]struct{ Refs map[string]string }
	}
	if b, err := os.ReadFile(publicModel("docs-2.json")); err == nil {
		if err := json.Unmarshal(b, &texts); err != nil {
			panic(err)
		}
	}
	return texts.Shapes["FilterList"].Refs
})

// variety is a world whose resources differ in what can differ.
func variety(t *testing.T) *world {
	w := newWorld(t)
	w.ok(alice, "ImportKeyPair", "KeyName", "one", "PublicKeyMaterial", encode(sshLine), "TagSpecification.1.ResourceType", "key-pair", "TagSpecification.1.Tag.1.Key", "team", "TagSpecification.1.Tag.1.Value", "red")
	w.ok(alice, "CreateKeyPair", "KeyName", "two", "KeyType", "ed25519")
	image := w.ok(alice, "RegisterImage", "Name", "mine", "Description", "A *star*", "ImageLocation", "amazon/skerry-linux",
		"TagSpecification.1.ResourceType", "image", "TagSpecification.1.Tag.1.Key", "stage", "TagSpecification.1.Tag.1.Value", "beta").text("imageId")
	dead := w.run(alice, "Placement.AvailabilityZone", "isle-1a")[0]
	w.ok(alice, "TerminateInstances", "InstanceId.1", dead)
	up := w.run(alice, "MinCount", "3", "MaxCount", "3", "InstanceType", "t3.micro", "KeyName", "one", "ClientToken", "t", "MetadataOptions.HttpTokens", "required",
		"MetadataOptions.HttpPutResponseHopLimit", "3", "MetadataOptions.InstanceMetadataTags", "enabled", "TagSpecification.1.ResourceType", "instance",
		"TagSpecification.1.Tag.1.Key", "Name", "TagSpecification.1.Tag.1.Value", "web", "TagSpecification.2.ResourceType", "network-interface",
		"TagSpecification.2.Tag.1.Key", "nic", "TagSpecification.2.Tag.1.Value", "one")
	w.place(t)
	for _, id := range up {
		w.report(t, id, events.PhaseRunning)
	}
	w.ok(alice, "ModifyInstanceAttribute", "InstanceId", up[0], "SourceDestCheck.Value", "false")
	w.web(t)
	w.network(t, up)
	w.acls()
	w.beside()
	w.volumes(t, up[0])
	w.interfaces(t)
	w.snapshots(t)
	w.templates()
	w.routes()
	w.gateways()
	w.vpns()
	w.ok(alice, "TerminateInstances", "InstanceId.1", up[2])
	w.run(alice, "ImageId", image, "InstanceType", "sk1.tiny", "KeyName", "two", "MetadataOptions.HttpEndpoint", "disabled", "Placement.AvailabilityZone", "isle-1c")
	i, _ := w.view().Instance(alice, events.InstanceID(up[1]))
	w.loseZone(t, i.Zone)
	vpc, _ := w.view().DefaultVPC(alice)
	for s := range w.view().SubnetsOf(vpc.ID) {
		w.ok(alice, "CreateTags", "ResourceId.1", string(s.ID), "ResourceId.2", string(vpc.ID), "Tag.1.Key", "zone", "Tag.1.Value", string(s.Zone))
	}
	for g := range w.view().GroupsOf(vpc.ID) {
		w.ok(alice, "CreateTags", "ResourceId.1", string(g.ID), "Tag.1.Key", "empty")
	}
	w.run(bob)
	return w
}

// web is a group with rules of every kind.
func (w *world) web(t *testing.T) {
	id := w.ok(alice, "CreateSecurityGroup", "GroupName", "web", "GroupDescription", "my web").text("groupId")
	w.ok(alice, "AuthorizeSecurityGroupIngress", "GroupId", id, "IpPermissions.1.IpProtocol", "tcp", "IpPermissions.1.FromPort", "80", "IpPermissions.1.ToPort", "443",
		"IpPermissions.1.IpRanges.1.CidrIp", "0.0.0.0/0", "IpPermissions.1.IpRanges.2.CidrIp", "10.0.0.0/8", "IpPermissions.1.Ipv6Ranges.1.CidrIpv6", "::/0",
		"IpPermissions.1.Groups.1.GroupName", "web", "TagSpecification.1.ResourceType", "security-group-rule", "TagSpecification.1.Tag.1.Key", "front")
	w.ok(alice, "AuthorizeSecurityGroupEgress", "GroupId", id, "IpPermissions.1.IpProtocol", "udp", "IpPermissions.1.FromPort", "53", "IpPermissions.1.ToPort", "53",
		"IpPermissions.1.Groups.1.GroupId", id)
}

// network gives the first of some instances an Elastic IP address, and tags what
// has tags.
func (w *world) network(t *testing.T, instances []string) {
	n := w.ok(alice, "AllocateAddress", "TagSpecification.1.ResourceType", "elastic-ip", "TagSpecification.1.Tag.1.Key", "Name", "TagSpecification.1.Tag.1.Value", "front")
	w.ok(alice, "AllocateAddress")
	w.ok(alice, "AssociateAddress", "AllocationId", n.text("allocationId"), "InstanceId", instances[0])
	v := w.view()
	vpc, _ := v.DefaultVPC(alice)
	g, _ := v.InternetGatewayOf(vpc.ID)
	for r := range v.RouteTablesOf(vpc.ID) {
		w.ok(alice, "CreateTags", "ResourceId.1", string(g.ID), "ResourceId.2", string(r.ID), "Tag.1.Key", "main", "Tag.1.Value", "yes")
	}
}

// acls makes a network ACL with rules of every kind.
func (w *world) acls() {
	vpc, _ := w.view().DefaultVPC(alice)
	id := w.ok(alice, "CreateNetworkAcl", "VpcId", string(vpc.ID), "TagSpecification.1.ResourceType", "network-acl", "TagSpecification.1.Tag.1.Key", "Name").text("networkAcl/networkAclId")
	for n, protocol := range map[string]string{"10": "6", "20": "1", "30": "58"} {
		params := []string{"NetworkAclId", id, "RuleNumber", n, "Egress", "false", "RuleAction", "allow", "Protocol", protocol, "PortRange.From", "80", "PortRange.To", "443", "Icmp.Type", "8", "Icmp.Code", "0"}
		if protocol == "58" {
			params = append(params, "Ipv6CidrBlock", "2001:db8::/32")
		} else {
			params = append(params, "CidrBlock", "10.0.0.0/8")
		}
		w.ok(alice, "CreateNetworkAclEntry", params...)
	}
}

// interfaces is a network with IPv6, and interfaces with all that they can have.
func (w *world) interfaces(t *testing.T) {
	n := w.ok(alice, "CreateVpc", "CidrBlock", "10.0.0.0/16", "AmazonProvidedIpv6CidrBlock", "true")
	six := strings.Replace(n.text("vpc/ipv6CidrBlockAssociationSet/item/ipv6CidrBlock"), "/56", "/64", 1)
	subnet := w.ok(alice, "CreateSubnet", "VpcId", n.text("vpc/vpcId"), "CidrBlock", "10.0.0.0/24", "Ipv6CidrBlock", six, "AvailabilityZone", "isle-1a").text("subnet/subnetId")
	w.ok(alice, "CreateNetworkInterface", "SubnetId", subnet, "Description", "spare", "SecondaryPrivateIpAddressCount", "1", "Ipv6AddressCount", "1")
	w.run(alice, "InstanceType", "t3.small", "NetworkInterface.1.DeviceIndex", "0", "NetworkInterface.1.SubnetId", subnet, "NetworkInterface.1.Ipv6PrefixCount", "1",
		"NetworkInterface.2.DeviceIndex", "1", "NetworkInterface.2.SubnetId", subnet, "NetworkInterface.2.Ipv4PrefixCount", "1", "NetworkInterface.2.Ipv6AddressCount", "2",
		"NetworkInterface.2.DeleteOnTermination", "false")
}

// volumes makes one of each: creating, available, attached to the instance, and
// in error.
func (w *world) volumes(t *testing.T, instance string) {
	i, _ := w.view().Instance(alice, events.InstanceID(instance))
	mine := w.volume(alice, i.Zone, "TagSpecification.1.ResourceType", "volume", "TagSpecification.1.Tag.1.Key", "Name", "TagSpecification.1.Tag.1.Value", "data")
	w.volume(alice, "isle-1c", "VolumeType", "gp3")
	bad := w.ok(alice, "CreateVolume", "AvailabilityZone", "isle-1c", "Size", "4", "VolumeType", "io1", "Iops", "200").text("volumeId")
	w.placeVolumes(t)
	w.stored(t, bad, events.VolumeFailed)
	w.ok(alice, "CreateVolume", "AvailabilityZone", "isle-1a", "Size", "8")
	w.ok(alice, "AttachVolume", "VolumeId", mine, "InstanceId", instance, "Device", "/dev/sdf")
	w.disk(t, mine, events.DiskAttached)
}

// snapshots makes one that is kept and one that is not, images of them, one that
// bob gives away, and volumes that are being modified and have been.
func (w *world) snapshots(t *testing.T) {
	mine := w.volume(alice, "isle-1b")
	kept := w.kept(t, mine)
	w.ok(alice, "CreateSnapshot", "VolumeId", w.volume(alice, "isle-1b", "SnapshotId", kept))
	w.ok(alice, "RegisterImage", "Name", "disk", "RootDeviceName", "/dev/sda1", "KernelId", aki, "BlockDeviceMapping.1.DeviceName", "/dev/sda1", "BlockDeviceMapping.1.Ebs.SnapshotId", kept,
		"BlockDeviceMapping.2.DeviceName", "/dev/sdf", "BlockDeviceMapping.2.Ebs.VolumeSize", "4", "BlockDeviceMapping.2.Ebs.VolumeType", "gp3", "BlockDeviceMapping.2.Ebs.DeleteOnTermination", "false")
	his := w.ok(bob, "CreateSnapshot", "VolumeId", w.volume(bob, "isle-1b"), "Description", "for all").text("snapshotId")
	w.ok(bob, "ModifySnapshotAttribute", "SnapshotId", his, "CreateVolumePermission.Add.1.Group", "all")
	w.ok(alice, "ModifyVolume", "VolumeId", mine, "Size", "2")
	r, _ := w.view().Volumes.Get(mine)
	w.act(t, "", events.ReportVolume{Host: r.Host, Volume: r.ID, Epoch: r.Epoch, Boot: r.Boot, Phase: events.VolumeReady, Revision: r.Revision})
	w.ok(alice, "ModifyVolume", "VolumeId", w.volume(alice, "isle-1b", "VolumeType", "gp3", "Iops", "3000"), "VolumeType", "io1", "Iops", "100", "Size", "5")
}

// templates makes placement groups of each strategy, and launch templates.
func (w *world) templates() {
	w.ok(alice, "CreatePlacementGroup", "GroupName", "far", "Strategy", "spread", "TagSpecification.1.ResourceType", "placement-group", "TagSpecification.1.Tag.1.Key", "team", "TagSpecification.1.Tag.1.Value", "red")
	w.ok(alice, "CreatePlacementGroup", "GroupName", "near", "Strategy", "cluster")
	w.ok(alice, "CreatePlacementGroup", "GroupName", "parts", "Strategy", "partition", "PartitionCount", "2")
	d := "LaunchTemplateData."
	id := w.ok(alice, "CreateLaunchTemplate", "LaunchTemplateName", "first", d+"ImageId", ami, d+"InstanceType", "t3.micro", d+"KernelId", aki, d+"RamDiskId", ari, d+"EbsOptimized", "true",
		"TagSpecification.1.ResourceType", "launch-template", "TagSpecification.1.Tag.1.Key", "stage", "TagSpecification.1.Tag.1.Value", "beta").text("launchTemplate/launchTemplateId")
	w.ok(alice, "CreateLaunchTemplateVersion", "LaunchTemplateId", id, d+"InstanceType", "t3.small", d+"EbsOptimized", "false", d+"MetadataOptions.HttpTokens", "required", d+"MetadataOptions.HttpEndpoint", "enabled",
		d+"NetworkInterface.1.DeviceIndex", "0", d+"NetworkInterface.1.NetworkCardIndex", "0")
	w.ok(alice, "CreateLaunchTemplate", "LaunchTemplateName", "second", d+"IamInstanceProfile.Arn", "arn:aws:iam::111111111111:instance-profile/web", d+"Placement.HostResourceGroupArn", "arn:aws:resource-groups:isle-1:111111111111:group/hosts",
		d+"LicenseSpecification.1.LicenseConfigurationArn", "arn:aws:license-manager:isle-1:111111111111:license-configuration:lic-1", d+"MetadataOptions.HttpTokens", "optional")
}

// routes makes tables with routes to what they can lead to, in both families.
func (w *world) routes() {
	n := w.ok(alice, "CreateVpc", "CidrBlock", "10.3.0.0/16", "AmazonProvidedIpv6CidrBlock", "true")
	vpc := n.text("vpc/vpcId")
	subnet := w.ok(alice, "CreateSubnet", "VpcId", vpc, "CidrBlock", "10.3.0.0/24").text("subnet/subnetId")
	gateway := w.ok(alice, "CreateInternetGateway").text("internetGateway/internetGatewayId")
	w.ok(alice, "AttachInternetGateway", "InternetGatewayId", gateway, "VpcId", vpc)
	table := w.ok(alice, "CreateRouteTable", "VpcId", vpc).text("routeTable/routeTableId")
	w.ok(alice, "AssociateRouteTable", "RouteTableId", table, "SubnetId", subnet)
	w.ok(alice, "CreateRoute", "RouteTableId", table, "DestinationIpv6CidrBlock", "::/0", "GatewayId", gateway)
	w.ok(alice, "CreateRoute", "RouteTableId", table, "DestinationCidrBlock", "192.0.2.0/24", "InstanceId", w.run(alice, "SubnetId", subnet)[0])
}

// beside makes what networks are told and use beside their parts.
func (w *world) beside() {
	w.ok(alice, "CreateDhcpOptions", "DhcpConfiguration.1.Key", "domain-name", "DhcpConfiguration.1.Value.1", "example.com", "DhcpConfiguration.2.Key", "ntp-servers", "DhcpConfiguration.2.Value.1", "10.0.0.7",
		"DhcpConfiguration.2.Value.2", "10.0.0.8", "TagSpecification.1.ResourceType", "dhcp-options", "TagSpecification.1.Tag.1.Key", "Name", "TagSpecification.1.Tag.1.Value", "ours")
	w.ok(alice, "CreateManagedPrefixList", "PrefixListName", "desks", "AddressFamily", "IPv4", "MaxEntries", "5")
	w.provision(alice, "203.0.113.0/24", "PoolTagSpecification.1.ResourceType", "ipv4pool-ec2", "PoolTagSpecification.1.Tag.1.Key", "Name", "PoolTagSpecification.1.Tag.1.Value", "ours")
	w.provision(alice, "198.51.100.0/24")
	vpc, _ := w.view().DefaultVPC(alice)
	w.ok(alice, "CreateFlowLogs", "ResourceType", "VPC", "ResourceId.1", string(vpc.ID), "TrafficType", "ALL", "LogGroupName", "flows", "DeliverLogsPermissionArn", "arn:aws:iam::111111111111:role/flows",
		"TagSpecification.1.ResourceType", "vpc-flow-log", "TagSpecification.1.Tag.1.Key", "Name", "TagSpecification.1.Tag.1.Value", "all")
	w.ok(alice, "CreateFlowLogs", "ResourceType", "VPC", "ResourceId.1", string(vpc.ID), "TrafficType", "REJECT", "LogDestinationType", "s3", "LogDestination", "arn:aws:s3:::bucket")
	list := w.ok(alice, "CreateManagedPrefixList", "PrefixListName", "homes", "AddressFamily", "IPv6", "MaxEntries", "5", "TagSpecification.1.ResourceType", "prefix-list", "TagSpecification.1.Tag.1.Key", "Name").text("prefixList/prefixListId")
	w.ok(alice, "AuthorizeSecurityGroupIngress", "GroupName", "web", "IpPermissions.1.IpProtocol", "tcp", "IpPermissions.1.FromPort", "22", "IpPermissions.1.ToPort", "22", "IpPermissions.1.PrefixListIds.1.PrefixListId", list)
}
