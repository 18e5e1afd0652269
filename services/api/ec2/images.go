package ec2

import (
	"context"
	"regexp"
	"slices"

	"skerry/events"
	"skerry/services/api"
	"skerry/services/api/filter"
	"skerry/services/api/ids"
	"skerry/services/api/model"
	"skerry/services/api/reply"
	"skerry/services/api/tags"
	"skerry/services/state"
	"skerry/services/tagging"
)

type imageRow = row[model.Image]

var imageListing = listing[model.Image]{min: 1, fields: filter.Fields[imageRow]{
	"architecture":        func(r imageRow) []string { return word(r.shown.Architecture) },
	"creation-date":       func(r imageRow) []string { return word(r.shown.CreationDate) },
	"description":         func(r imageRow) []string { return word(r.shown.Description) },
	"ena-support":         func(r imageRow) []string { return flag(r.shown.EnaSupport) },
	"hypervisor":          func(r imageRow) []string { return word(r.shown.Hypervisor) },
	"image-id":            func(r imageRow) []string { return word(r.shown.ImageId) },
	"image-type":          func(r imageRow) []string { return word(r.shown.ImageType) },
	"is-public":           func(r imageRow) []string { return flag(r.shown.Public) },
	"kernel-id":           func(r imageRow) []string { return word(r.shown.KernelId) },
	"manifest-location":   func(r imageRow) []string { return word(r.shown.ImageLocation) },
	"name":                func(r imageRow) []string { return word(r.shown.Name) },
	"owner-alias":         func(r imageRow) []string { return word(r.shown.ImageOwnerAlias) },
	"owner-id":            func(r imageRow) []string { return word(r.shown.OwnerId) },
	"platform":            func(r imageRow) []string { return word(r.shown.Platform) },
	"ramdisk-id":          func(r imageRow) []string { return word(r.shown.RamdiskId) },
	"root-device-name":    func(r imageRow) []string { return word(r.shown.RootDeviceName) },
	"root-device-type":    func(r imageRow) []string { return word(r.shown.RootDeviceType) },
	"state":               func(r imageRow) []string { return word(r.shown.State) },
	"virtualization-type": func(r imageRow) []string { return word(r.shown.VirtualizationType) },

	"block-device-mapping.delete-on-termination": imageVolumes(func(e model.EbsBlockDevice) []string { return flag(e.DeleteOnTermination) }),
	"block-device-mapping.device-name": func(r imageRow) []string {
		return each(r.shown.BlockDeviceMappings, func(m model.BlockDeviceMapping) []string { return word(m.DeviceName) })
	},
	"block-device-mapping.encrypted":   imageVolumes(func(e model.EbsBlockDevice) []string { return flag(e.Encrypted) }),
	"block-device-mapping.snapshot-id": imageVolumes(func(e model.EbsBlockDevice) []string { return word(e.SnapshotId) }),
	"block-device-mapping.volume-size": imageVolumes(func(e model.EbsBlockDevice) []string { return number(e.VolumeSize) }),
	"block-device-mapping.volume-type": imageVolumes(func(e model.EbsBlockDevice) []string { return word(e.VolumeType) }),
	"product-code":                     never[imageRow],
	"product-code.type":                never[imageRow],
	"source-instance-id":               never[imageRow],
	"sriov-net-support":                never[imageRow],
	"state-reason-code":                func(r imageRow) []string { return word(value(r.shown.StateReason).Code) },
	"state-reason-message":             func(r imageRow) []string { return word(value(r.shown.StateReason).Message) },
}}

var accountForm = regexp.MustCompile(`^[0-9]{12}$`)

