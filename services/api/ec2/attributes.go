package ec2

import (
	"context"
	"encoding/base64"
	"fmt"
	"strings"

	"skerry/events"
	"skerry/services/api"
	"skerry/services/api/filter"
	"skerry/services/api/ids"
	"skerry/services/api/model"
	"skerry/services/compute"
	"skerry/services/state"
)

// DescribeInstanceAttribute shows one attribute of an instance.
func (h *Handlers) DescribeInstanceAttribute(ctx context.Context, c *api.Call, in *model.DescribeInstanceAttributeInput) (*model.DescribeInstanceAttributeOutput, error) {
	if err := ids.Instance.Check(value(in.InstanceId)); err != nil {
		return nil, err
	}
	v, err := h.read(ctx)
	if err != nil {
		return nil, err
	}
	i, err := v.one(c, in.InstanceId)
	if err != nil {
		return nil, err
	}
	out := &model.DescribeInstanceAttributeOutput{InstanceId: in.InstanceId}
	text := func(s string) *model.AttributeValue { return &model.AttributeValue{Value: some(s)} }
	yes := func(b bool) *model.AttributeBooleanValue { return &model.AttributeBooleanValue{Value: &b} }
	switch value(in.Attribute) {
	case "instanceType":
		out.InstanceType = text(i.Shape.Type)
	case "kernel":
		out.KernelId = text(string(i.Kernel))
	case "ramdisk":
		out.RamdiskId = text(string(i.Ramdisk))
	case "userData":
		plain, err := h.key.Open(i.UserData)
		if err != nil {
			return nil, fmt.Errorf("ec2: user data of %s: %w", i.ID, err)
		}
		out.UserData = text(base64.StdEncoding.EncodeToString(plain))
	case "disableApiTermination":
		out.DisableApiTermination = yes(i.DisableTermination)
	case "disableApiStop":
		out.DisableApiStop = yes(i.DisableStop)
	case "instanceInitiatedShutdownBehavior":
		out.InstanceInitiatedShutdownBehavior = text(i.Shutdown)
	case "rootDeviceName":
		out.RootDeviceName = text(i.RootDevice)
	case "blockDeviceMapping":
		out.BlockDeviceMappings = v.mapped(i)
	case "productCodes":
		out.ProductCodes = []model.ProductCode{}
	case "sourceDestCheck":
		out.SourceDestCheck = yes(true)
		for _, f := range i.Interfaces(v.View) {
			if f.Interface.DeviceIndex == 0 {
				out.SourceDestCheck = yes(!f.NoSrcCheck)
			}
		}
	case "groupSet":
		out.Groups = []model.GroupIdentifier{}
		for _, f := range i.Interfaces(v.View) {
			if f.Interface.DeviceIndex == 0 {
				out.Groups = v.groups(f.Interface.Groups)
			}
		}
	case "ebsOptimized":
		out.EbsOptimized = yes(i.EBSOptimized)
	case "sriovNetSupport":
		out.SriovNetSupport = new(model.AttributeValue)
	case "enaSupport":
		out.EnaSupport = yes(false)
	case "enclaveOptions":
		out.EnclaveOptions = &model.EnclaveOptions{Enabled: new(false)}
	}
	return out, nil
}

