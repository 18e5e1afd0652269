package ec2

import (
	"context"
	"slices"

	"skerry/events"
	"skerry/services/api"
	"skerry/services/api/model"
)

// DescribeImageAttribute shows one attribute of an image. Who may launch it is
// for its owner to know.
func (h *Handlers) DescribeImageAttribute(ctx context.Context, c *api.Call, in *model.DescribeImageAttributeInput) (*model.DescribeImageAttributeOutput, error) {
	id, err := imageID(in.ImageId)
	if err != nil {
		return nil, err
	}
	v, err := h.read(ctx)
	if err != nil {
		return nil, err
	}
	i, ok := v.Image(events.AccountID(c.Account), id)
	if !ok {
		return nil, events.Faultf("InvalidAMIID.NotFound", "The image id '[%s]' does not exist", id)
	}
	out := &model.DescribeImageAttributeOutput{ImageId: some(id)}
	switch value(in.Attribute) {
	case "description":
		out.Description = &model.AttributeValue{Value: some(i.Description)}
	case "kernel":
		out.KernelId = &model.AttributeValue{Value: some(i.Kernel)}
	case "ramdisk":
		out.RamdiskId = &model.AttributeValue{Value: some(i.Ramdisk)}
	case "launchPermission":
		if string(i.Account) != c.Account {
			return nil, events.Faultf("AuthFailure", "Not authorized for image: %s", id)
		}
		out.LaunchPermissions = []model.LaunchPermission{}
		if i.Public {
			out.LaunchPermissions = append(out.LaunchPermissions, model.LaunchPermission{Group: new("all")})
		}
		for _, a := range i.LaunchAccounts {
			out.LaunchPermissions = append(out.LaunchPermissions, model.LaunchPermission{UserId: some(a)})
		}
	case "blockDeviceMapping":
		out.BlockDeviceMappings = v.mappingsOf(i)
	case "productCodes":
		out.ProductCodes = []model.ProductCode{}
	case "sriovNetSupport":
		out.SriovNetSupport = new(model.AttributeValue)
	case "bootMode":
		out.BootMode = new(model.AttributeValue)
	case "tpmSupport":
		out.TpmSupport = new(model.AttributeValue)
	case "uefiData":
		out.UefiData = new(model.AttributeValue)
	case "lastLaunchedTime":
		out.LastLaunchedTime = new(model.AttributeValue)
	case "imdsSupport":
		out.ImdsSupport = new(model.AttributeValue)
	case "deregistrationProtection":
		out.DeregistrationProtection = &model.AttributeValue{Value: new("disabled")}
	}
	return out, nil
}

// ModifyImageAttribute changes who may launch an image, or its description, in
// the structured form or by Attribute, OperationType and Value.
func (h *Handlers) ModifyImageAttribute(ctx context.Context, c *api.Call, in *model.ModifyImageAttributeInput) (*model.ModifyImageAttributeOutput, error) {
	id, err := imageID(in.ImageId)
	if err != nil {
		return nil, err
	}
	if err := refuse(
		param{"ImdsSupport", in.ImdsSupport != nil}, param{"OrganizationArn", len(in.OrganizationArns) > 0},
		param{"OrganizationalUnitArn", len(in.OrganizationalUnitArns) > 0}, param{"ProductCode", len(in.ProductCodes) > 0},
	); err != nil {
		return nil, err
	}
	cmd := events.ModifyImage{Image: id}
	if in.Description != nil {
		cmd.Description = new(value(in.Description.Value))
	}
	var add, remove []model.LaunchPermission
	if in.LaunchPermission != nil {
		add, remove = in.LaunchPermission.Add, in.LaunchPermission.Remove
	}
	var list []model.LaunchPermission
	for _, u := range in.UserIds {
		list = append(list, model.LaunchPermission{UserId: &u})
	}
	for _, g := range in.UserGroups {
		list = append(list, model.LaunchPermission{Group: &g})
	}
	switch attribute := value(in.Attribute); attribute {
	case "", "launchPermission":
		switch {
		case len(list) == 0:
		case value(in.OperationType) == "add":
			add = append(add, list...)
		case value(in.OperationType) == "remove":
			remove = append(remove, list...)
		default:
			return nil, events.Faultf("MissingParameter", "The request must contain the parameter OperationType: add or remove.")
		}
	case "description":
		if in.Value == nil && in.Description == nil {
			return nil, events.Faultf("MissingParameter", "The request must contain the parameter Value")
		}
		if in.Value != nil {
			cmd.Description = in.Value
		}
	default:
		return nil, unsupported("Attribute", "the attribute '%s' of an image cannot be changed; launchPermission and description can.", attribute)
	}
	if cmd.Add, err = permissions(add, true, &cmd); err != nil {
		return nil, err
	}
	if cmd.Remove, err = permissions(remove, false, &cmd); err != nil {
		return nil, err
	}
	if len(value(cmd.Description)) > maxDescription {
		return nil, events.Faultf("InvalidParameterValue", "The description has %d characters; at most %d are allowed.", len(*cmd.Description), maxDescription)
	}
	if cmd.Description == nil && cmd.Public == nil && len(cmd.Add) == 0 && len(cmd.Remove) == 0 {
		return nil, events.Faultf("InvalidParameterCombination", "The request changes nothing: give LaunchPermission or Description.")
	}
	_, err = h.do(ctx, c, 0, cmd)
	return new(model.ModifyImageAttributeOutput), err
}

// permissions reads launch permissions: the group all means everybody. The same
// group given and taken in one call is a mistake of the caller's.
func permissions(list []model.LaunchPermission, give bool, cmd *events.ModifyImage) ([]events.AccountID, error) {
	var out []events.AccountID
	for _, p := range list {
		switch {
		case p.OrganizationArn != nil || p.OrganizationalUnitArn != nil:
			return nil, unsupported("LaunchPermission.OrganizationArn", "there are no organizations; name accounts with UserId.")
		case p.Group != nil && *p.Group == "all":
			if cmd.Public != nil && *cmd.Public != give {
				return nil, events.Faultf("InvalidParameterCombination", "The group all cannot be added and removed at once.")
			}
			cmd.Public = &give
		case p.Group != nil:
			return nil, events.Faultf("InvalidAMIAttributeItemValue", "Invalid attribute item value \"%s\" for userGroup item type.", *p.Group)
		case !accountForm.MatchString(value(p.UserId)):
			return nil, events.Faultf("InvalidAMIAttributeItemValue", "Invalid attribute item value \"%s\" for userId item type.", value(p.UserId))
		default:
			out = append(out, events.AccountID(*p.UserId))
		}
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

// ResetImageAttribute takes an image back to its owner alone.
func (h *Handlers) ResetImageAttribute(ctx context.Context, c *api.Call, in *model.ResetImageAttributeInput) (*model.ResetImageAttributeOutput, error) {
	id, err := imageID(in.ImageId)
	if err != nil {
		return nil, err
	}
	if a := value(in.Attribute); a != "launchPermission" {
		return nil, events.Faultf("InvalidParameterValue", "The attribute '%s' cannot be reset; launchPermission can.", a)
	}
	_, err = h.do(ctx, c, 0, events.ModifyImage{Image: id, Reset: true})
	return new(model.ResetImageAttributeOutput), err
}