// DescribeImages lists the images that the account may launch, by owner and by
// who was given them.
func (h *Handlers) DescribeImages(ctx context.Context, c *api.Call, in *model.DescribeImagesInput) (*model.DescribeImagesOutput, error) {
	for _, id := range in.ImageIds {
		if err := ids.OneOf(id, ids.Image, ids.Kernel, ids.Ramdisk); err != nil {
			return nil, err
		}
	}
	owned, err := owners(in.Owners, c.Account)
	if err != nil {
		return nil, err
	}
	executable, err := launchers(in.ExecutableUsers, c.Account)
	if err != nil {
		return nil, err
	}
	v, err := h.read(ctx)
	if err != nil {
		return nil, err
	}
	account := events.AccountID(c.Account)
	images, err := byID(in.ImageIds,
		func(id string) (*events.Image, bool) { return v.Image(account, events.ImageID(id)) },
		func(yield func(*events.Image)) {
			for _, i := range v.Images.All() {
				if state.Visible(i, account) {
					yield(i)
				}
			}
		}, func(names []string) error {
			return events.Faultf(ids.Image.NotFound, "The image id '[%s]' does not exist", names[0])
		})
	if err != nil {
		return nil, err
	}
	var rows []imageRow
	for _, i := range images {
		if owned(i) && executable(i) {
			rows = append(rows, imageRow{key: string(i.ID), shown: v.image(i), tags: v.imageTags(i, account)})
			rows[len(rows)-1].shown.Tags = shownTags(rows[len(rows)-1].tags)
		}
	}
	out := new(model.DescribeImagesOutput)
	out.Images, out.NextToken, err = imageListing.choose(h, c, ask{in.Filters, in.MaxResults, in.NextToken}, rows)
	return out, err
}

// owners reads the Owner parameter: self, an alias or an account.
func owners(list []string, account string) (func(*events.Image) bool, error) {
	for _, o := range list {
		if !slices.Contains([]string{"self", "amazon", "aws-marketplace", "aws-backup-vault"}, o) && !accountForm.MatchString(o) {
			return nil, events.Faultf("InvalidUserID.Malformed", "Invalid user id: \"%s\"; use self, amazon, aws-marketplace or an account id of 12 digits.", o)
		}
	}
	return func(i *events.Image) bool {
		return len(list) == 0 || slices.ContainsFunc(list, func(o string) bool {
			return o == string(i.Account) || o == "self" && string(i.Account) == account || o == i.OwnerAlias && o != ""
		})
	}, nil
}

// launchers reads the ExecutableBy parameter: all means public images, self or
// the caller's id those given to the caller, another id those that the caller
// gave to it.
func launchers(list []string, account string) (func(*events.Image) bool, error) {
	for _, e := range list {
		if e != "self" && e != "all" && !accountForm.MatchString(e) {
			return nil, events.Faultf("InvalidUserID.Malformed", "Invalid user id: \"%s\"; use self, all or an account id of 12 digits.", e)
		}
	}
	return func(i *events.Image) bool {
		return len(list) == 0 || slices.ContainsFunc(list, func(e string) bool {
			switch e {
			case "all":
				return i.Public
			case "self", account:
				return slices.Contains(i.LaunchAccounts, events.AccountID(account))
			}
			return string(i.Account) == account && slices.Contains(i.LaunchAccounts, events.AccountID(e))
		})
	}, nil
}

// imageTags are the caller's: an owner's tags are not shown to others.
func (v view) imageTags(i *events.Image, account events.AccountID) []events.Tag {
	if i.Account != account {
		return nil
	}
	return v.TagsOf(string(i.ID))
}

// image shows an image.
func (v view) image(i *events.Image) model.Image {
	out := model.Image{
		ImageId: some(i.ID), ImageType: &i.Type, Name: &i.Name, Description: some(i.Description), ImageLocation: &i.Location,
		OwnerId: some(i.Account), ImageOwnerAlias: some(i.OwnerAlias), Public: &i.Public, State: new(v.ImageState(i)),
		Architecture: &i.Architecture, VirtualizationType: some(i.Virtualization), Hypervisor: new("xen"),
		KernelId: some(i.Kernel), RamdiskId: some(i.Ramdisk), RootDeviceName: some(i.RootDevice), RootDeviceType: some(i.RootDeviceType),
		BlockDeviceMappings: v.mappingsOf(i), CreationDate: new(i.At.UTC().Format(reply.TimeFormat)),
	}
	if i.RootDeviceType == "ebs" && i.OwnerAlias == "" { // one that was copied is kept with its source's
		out.ImageLocation = new(string(i.Account) + "/" + i.Name)
	}
	if i.Absent {
		out.StateReason = &model.StateReason{Code: new("pending"), Message: new("The image waits for its files from the region " + i.SourceRegion + ", which are not in this region yet.")}
	}
	if i.Type == "machine" {
		out.PlatformDetails, out.UsageOperation, out.EnaSupport = new("Linux/UNIX"), new("RunInstances"), new(false)
	}
	return out
}

