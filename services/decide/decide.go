// Package decide is the one door to the region's decisions: it leads a stamped
// command to the room that decides it. A decision is pure: the same view and
// command give the same events on every voter, for ever.
package decide

import (
	"reflect"
	"strings"

	"skerry/events"
	"skerry/services/compute"
	"skerry/services/iam"
	"skerry/services/network"
	"skerry/services/region"
	"skerry/services/state"
	"skerry/services/storage"
	"skerry/services/tagging"
)

type decider func(*state.View, events.Stamp, events.Command) ([]events.Event, error)

var rooms = map[reflect.Type]decider{}

func on[C events.Command](f func(*state.View, events.Stamp, C) ([]events.Event, error)) {
	rooms[reflect.TypeFor[C]()] = func(v *state.View, s events.Stamp, c events.Command) ([]events.Event, error) {
		return f(v, s, c.(C))
	}
}

func init() {
	on(region.Form)
	on(region.RaiseFeatureLevel)
	on(region.Tick)
	on(region.CreateAccount)
	on(region.DeleteAccount)
	on(region.TellRegion)
	on(region.ForgetRegion)
	on(region.ImportIdentities)
	on(region.JoinNode)
	on(region.ReportNodeLost)
	on(region.ReportNodeBack)
	on(region.DrainHost)
	on(iam.CreateUser)
	on(iam.DeleteUser)
	on(iam.CreateAccessKey)
	on(iam.DeleteAccessKey)
	on(iam.PutUserPolicy)
	on(iam.DeleteUserPolicy)
	on(tagging.Set)
	on(tagging.Remove)
	on(network.CreateVPC)
	on(network.CreateDefaultVPC)
	on(network.CreateDefaultSubnet)
	on(network.DeleteVPC)
	on(network.ModifyVPC)
	on(network.CreateSubnet)
	on(network.DeleteSubnet)
	on(network.ModifySubnet)
	on(network.CreateInternetGateway)
	on(network.AttachInternetGateway)
	on(network.DetachInternetGateway)
	on(network.DeleteInternetGateway)
	on(network.CreateRouteTable)
	on(network.DeleteRouteTable)
	on(network.CreateRoute)
	on(network.ReplaceRoute)
	on(network.DeleteRoute)
	on(network.AssociateRouteTable)
	on(network.DisassociateRouteTable)
	on(network.ReplaceRouteTableAssociation)
	on(network.AssociateVPCBlock)
	on(network.DisassociateVPCBlock)
	on(network.AssociateSubnetBlock)
	on(network.DisassociateSubnetBlock)
	on(network.CreateInterface)
	on(network.DeleteInterface)
	on(network.AttachInterface)
	on(network.DetachInterface)
	on(network.ModifyInterface)
	on(network.AssignAddresses)
	on(network.UnassignAddresses)
	on(network.CreateGroup)
	on(network.DeleteGroup)
	on(network.AuthorizeRules)
	on(network.RevokeRules)
	on(network.ModifyRules)
	on(network.DescribeRules)
	on(network.CreateNetworkACL)
	on(network.DeleteNetworkACL)
	on(network.CreateACLEntry)
	on(network.ReplaceACLEntry)
	on(network.DeleteACLEntry)
	on(network.ReplaceACLAssociation)
	on(network.CreateNATGateway)
	on(network.DeleteNATGateway)
	on(network.ReportNATGateway)
	on(network.CreateEgressGateway)
	on(network.DeleteEgressGateway)
	on(network.CreatePeering)
	on(network.AcceptPeering)
	on(network.RejectPeering)
	on(network.DeletePeering)
	on(network.CreateCustomerGateway)
	on(network.DeleteCustomerGateway)
	on(network.CreateVPNGateway)
	on(network.AttachVPNGateway)
	on(network.DetachVPNGateway)
	on(network.DeleteVPNGateway)
	on(network.CreateVPN)
	on(network.DeleteVPN)
	on(network.CreateVPNRoute)
	on(network.DeleteVPNRoute)
	on(network.EnableRoutePropagation)
	on(network.DisableRoutePropagation)
	on(network.CreateDHCPOptions)
	on(network.DeleteDHCPOptions)
	on(network.AssociateDHCPOptions)
	on(network.CreatePrefixList)
	on(network.ModifyPrefixList)
	on(network.RestorePrefixList)
	on(network.DeletePrefixList)
	on(network.ProvisionRange)
	on(network.AdvertiseRange)
	on(network.WithdrawRange)
	on(network.DeprovisionRange)
	on(network.CreateFlowLogs)
	on(network.DeleteFlowLogs)
	on(network.AllocateAddress)
	on(network.ReleaseAddress)
	on(network.AssociateAddress)
	on(network.DisassociateAddress)
	on(network.ReportRemoved)
	on(storage.CreateVolume)
	on(storage.DeleteVolume)
	on(storage.AttachVolume)
	on(storage.DetachVolume)
	on(storage.PlaceVolumes)
	on(storage.ReportVolume)
	on(storage.ReportDisk)
	on(storage.ModifyVolume)
	on(storage.SetVolumeAutoIO)
	on(storage.CreateSnapshot)
	on(storage.CopySnapshot)
	on(storage.DeleteSnapshot)
	on(storage.ModifySnapshot)
	on(storage.ReportSnapshot)
	on(compute.RegisterImage)
	on(compute.DeregisterImage)
	on(compute.ModifyImage)
	on(compute.CreateImage)
	on(compute.CopyImage)
	on(compute.CreatePlacementGroup)
	on(compute.DeletePlacementGroup)
	on(compute.CreateTemplate)
	on(compute.CreateTemplateVersion)
	on(compute.ModifyTemplate)
	on(compute.DeleteTemplate)
	on(compute.DeleteTemplateVersions)
	on(compute.ImportKeyPair)
	on(compute.DeleteKeyPair)
	on(compute.RunInstances)
	on(compute.StartInstances)
	on(compute.StopInstances)
	on(compute.RebootInstances)
	on(compute.TerminateInstances)
	on(compute.ModifyInstance)
	on(compute.ModifyInstances)
	on(compute.PlaceInstances)
	on(compute.ReportInstance)
}

