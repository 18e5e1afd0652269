package ec2

import (
	"context"
	"strings"

	"skerry/events"
	"skerry/events/bus"
	"skerry/services/api"
	"skerry/services/api/page"
	"skerry/services/seal"
	"skerry/services/state"
)

// Core reaches the region's decisions. A voter's door is one.
type Core interface {
	// Do has a command decided. A fault comes back as the error.
	Do(context.Context, events.Stamp, events.Command) (events.Reply, error)
	// Try tells what Do would answer, and changes nothing.
	Try(context.Context, events.Stamp, events.Command) error
	// Read returns a state with every write acknowledged before the call.
	Read(context.Context) (*state.View, error)
}

// Region is all that the actions need.
type Region interface {
	Core
	// Console asks an instance's host for its console.
	Console(context.Context, state.Instance) (events.Console, error)
}

// Over makes a Region of its decisions and the bus that leads to its nodes.
func Over(c Core, b *bus.Client) Region {
	return struct {
		Core
		consoles
	}{c, consoles{b}}
}

// Far asks other regions what an account may copy from them.
type Far interface {
	Snapshot(context.Context, events.RegionInfo, events.AccountID, events.SnapshotID) (events.FarSnapshot, error)
	Image(context.Context, events.RegionInfo, events.AccountID, events.ImageID) (events.FarImage, error)
}

// Handlers are the actions of one endpoint.
type Handlers struct {
	region   Region
	far      Far // nil: no other region is asked
	key      *seal.Key
	endpoint string
	tokens   page.Tokens
}

// New makes the actions. The endpoint is the host[:port] that DescribeRegions
// tells; when empty it is the one that the caller used.
func New(r Region, key *seal.Key, endpoint string) *Handlers {
	return &Handlers{region: r, key: key, endpoint: endpoint, tokens: page.New(key.Derive("page tokens"))}
}

// Beside gives the actions other regions to ask.
func (h *Handlers) Beside(f Far) *Handlers {
	h.far = f
	return h
}