// mappingsOf shows the mappings of an image, with the sizes of its snapshots where
// it gives none.
func (v view) mappingsOf(i *events.Image) []model.BlockDeviceMapping {
	list := slices.Clone(i.Mappings)
	for n, m := range list {
		if s, ok := v.Snapshots.Get(string(m.Snapshot)); ok && m.SizeGiB == 0 {
			list[n].SizeGiB = s.SizeGiB
		}
	}
	return showMappings(list)
}

// imageVolumes is a filter on the volumes of an image's block device mapping.
func imageVolumes(values func(model.EbsBlockDevice) []string) func(imageRow) []string {
	return func(r imageRow) []string {
		return each(r.shown.BlockDeviceMappings, func(m model.BlockDeviceMapping) []string { return values(value(m.Ebs)) })
	}
}

// imageMade is the image that a command made.
func imageMade(reply events.Reply) *string {
	for _, r := range reply.Events {
		if e, ok := r.Event.(events.ImageRegistered); ok {
			return some(e.Image.ID)
		}
	}
	return nil
}

// imageTagSpecs reads the tags of an image and of its snapshots.
func imageTagSpecs(list []model.TagSpecification) (image, snapshot []events.Tag, err error) {
	specs, err := tags.Specs(list, "image", "snapshot")
	return specs["image"], specs["snapshot"], err
}

// describedImage refuses what an image cannot be called.
func describedImage(name, description *string) error {
	switch {
	case value(name) == "":
		return events.Faultf("MissingParameter", "The request must contain the parameter name")
	case !imageName.MatchString(*name):
		return events.Faultf("InvalidAMIName.Malformed", "AMI names must be between 3 and 128 characters long, and may contain letters, numbers, '(', ')', '.', '-', '/' and '_'")
	case len(value(description)) > maxDescription:
		return events.Faultf("InvalidParameterValue", "The description has %d characters; at most %d are allowed.", len(*description), maxDescription)
	}
	return nil
}

// CreateImage makes an image of an instance whose root is a volume. It is pending
// while its snapshots are.
func (h *Handlers) CreateImage(ctx context.Context, c *api.Call, in *model.CreateImageInput) (*model.CreateImageOutput, error) {
	if err := ids.Instance.Check(value(in.InstanceId)); err != nil {
		return nil, err
	}
	if err := describedImage(in.Name, in.Description); err != nil {
		return nil, err
	}
	cmd := events.CreateImage{Instance: events.InstanceID(*in.InstanceId), Name: *in.Name, Description: value(in.Description), NoReboot: value(in.NoReboot)}
	var err error
	if cmd.Tags, cmd.SnapshotTags, err = imageTagSpecs(in.TagSpecifications); err != nil {
		return nil, err
	}
	if cmd.Mappings, err = mappings(in.BlockDeviceMappings); err != nil {
		return nil, err
	}
	reply, err := h.do(ctx, c, 0, cmd)
	return &model.CreateImageOutput{ImageId: imageMade(reply)}, err
}

// CopyImage makes an image of another one, of this region or of another.
func (h *Handlers) CopyImage(ctx context.Context, c *api.Call, in *model.CopyImageInput) (*model.CopyImageOutput, error) {
	if err := ids.Image.Check(value(in.SourceImageId)); err != nil {
		return nil, err
	}
	if err := describedImage(in.Name, in.Description); err != nil {
		return nil, err
	}
	if err := refuse(param{"DestinationOutpostArn", value(in.DestinationOutpostArn) != ""}, param{"Encrypted", value(in.Encrypted)}, param{"KmsKeyId", value(in.KmsKeyId) != ""}); err != nil {
		return nil, err
	}
	cmd := events.CopyImage{Image: events.ImageID(*in.SourceImageId), Name: *in.Name, Description: value(in.Description), CopyTags: value(in.CopyImageTags)}
	var err error
	if cmd.Tags, cmd.SnapshotTags, err = imageTagSpecs(in.TagSpecifications); err != nil {
		return nil, err
	}
	from, err := h.elsewhere(ctx, c, in.SourceRegion)
	if err != nil {
		return nil, err
	}
	if from != nil {
		far, err := h.far.Image(ctx, *from, events.AccountID(c.Account), cmd.Image)
		if err != nil {
			return nil, err
		}
		cmd.Far = &far
	}
	reply, err := h.do(ctx, c, 0, cmd)
	return &model.CopyImageOutput{ImageId: imageMade(reply)}, err
}

var imageName = regexp.MustCompile(`^[A-Za-z0-9()\[\] ./'@_-]{3,128}$`)