// ModifyInstanceAttribute changes one attribute, in the structured form or by
// Attribute and Value.
func (h *Handlers) ModifyInstanceAttribute(ctx context.Context, c *api.Call, in *model.ModifyInstanceAttributeInput) (*model.ModifyInstanceAttributeOutput, error) {
	if err := ids.Instance.Check(value(in.InstanceId)); err != nil {
		return nil, err
	}
	if err := flatten(in); err != nil {
		return nil, err
	}
	cmd := events.ModifyInstance{Instance: events.InstanceID(*in.InstanceId)}
	var names []string
	has := func(name string, set bool) bool {
		if set {
			names = append(names, name)
		}
		return set
	}
	if has("disableApiTermination", in.DisableApiTermination != nil) {
		cmd.DisableTermination = in.DisableApiTermination.Value
	}
	if has("instanceInitiatedShutdownBehavior", in.InstanceInitiatedShutdownBehavior != nil) {
		cmd.Shutdown = in.InstanceInitiatedShutdownBehavior.Value
	}
	if has("sourceDestCheck", in.SourceDestCheck != nil) {
		cmd.SourceDestCheck = in.SourceDestCheck.Value
	}
	if has("instanceType", in.InstanceType != nil) {
		cmd.Type = new(value(in.InstanceType.Value))
		if _, ok := compute.FindType(*cmd.Type); !ok {
			return nil, events.Faultf("InvalidInstanceAttributeValue", "Invalid value '%s' for InstanceType.", *cmd.Type)
		}
	}
	if has("userData", in.UserData != nil) {
		sealed, err := h.seal(in.UserData.Value)
		if err != nil {
			return nil, err
		}
		if sealed == nil {
			sealed = []byte{} // none at all, which a null on the way would turn into no change
		}
		cmd.UserData = &sealed
	}
	if has("groupSet", len(in.Groups) > 0) {
		if err := ids.SecurityGroup.CheckAll(in.Groups); err != nil {
			return nil, err
		}
		cmd.Groups = typed[events.GroupID](in.Groups)
	}
	if has("disableApiStop", in.DisableApiStop != nil) {
		cmd.DisableStop = in.DisableApiStop.Value
	}
	if has("ebsOptimized", in.EbsOptimized != nil) {
		cmd.EBSOptimized = in.EbsOptimized.Value
	}
	for _, f := range []struct {
		name string
		kind ids.Kind
		in   *model.AttributeValue
		to   **events.ImageID
	}{{"kernel", ids.Kernel, in.Kernel, &cmd.Kernel}, {"ramdisk", ids.Ramdisk, in.Ramdisk, &cmd.Ramdisk}} {
		if has(f.name, f.in != nil) {
			if err := f.kind.Check(value(f.in.Value)); err != nil {
				return nil, err
			}
			*f.to = new(events.ImageID(*f.in.Value))
		}
	}
	if has("blockDeviceMapping", len(in.BlockDeviceMappings) > 0) {
		for _, m := range in.BlockDeviceMappings {
			if err := refuse(param{"BlockDeviceMapping.N.Ebs.VolumeId", value(m.Ebs).VolumeId != nil}, param{"BlockDeviceMapping.N.VirtualName", m.VirtualName != nil},
				param{"BlockDeviceMapping.N.NoDevice", m.NoDevice != nil}); err != nil {
				return nil, err
			}
			b := events.BlockDevice{Device: value(m.DeviceName)}
			if d := value(m.Ebs).DeleteOnTermination; d != nil {
				b.Keep = new(!*d)
			}
			cmd.Devices = append(cmd.Devices, b)
		}
	}
	drivers := "" // an attribute about drivers that no guest here needs
	for _, a := range []param{{"enaSupport", in.EnaSupport != nil}, {"sriovNetSupport", in.SriovNetSupport != nil}} {
		if has(a.name, a.set) {
			drivers = a.name
		}
	}
	switch {
	case len(names) == 0:
		return nil, events.Faultf("InvalidParameterCombination", "No attributes specified.")
	case len(names) > 1:
		return nil, events.Faultf("InvalidParameterCombination", "Fields for multiple attribute types specified: %s", strings.Join(names, ", "))
	}
	if drivers != "" {
		v, err := h.read(ctx)
		if err != nil {
			return nil, err
		}
		i, err := v.one(c, in.InstanceId)
		switch {
		case err != nil:
			return nil, err
		case i.State != state.Stopped:
			return nil, events.Faultf("IncorrectInstanceState", "The instance '%s' is not in the 'stopped' state.", i.ID)
		}
		return nil, unsupported("Attribute", "guests have virtio devices, for which the attribute '%s' means nothing.", drivers)
	}
	_, err := h.do(ctx, c, 0, cmd)
	return new(model.ModifyInstanceAttributeOutput), err
}

// ResetInstanceAttribute takes an attribute back to what it is without anybody's
// wish: kernel and ramdisk to the image's, source and destination checks on.
func (h *Handlers) ResetInstanceAttribute(ctx context.Context, c *api.Call, in *model.ResetInstanceAttributeInput) (*model.ResetInstanceAttributeOutput, error) {
	if err := ids.Instance.Check(value(in.InstanceId)); err != nil {
		return nil, err
	}
	cmd := events.ModifyInstance{Instance: events.InstanceID(*in.InstanceId)}
	switch a := value(in.Attribute); a {
	case "kernel":
		cmd.Kernel = new(events.ImageID)
	case "ramdisk":
		cmd.Ramdisk = new(events.ImageID)
	case "sourceDestCheck":
		cmd.SourceDestCheck = new(true)
	default:
		return nil, events.Faultf("InvalidParameterValue", "The attribute '%s' cannot be reset; kernel, ramdisk and sourceDestCheck can.", a)
	}
	_, err := h.do(ctx, c, 0, cmd)
	return new(model.ResetInstanceAttributeOutput), err
}