// Table has a handler for every implemented action.
func (h *Handlers) Table() *api.Table {
	t := api.NewTable()
	api.Handle(t, h.GetCallerIdentity)
	api.Handle(t, h.GetSessionToken)

	api.Handle(t, h.DescribeRegions)
	api.Handle(t, h.DescribeAvailabilityZones)
	api.Handle(t, h.DescribeAccountAttributes)
	api.Handle(t, h.DescribeInstanceTypes)
	api.Handle(t, h.DescribeInstanceTypeOfferings)

	api.Handle(t, h.CreateTags)
	api.Handle(t, h.DeleteTags)
	api.Handle(t, h.DescribeTags)

	api.Handle(t, h.CreateKeyPair)
	api.Handle(t, h.ImportKeyPair)
	api.Handle(t, h.DescribeKeyPairs)
	api.Handle(t, h.DeleteKeyPair)

	api.Handle(t, h.DescribeImages)
	api.Handle(t, h.RegisterImage)
	api.Handle(t, h.DeregisterImage)
	api.Handle(t, h.DescribeImageAttribute)
	api.Handle(t, h.ModifyImageAttribute)
	api.Handle(t, h.ResetImageAttribute)
	api.Handle(t, h.CreateImage)
	api.Handle(t, h.CopyImage)

	api.Handle(t, h.RunInstances)
	api.Handle(t, h.DescribeInstances)
	api.Handle(t, h.DescribeInstanceStatus)
	api.Handle(t, h.StartInstances)
	api.Handle(t, h.StopInstances)
	api.Handle(t, h.RebootInstances)
	api.Handle(t, h.TerminateInstances)
	api.Handle(t, h.DescribeInstanceAttribute)
	api.Handle(t, h.ModifyInstanceAttribute)
	api.Handle(t, h.ResetInstanceAttribute)
	api.Handle(t, h.ModifyInstanceMetadataOptions)
	api.Handle(t, h.MonitorInstances)
	api.Handle(t, h.UnmonitorInstances)
	api.Handle(t, h.DescribeInstanceCreditSpecifications)
	api.Handle(t, h.GetPasswordData)
	api.Handle(t, h.GetConsoleOutput)

	api.Handle(t, h.CreatePlacementGroup)
	api.Handle(t, h.DeletePlacementGroup)
	api.Handle(t, h.DescribePlacementGroups)
	api.Handle(t, h.CreateLaunchTemplate)
	api.Handle(t, h.CreateLaunchTemplateVersion)
	api.Handle(t, h.DescribeLaunchTemplates)
	api.Handle(t, h.DescribeLaunchTemplateVersions)
	api.Handle(t, h.ModifyLaunchTemplate)
	api.Handle(t, h.DeleteLaunchTemplate)
	api.Handle(t, h.DeleteLaunchTemplateVersions)

	api.Handle(t, h.CreateVpc)
	api.Handle(t, h.CreateDefaultVpc)
	api.Handle(t, h.CreateDefaultSubnet)
	api.Handle(t, h.DeleteVpc)
	api.Handle(t, h.DescribeVpcs)
	api.Handle(t, h.DescribeVpcAttribute)
	api.Handle(t, h.ModifyVpcAttribute)
	api.Handle(t, h.CreateSubnet)
	api.Handle(t, h.DeleteSubnet)
	api.Handle(t, h.DescribeSubnets)
	api.Handle(t, h.ModifySubnetAttribute)
	api.Handle(t, h.AssociateVpcCidrBlock)
	api.Handle(t, h.DisassociateVpcCidrBlock)
	api.Handle(t, h.AssociateSubnetCidrBlock)
	api.Handle(t, h.DisassociateSubnetCidrBlock)
	api.Handle(t, h.CreateInternetGateway)
	api.Handle(t, h.AttachInternetGateway)
	api.Handle(t, h.DetachInternetGateway)
	api.Handle(t, h.DeleteInternetGateway)
	api.Handle(t, h.DescribeInternetGateways)
	api.Handle(t, h.CreateRouteTable)
	api.Handle(t, h.DeleteRouteTable)
	api.Handle(t, h.DescribeRouteTables)
	api.Handle(t, h.CreateRoute)
	api.Handle(t, h.ReplaceRoute)
	api.Handle(t, h.DeleteRoute)
	api.Handle(t, h.AssociateRouteTable)
	api.Handle(t, h.DisassociateRouteTable)
	api.Handle(t, h.ReplaceRouteTableAssociation)
	api.Handle(t, h.DescribeNetworkInterfaces)
	api.Handle(t, h.CreateNetworkInterface)
	api.Handle(t, h.DeleteNetworkInterface)
	api.Handle(t, h.AttachNetworkInterface)
	api.Handle(t, h.DetachNetworkInterface)
	api.Handle(t, h.DescribeNetworkInterfaceAttribute)
	api.Handle(t, h.ModifyNetworkInterfaceAttribute)
	api.Handle(t, h.ResetNetworkInterfaceAttribute)
	api.Handle(t, h.AssignPrivateIpAddresses)
	api.Handle(t, h.UnassignPrivateIpAddresses)
	api.Handle(t, h.AssignIpv6Addresses)
	api.Handle(t, h.UnassignIpv6Addresses)

	api.Handle(t, h.CreateSecurityGroup)
	api.Handle(t, h.DeleteSecurityGroup)
	api.Handle(t, h.DescribeSecurityGroups)
	api.Handle(t, h.DescribeSecurityGroupRules)
	api.Handle(t, h.AuthorizeSecurityGroupIngress)
	api.Handle(t, h.AuthorizeSecurityGroupEgress)
	api.Handle(t, h.RevokeSecurityGroupIngress)
	api.Handle(t, h.RevokeSecurityGroupEgress)
	api.Handle(t, h.ModifySecurityGroupRules)
	api.Handle(t, h.UpdateSecurityGroupRuleDescriptionsIngress)
	api.Handle(t, h.UpdateSecurityGroupRuleDescriptionsEgress)

	api.Handle(t, h.CreateNatGateway)
	api.Handle(t, h.DescribeNatGateways)
	api.Handle(t, h.DeleteNatGateway)
	api.Handle(t, h.CreateEgressOnlyInternetGateway)
	api.Handle(t, h.DescribeEgressOnlyInternetGateways)
	api.Handle(t, h.DeleteEgressOnlyInternetGateway)
	api.Handle(t, h.CreateVpcPeeringConnection)
	api.Handle(t, h.DescribeVpcPeeringConnections)
	api.Handle(t, h.AcceptVpcPeeringConnection)
	api.Handle(t, h.RejectVpcPeeringConnection)
	api.Handle(t, h.DeleteVpcPeeringConnection)
	api.Handle(t, h.CreateNetworkAcl)
	api.Handle(t, h.DeleteNetworkAcl)
	api.Handle(t, h.DescribeNetworkAcls)
	api.Handle(t, h.CreateNetworkAclEntry)
	api.Handle(t, h.ReplaceNetworkAclEntry)
	api.Handle(t, h.DeleteNetworkAclEntry)
	api.Handle(t, h.ReplaceNetworkAclAssociation)

	api.Handle(t, h.CreateCustomerGateway)
	api.Handle(t, h.DescribeCustomerGateways)
	api.Handle(t, h.DeleteCustomerGateway)
	api.Handle(t, h.CreateVpnGateway)
	api.Handle(t, h.DescribeVpnGateways)
	api.Handle(t, h.AttachVpnGateway)
	api.Handle(t, h.DetachVpnGateway)
	api.Handle(t, h.DeleteVpnGateway)
	api.Handle(t, h.CreateVpnConnection)
	api.Handle(t, h.DescribeVpnConnections)
	api.Handle(t, h.DeleteVpnConnection)
	api.Handle(t, h.CreateVpnConnectionRoute)
	api.Handle(t, h.DeleteVpnConnectionRoute)
	api.Handle(t, h.EnableVgwRoutePropagation)
	api.Handle(t, h.DisableVgwRoutePropagation)

	api.Handle(t, h.CreateDhcpOptions)
	api.Handle(t, h.DeleteDhcpOptions)
	api.Handle(t, h.DescribeDhcpOptions)
	api.Handle(t, h.AssociateDhcpOptions)

	api.Handle(t, h.CreateManagedPrefixList)
	api.Handle(t, h.ModifyManagedPrefixList)
	api.Handle(t, h.RestoreManagedPrefixListVersion)
	api.Handle(t, h.DeleteManagedPrefixList)
	api.Handle(t, h.DescribeManagedPrefixLists)
	api.Handle(t, h.DescribePrefixLists)
	api.Handle(t, h.GetManagedPrefixListEntries)
	api.Handle(t, h.GetManagedPrefixListAssociations)

	api.Handle(t, h.ProvisionByoipCidr)
	api.Handle(t, h.AdvertiseByoipCidr)
	api.Handle(t, h.WithdrawByoipCidr)
	api.Handle(t, h.DeprovisionByoipCidr)
	api.Handle(t, h.DescribeByoipCidrs)
	api.Handle(t, h.DescribePublicIpv4Pools)

	api.Handle(t, h.CreateFlowLogs)
	api.Handle(t, h.DeleteFlowLogs)
	api.Handle(t, h.DescribeFlowLogs)
	api.Handle(t, h.ModifyVpcTenancy)
	api.Handle(t, h.DescribeVpcClassicLink)
	api.Handle(t, h.DescribeVpcClassicLinkDnsSupport)

	api.Handle(t, h.AllocateAddress)
	api.Handle(t, h.ReleaseAddress)
	api.Handle(t, h.AssociateAddress)
	api.Handle(t, h.DisassociateAddress)
	api.Handle(t, h.DescribeAddresses)
	api.Handle(t, h.DescribeAddressesAttribute)

	api.Handle(t, h.CreateVolume)
	api.Handle(t, h.DeleteVolume)
	api.Handle(t, h.DescribeVolumes)
	api.Handle(t, h.DescribeVolumeStatus)
	api.Handle(t, h.DescribeVolumeAttribute)
	api.Handle(t, h.AttachVolume)
	api.Handle(t, h.DetachVolume)
	api.Handle(t, h.ModifyVolume)
	api.Handle(t, h.DescribeVolumesModifications)
	api.Handle(t, h.ModifyVolumeAttribute)
	api.Handle(t, h.CreateSnapshot)
	api.Handle(t, h.CopySnapshot)
	api.Handle(t, h.DeleteSnapshot)
	api.Handle(t, h.DescribeSnapshots)
	api.Handle(t, h.DescribeSnapshotAttribute)
	api.Handle(t, h.ModifySnapshotAttribute)
	api.Handle(t, h.GetEbsEncryptionByDefault)
	api.Handle(t, h.EnableEbsEncryptionByDefault)
	api.Handle(t, h.DisableEbsEncryptionByDefault)
	return t
}