// Command decides. The error is always a fault.
func Command(v *state.View, s events.Stamped) ([]events.Event, *events.Fault) {
	if s.Stamp.Version > v.Meta.Level && v.Meta.Region != "" {
		return nil, events.Faultf("UnsupportedOperation", "%s version %d needs feature level %d; the region is at %d.", events.Name(s.Command), s.Stamp.Version, s.Stamp.Version, v.Meta.Level)
	}
	if _, forming := s.Command.(events.FormRegion); v.Meta.Region == "" && !forming {
		return nil, events.Faultf("Unavailable", "The region is not formed yet.")
	}
	f, ok := rooms[reflect.TypeOf(s.Command)]
	if !ok {
		return nil, events.Faultf("UnsupportedOperation", "Nothing decides %s.", events.Name(s.Command))
	}
	out, err := f(v, s.Stamp, s.Command)
	if err == nil {
		return told(out)
	}
	if fault, ok := events.AsFault(err); ok {
		return nil, fault
	}
	panic("decide: " + events.Name(s.Command) + " returned an error that is not a fault: " + err.Error())
}

// told refuses events that could not be told: a word that the bus does not take
// in a subject would stop the stream of the region at that event, for ever.
// Rooms check what they are given; this is the wall behind them.
func told(out []events.Event) ([]events.Event, *events.Fault) {
	for _, e := range out {
		a := e.About()
		for i, w := range []string{string(a.Zone), a.Service, a.Kind, a.ID, a.Verb} {
			if i > 0 && w == "" || strings.ContainsFunc(w, untellable) {
				return nil, events.Faultf("InvalidParameterValue", "'%s' cannot be a name in the region: it may not be empty, nor hold spaces, dots, '*' or '>', nor anything but ASCII.", w)
			}
		}
	}
	return out, nil
}

func untellable(r rune) bool { return r <= ' ' || r > '~' || r == '.' || r == '*' || r == '>' }