// ModifyInstanceMetadataOptions changes how the metadata service answers an
// instance.
func (h *Handlers) ModifyInstanceMetadataOptions(ctx context.Context, c *api.Call, in *model.ModifyInstanceMetadataOptionsInput) (*model.ModifyInstanceMetadataOptionsOutput, error) {
	if err := ids.Instance.Check(value(in.InstanceId)); err != nil {
		return nil, err
	}
	if err := refuse(param{"HttpProtocolIpv6", isOther(in.HttpProtocolIpv6, "disabled")}); err != nil {
		return nil, err
	}
	if n := in.HttpPutResponseHopLimit; n != nil && (*n < 1 || *n > 64) {
		return nil, events.Faultf("InvalidParameterValue", "Value (%d) for parameter HttpPutResponseHopLimit is invalid. Expecting a value between 1 and 64.", *n)
	}
	reply, err := h.do(ctx, c, 0, events.ModifyInstance{Instance: events.InstanceID(*in.InstanceId), Metadata: &events.MetadataOptions{
		HTTPTokens: value(in.HttpTokens), HopLimit: int(value(in.HttpPutResponseHopLimit)), Endpoint: value(in.HttpEndpoint), InstanceTags: value(in.InstanceMetadataTags)}})
	if err != nil || c.DryRun {
		return nil, err
	}
	out := &model.ModifyInstanceMetadataOptionsOutput{InstanceId: in.InstanceId}
	for _, r := range reply.Events {
		if e, ok := r.Event.(events.InstanceModified); ok && e.Metadata != nil {
			m := e.Metadata
			out.InstanceMetadataOptions = &model.InstanceMetadataOptionsResponse{State: new("pending"), HttpTokens: &m.HTTPTokens, HttpPutResponseHopLimit: new(int32(m.HopLimit)),
				HttpEndpoint: &m.Endpoint, HttpProtocolIpv6: new("disabled"), InstanceMetadataTags: &m.InstanceTags}
		}
	}
	return out, nil
}

// MonitorInstances asks for figures every minute. The region keeps the wish;
// figures are the operator's own.
func (h *Handlers) MonitorInstances(ctx context.Context, c *api.Call, in *model.MonitorInstancesInput) (*model.MonitorInstancesOutput, error) {
	list, err := h.monitor(ctx, c, in.InstanceIds, true)
	return &model.MonitorInstancesOutput{InstanceMonitorings: list}, err
}

// UnmonitorInstances takes the wish back.
func (h *Handlers) UnmonitorInstances(ctx context.Context, c *api.Call, in *model.UnmonitorInstancesInput) (*model.UnmonitorInstancesOutput, error) {
	list, err := h.monitor(ctx, c, in.InstanceIds, false)
	return &model.UnmonitorInstancesOutput{InstanceMonitorings: list}, err
}

func (h *Handlers) monitor(ctx context.Context, c *api.Call, names []string, on bool) ([]model.InstanceMonitoring, error) {
	if err := ids.Instance.CheckAll(names); err != nil {
		return nil, err
	}
	if _, err := h.do(ctx, c, 0, events.ModifyInstances{Instances: typed[events.InstanceID](names), Change: events.ModifyInstance{Monitoring: &on}}); err != nil {
		return nil, err
	}
	shown := "disabling"
	if on {
		shown = "pending"
	}
	out := []model.InstanceMonitoring{}
	for _, id := range names {
		out = append(out, model.InstanceMonitoring{InstanceId: &id, Monitoring: &model.Monitoring{State: &shown}})
	}
	return out, nil
}

type creditRow = row[model.InstanceCreditSpecification]

var creditListing = listing[model.InstanceCreditSpecification]{tagless: true, fields: filter.Fields[creditRow]{
	"instance-id": func(r creditRow) []string { return word(r.shown.InstanceId) },
}}