// maxDescription is the longest description of an image ("RegisterImage").
const maxDescription = 255

// RegisterImage makes an image of the files of one that the caller may launch,
// named by its location.
func (h *Handlers) RegisterImage(ctx context.Context, c *api.Call, in *model.RegisterImageInput) (*model.RegisterImageOutput, error) {
	blocks, err := mappings(in.BlockDeviceMappings)
	if err != nil {
		return nil, err
	}
	if err := refuse(
		param{"BillingProduct", len(in.BillingProducts) > 0}, param{"BootMode", in.BootMode != nil},
		param{"EnaSupport", value(in.EnaSupport)}, param{"ImdsSupport", in.ImdsSupport != nil},
		param{"SriovNetSupport", in.SriovNetSupport != nil}, param{"TpmSupport", in.TpmSupport != nil}, param{"UefiData", in.UefiData != nil},
	); err != nil {
		return nil, err
	}
	if value(in.ImageLocation) == "" && !slices.ContainsFunc(blocks, func(b events.BlockDevice) bool { return b.Snapshot != "" }) {
		return nil, events.Faultf("MissingParameter", "The request must contain the parameter ImageLocation: the location of an image that you may launch, as DescribeImages shows it; or a BlockDeviceMapping of the root device with a snapshot.")
	}
	if !imageName.MatchString(value(in.Name)) {
		return nil, events.Faultf("InvalidAMIName.Malformed", "AMI names must be between 3 and 128 characters long, and may contain letters, numbers, '(', ')', '.', '-', '/' and '_'")
	}
	if len(value(in.Description)) > maxDescription {
		return nil, events.Faultf("InvalidParameterValue", "The description has %d characters; at most %d are allowed.", len(*in.Description), maxDescription)
	}
	if in.KernelId != nil {
		if err := ids.Kernel.Check(*in.KernelId); err != nil {
			return nil, err
		}
	}
	if in.RamdiskId != nil {
		if err := ids.Ramdisk.Check(*in.RamdiskId); err != nil {
			return nil, err
		}
	}
	specs, err := tags.Specs(in.TagSpecifications, "image", "snapshot")
	if err != nil {
		return nil, err
	}
	if err := tagging.Check(specs["image"]); err != nil {
		return nil, err
	}
	if want := value(in.VirtualizationType); want != "" && value(in.ImageLocation) != "" {
		v, err := h.read(ctx)
		if err != nil {
			return nil, err
		}
		for _, i := range v.Images.All() {
			if i.Location == *in.ImageLocation && i.Type == "machine" && state.Visible(i, events.AccountID(c.Account)) && i.Virtualization != want {
				return nil, events.Faultf("InvalidParameterValue", "The virtualization type '%s' does not match the files', which is '%s'.", want, i.Virtualization)
			}
		}
	}
	r, err := h.do(ctx, c, 0, events.RegisterImage{Image: events.Image{
		Name: *in.Name, Description: value(in.Description), Location: value(in.ImageLocation), Architecture: value(in.Architecture), Virtualization: value(in.VirtualizationType), Mappings: blocks,
		Kernel: events.ImageID(value(in.KernelId)), Ramdisk: events.ImageID(value(in.RamdiskId)), RootDevice: value(in.RootDeviceName),
	}})
	if err != nil {
		return nil, err
	}
	out := new(model.RegisterImageOutput)
	for _, e := range r.Events {
		if made, ok := e.Event.(events.ImageRegistered); ok {
			out.ImageId = some(made.Image.ID)
		}
	}
	if t := specs["image"]; len(t) > 0 && out.ImageId != nil {
		if _, err := h.do(ctx, c, 1, events.TagResources{Resources: []string{*out.ImageId}, Tags: t}); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// DeregisterImage takes an image off the list; its instances go on.
func (h *Handlers) DeregisterImage(ctx context.Context, c *api.Call, in *model.DeregisterImageInput) (*model.DeregisterImageOutput, error) {
	id, err := imageID(in.ImageId)
	if err != nil {
		return nil, err
	}
	_, err = h.do(ctx, c, 0, events.DeregisterImage{Image: id})
	return new(model.DeregisterImageOutput), err
}

func imageID(p *string) (events.ImageID, error) {
	return events.ImageID(value(p)), ids.OneOf(value(p), ids.Image, ids.Kernel, ids.Ramdisk)
}