// do has a command of the call decided, or tried when the call is a dry run. A
// call that takes several commands numbers them.
func (h *Handlers) do(ctx context.Context, c *api.Call, part int, cmd events.Command) (events.Reply, error) {
	s := bus.NewStamp(arn(c))
	s.ID = events.CommandID(c.RequestID + strings.Repeat("+", part))
	s.Account = events.AccountID(c.Account)
	s.Request = c.RequestID
	s.ClientToken = c.ClientToken
	s.Call = events.Call{Action: c.Action, AccessKey: c.AccessKey, Agent: c.UserAgent, Parameters: c.Parameters}
	if c.SourceIP.IsValid() {
		s.Call.Source = c.SourceIP.String()
	}
	if c.DryRun {
		return events.Reply{}, h.region.Try(ctx, s, cmd)
	}
	return h.region.Do(ctx, s, cmd)
}

// after is the state that shows what a command did. The command is done: when
// the region cannot be read, what its events tell must do.
func (h *Handlers) after(ctx context.Context, c *api.Call) view {
	v, err := h.region.Read(ctx)
	if err != nil {
		v = state.New().Publish()
		v.Meta.Region = c.Region
	}
	return view{v}
}

// read is the state for a describe.
func (h *Handlers) read(ctx context.Context) (view, error) {
	v, err := h.region.Read(ctx)
	return view{v}, err
}

// view is the state as this package shows it.
type view struct{ *state.View }