// DescribeInstanceCreditSpecifications tells how bursts are charged. Without ids
// it lists what is unlimited, as EC2 does.
func (h *Handlers) DescribeInstanceCreditSpecifications(ctx context.Context, c *api.Call, in *model.DescribeInstanceCreditSpecificationsInput) (*model.DescribeInstanceCreditSpecificationsOutput, error) {
	if err := ids.Instance.CheckAll(in.InstanceIds); err != nil {
		return nil, err
	}
	if err := notTogether("instanceIds", len(in.InstanceIds) > 0, "maxResults", in.MaxResults != nil); err != nil {
		return nil, err
	}
	v, err := h.read(ctx)
	if err != nil {
		return nil, err
	}
	list, err := v.instances(c, in.InstanceIds)
	if err != nil {
		return nil, err
	}
	credits := func(i *state.Instance) string {
		t, _ := compute.FindType(i.Shape.Type)
		return t.Credits(i.Credits)
	}
	burstable := list[:0]
	for _, i := range list {
		switch {
		case !i.Live():
		case credits(i) == "" && len(in.InstanceIds) > 0:
			return nil, events.Faultf("InvalidParameterCombination", "The instance '%s' is of the type '%s', which has no CPU credits.", i.ID, i.Shape.Type)
		case credits(i) == "unlimited" || credits(i) != "" && len(in.InstanceIds) > 0:
			burstable = append(burstable, i)
		}
	}
	out := new(model.DescribeInstanceCreditSpecificationsOutput)
	out.InstanceCreditSpecifications, out.NextToken, err = chooseFrom(creditListing, h, c, ask{in.Filters, in.MaxResults, in.NextToken}, burstable, (*state.Instance).LaunchOrder,
		func(i *state.Instance) creditRow {
			return creditRow{shown: model.InstanceCreditSpecification{InstanceId: some(i.ID), CpuCredits: new(credits(i))}}
		})
	return out, err
}

// GetPasswordData has nothing to tell: only Windows sets a password.
func (h *Handlers) GetPasswordData(ctx context.Context, c *api.Call, in *model.GetPasswordDataInput) (*model.GetPasswordDataOutput, error) {
	if err := ids.Instance.Check(value(in.InstanceId)); err != nil {
		return nil, err
	}
	v, err := h.read(ctx)
	if err != nil {
		return nil, err
	}
	i, err := v.one(c, in.InstanceId)
	if err != nil {
		return nil, err
	}
	return &model.GetPasswordDataOutput{InstanceId: in.InstanceId, PasswordData: new(""), Timestamp: new(i.LaunchTime())}, nil
}

// flatten moves a change given by Attribute and Value to where the structured
// form has it.
func flatten(in *model.ModifyInstanceAttributeInput) error {
	name := value(in.Attribute)
	if name == "" {
		if in.Value != nil {
			return events.Faultf("MissingParameter", "The request must contain the parameter Attribute")
		}
		return nil
	}
	if name == "blockDeviceMapping" || name == "groupSet" {
		return nil // these have no Value
	}
	if in.Value == nil {
		return events.Faultf("MissingParameter", "The request must contain the parameter Value")
	}
	text := &model.AttributeValue{Value: in.Value}
	yes := func() (*model.AttributeBooleanValue, error) {
		switch strings.ToLower(*in.Value) {
		case "true":
			return &model.AttributeBooleanValue{Value: new(true)}, nil
		case "false":
			return &model.AttributeBooleanValue{Value: new(false)}, nil
		}
		return nil, events.Faultf("InvalidParameterValue", "Value (%s) for parameter value is invalid. Use true or false.", *in.Value)
	}
	var err error
	switch name {
	case "instanceType":
		in.InstanceType = text
	case "kernel":
		in.Kernel = text
	case "ramdisk":
		in.Ramdisk = text
	case "sriovNetSupport":
		in.SriovNetSupport = text
	case "instanceInitiatedShutdownBehavior":
		in.InstanceInitiatedShutdownBehavior = text
	case "userData":
		b, bad := base64.StdEncoding.DecodeString(*in.Value)
		if bad != nil {
			return events.Faultf("InvalidUserData.Malformed", "Invalid BASE64 encoding of user data.")
		}
		in.UserData = &model.BlobAttributeValue{Value: b}
	case "disableApiTermination":
		in.DisableApiTermination, err = yes()
	case "disableApiStop":
		in.DisableApiStop, err = yes()
	case "sourceDestCheck":
		in.SourceDestCheck, err = yes()
	case "ebsOptimized":
		in.EbsOptimized, err = yes()
	case "enaSupport":
		in.EnaSupport, err = yes()
	default:
		return events.Faultf("InvalidParameterValue", "The attribute '%s' of an instance cannot be changed.", name)
	}
	return err
}
