package ec2

import (
	"context"

	"skerry/events"
	"skerry/services/api"
	"skerry/services/api/model"
	"skerry/services/state"
)

// CreateDefaultVpc makes the network that an account starts with anew.
func (h *Handlers) CreateDefaultVpc(ctx context.Context, c *api.Call, _ *model.CreateDefaultVpcInput) (*model.CreateDefaultVpcOutput, error) {
	reply, err := h.do(ctx, c, 0, events.CreateDefaultVPC{})
	if err != nil || c.DryRun {
		return nil, err
	}
	out := new(model.CreateDefaultVpcOutput)
	for _, r := range reply.Events {
		if e, ok := r.Event.(events.VPCCreated); ok {
			out.Vpc = new(h.after(ctx, c).showVPC(&state.VPC{VPCCreated: e}, "pending"))
		}
	}
	return out, nil
}

// CreateDefaultSubnet makes the default subnet of a zone anew.
func (h *Handlers) CreateDefaultSubnet(ctx context.Context, c *api.Call, in *model.CreateDefaultSubnetInput) (*model.CreateDefaultSubnetOutput, error) {
	if value(in.Ipv6Native) {
		return nil, unsupported("Ipv6Native", "default subnets have IPv4 addresses")
	}
	reply, err := h.do(ctx, c, 0, events.CreateDefaultSubnet{Zone: events.Zone(value(in.AvailabilityZone))})
	if err != nil || c.DryRun {
		return nil, err
	}
	out := new(model.CreateDefaultSubnetOutput)
	for _, r := range reply.Events {
		if e, ok := r.Event.(events.SubnetCreated); ok {
			out.Subnet = new(h.after(ctx, c).subnet(&state.Subnet{SubnetCreated: e}))
		}
	}
	return out, nil
}
