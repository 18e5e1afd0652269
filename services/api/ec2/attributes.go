package ec2

import (
	"context"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"

	"skerry/events"
	"skerry/services/api"
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
		out.DisableApiStop = yes(false)
	case "instanceInitiatedShutdownBehavior":
		out.InstanceInitiatedShutdownBehavior = text(i.Shutdown)
	case "rootDeviceName":
		out.RootDeviceName = text(i.RootDevice)
	case "blockDeviceMapping":
		out.BlockDeviceMappings = v.mapped(i)
	case "productCodes":
		out.ProductCodes = []model.ProductCode{}
	case "sourceDestCheck":
		out.SourceDestCheck = yes(!i.NoSrcCheck)
	case "groupSet":
		out.Groups = []model.GroupIdentifier{}
		for _, f := range i.Interfaces {
			if f.DeviceIndex == 0 {
				out.Groups = v.groups(f.Groups)
			}
		}
	case "ebsOptimized":
		out.EbsOptimized = yes(false)
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
	stopped := "" // an attribute that only a stopped instance may change
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
	if has("disableApiStop", in.DisableApiStop != nil) && value(in.DisableApiStop.Value) {
		return nil, unsupported("DisableApiStop", "an instance whose root is an instance store cannot be stopped in any case.")
	}
	for _, a := range []param{
		{"kernel", in.Kernel != nil}, {"ramdisk", in.Ramdisk != nil}, {"ebsOptimized", in.EbsOptimized != nil},
		{"enaSupport", in.EnaSupport != nil}, {"sriovNetSupport", in.SriovNetSupport != nil},
	} {
		if has(a.name, a.set) {
			stopped = a.name
		}
	}
	has("blockDeviceMapping", len(in.BlockDeviceMappings) > 0)
	switch {
	case len(names) == 0:
		return nil, events.Faultf("InvalidParameterCombination", "No attributes specified.")
	case len(names) > 1:
		return nil, events.Faultf("InvalidParameterCombination", "Fields for multiple attribute types specified: %s", strings.Join(names, ", "))
	}
	if stopped != "" || names[0] == "blockDeviceMapping" || names[0] == "disableApiStop" {
		v, err := h.read(ctx)
		if err != nil {
			return nil, err
		}
		i, err := v.one(c, in.InstanceId)
		switch {
		case err != nil:
			return nil, err
		case names[0] == "blockDeviceMapping":
			return new(model.ModifyInstanceAttributeOutput), v.checkMapped(i, in.BlockDeviceMappings)
		case stopped != "" && i.State != state.Stopped:
			return nil, events.Faultf("IncorrectInstanceState", "The instance '%s' is not in the 'stopped' state.", i.ID)
		case stopped != "":
			return nil, unsupported("Attribute", "the attribute '%s' is the image's.", stopped)
		}
		return new(model.ModifyInstanceAttributeOutput), nil // it cannot be stopped, nor is it protected from that
	}
	_, err := h.do(ctx, c, 0, cmd)
	return new(model.ModifyInstanceAttributeOutput), err
}

// checkMapped accepts what the volumes of an instance are already: whether one is
// deleted with its instance is settled when it is attached.
func (v view) checkMapped(i *state.Instance, list []model.InstanceBlockDeviceMappingSpecification) error {
	have := v.mapped(i)
	for _, m := range list {
		at := slices.IndexFunc(have, func(o model.InstanceBlockDeviceMapping) bool { return *o.DeviceName == value(m.DeviceName) })
		if at < 0 {
			return events.Faultf("InvalidInstanceAttributeValue", "No device is currently mapped at %s", value(m.DeviceName))
		}
		if d := value(m.Ebs).DeleteOnTermination; d != nil && *d != *have[at].Ebs.DeleteOnTermination {
			return unsupported("BlockDeviceMapping.Ebs.DeleteOnTermination", "the volume at %s keeps what it was attached with.", *have[at].DeviceName)
		}
	}
	return nil
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
