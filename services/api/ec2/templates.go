package ec2

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"

	"skerry/events"
	"skerry/services/api"
	"skerry/services/api/filter"
	"skerry/services/api/ids"
	"skerry/services/api/model"
	"skerry/services/api/tags"
	"skerry/services/compute"
	"skerry/services/state"
)

// What a launch template says is kept as JSON of EC2's own members. They have the
// same names in a template, in the reply that shows it, and in RunInstances: one
// is read as the other.

// templateData is what the region keeps of a template's data. User data is sealed
// apart.
func (h *Handlers) templateData(in *model.RequestLaunchTemplateData) (data, userData []byte, err error) {
	d := value(in)
	if userData, err = h.sealUserData(d.UserData); err != nil {
		return nil, nil, err
	}
	for _, s := range d.TagSpecifications {
		if !slices.Contains([]string{"instance", "volume", "network-interface"}, value(s.ResourceType)) {
			return nil, nil, events.Faultf("InvalidParameterValue", "'%s' is not a valid taggable resource type for a launch template.", value(s.ResourceType))
		}
	}
	d.UserData = nil
	data, err = json.Marshal(d)
	return data, userData, err
}

// reread reads the members of one shape as those of another.
func reread(data []byte, into any) error {
	if err := json.Unmarshal(data, into); err != nil {
		return fmt.Errorf("ec2: launch template: %w", err)
	}
	return nil
}

// template finds a template by id or by name.
func (v view) template(c *api.Call, id, name *string) (*state.Template, error) {
	switch {
	case value(id) != "" && value(name) != "":
		return nil, events.Faultf("InvalidParameterCombination", "You may specify a launch template ID or name, but not both in the same call")
	case value(id) == "" && value(name) == "":
		return nil, events.Faultf("MissingParameter", "Either a launch template ID or a launch template name must be specified")
	case value(id) != "":
		if err := ids.LaunchTemplate.Check(*id); err != nil {
			return nil, err
		}
	}
	t, ok := v.Template(events.AccountID(c.Account), events.TemplateID(value(id)), value(name))
	if !ok {
		return nil, compute.NoTemplate(value(id), value(name))
	}
	return t, nil
}

// versionOf finds a version: by number, $Latest or $Default.
func versionOf(t *state.Template, name string) (events.TemplateVersion, error) {
	n := t.Default
	switch name {
	case "", "$Default":
	case "$Latest":
		return t.Newest(), nil
	default:
		var err error
		if n, err = strconv.ParseUint(name, 10, 64); err != nil {
			return events.TemplateVersion{}, events.Faultf("InvalidLaunchTemplateVersion.Malformed", "Invalid launch template version: '%s'. Use a number, $Latest or $Default.", name)
		}
	}
	x, ok := t.Version(n)
	if !ok {
		return x, compute.NoVersion(t, n)
	}
	return x, nil
}

func showTemplate(t *state.Template) model.LaunchTemplate {
	first := t.Versions[0]
	return model.LaunchTemplate{LaunchTemplateId: some(t.ID), LaunchTemplateName: &t.Name, CreateTime: &first.At, CreatedBy: &first.By,
		DefaultVersionNumber: new(int64(t.Default)), LatestVersionNumber: new(int64(t.Newest().Number))}
}

// CreateLaunchTemplate makes a template with its first version.
func (h *Handlers) CreateLaunchTemplate(ctx context.Context, c *api.Call, in *model.CreateLaunchTemplateInput) (*model.CreateLaunchTemplateOutput, error) {
	if in.LaunchTemplateData == nil {
		return nil, events.Faultf("MissingParameter", "The request must contain the parameter LaunchTemplateData")
	}
	specs, err := tags.Specs(in.TagSpecifications, "launch-template")
	if err != nil {
		return nil, err
	}
	cmd := events.CreateTemplate{Name: value(in.LaunchTemplateName), Description: value(in.VersionDescription), Tags: specs["launch-template"]}
	if cmd.Data, cmd.UserData, err = h.templateData(in.LaunchTemplateData); err != nil {
		return nil, err
	}
	reply, err := h.do(ctx, c, 0, cmd)
	if err != nil || c.DryRun {
		return nil, err
	}
	for _, r := range reply.Events {
		if e, ok := r.Event.(events.TemplateCreated); ok {
			shown := showTemplate(&state.Template{ID: e.ID, Account: e.Account, Name: e.Name, Default: 1, Latest: 1, Versions: []events.TemplateVersion{e.First}})
			shown.Tags = toldTags(reply, string(e.ID))
			return &model.CreateLaunchTemplateOutput{LaunchTemplate: &shown}, nil
		}
	}
	return nil, fmt.Errorf("ec2: a launch template was made without a word of it")
}

// CreateLaunchTemplateVersion adds a version: what is given goes over what the
// source version says, if one is named.
func (h *Handlers) CreateLaunchTemplateVersion(ctx context.Context, c *api.Call, in *model.CreateLaunchTemplateVersionInput) (*model.CreateLaunchTemplateVersionOutput, error) {
	if in.LaunchTemplateData == nil {
		return nil, events.Faultf("MissingParameter", "The request must contain the parameter LaunchTemplateData")
	}
	v, err := h.read(ctx)
	if err != nil {
		return nil, err
	}
	t, err := v.template(c, in.LaunchTemplateId, in.LaunchTemplateName)
	if err != nil {
		return nil, err
	}
	data := *in.LaunchTemplateData
	cmd := events.CreateTemplateVersion{Template: t.ID, Description: value(in.VersionDescription)}
	var inherited []byte
	if name := value(in.SourceVersion); name != "" {
		source, err := versionOf(t, name)
		if err != nil {
			return nil, err
		}
		var base model.RequestLaunchTemplateData
		if err := reread(source.Data, &base); err != nil {
			return nil, err
		}
		under(reflect.ValueOf(&data).Elem(), reflect.ValueOf(base))
		inherited = source.UserData
	}
	if cmd.Data, cmd.UserData, err = h.templateData(&data); err != nil {
		return nil, err
	}
	if cmd.UserData == nil {
		cmd.UserData = inherited
	}
	reply, err := h.do(ctx, c, 0, cmd)
	if err != nil || c.DryRun {
		return nil, err
	}
	for _, r := range reply.Events {
		if e, ok := r.Event.(events.TemplateVersionCreated); ok {
			shown, err := h.showVersion(t, e.Version)
			return &model.CreateLaunchTemplateVersionOutput{LaunchTemplateVersion: &shown}, err
		}
	}
	return nil, fmt.Errorf("ec2: a version was made without a word of it")
}

// under fills what is not set in a struct from another one of its kind.
func under(to, from reflect.Value) {
	for i := range to.NumField() {
		f := to.Field(i)
		if f.IsZero() || f.Kind() == reflect.Slice && f.Len() == 0 {
			f.Set(from.Field(i))
		}
	}
}

func (h *Handlers) showVersion(t *state.Template, x events.TemplateVersion) (model.LaunchTemplateVersion, error) {
	data := new(model.ResponseLaunchTemplateData)
	if err := reread(x.Data, data); err != nil {
		return model.LaunchTemplateVersion{}, err
	}
	plain, err := h.key.Open(x.UserData)
	if err != nil {
		return model.LaunchTemplateVersion{}, fmt.Errorf("ec2: user data of %s: %w", t.ID, err)
	}
	if len(plain) > 0 {
		data.UserData = new(base64.StdEncoding.EncodeToString(plain))
	}
	return model.LaunchTemplateVersion{LaunchTemplateId: some(t.ID), LaunchTemplateName: &t.Name, VersionNumber: new(int64(x.Number)), VersionDescription: some(x.Description),
		CreateTime: &x.At, CreatedBy: &x.By, DefaultVersion: new(x.Number == t.Default), LaunchTemplateData: data}, nil
}

type templateRow = row[model.LaunchTemplate]

var templateListing = listing[model.LaunchTemplate]{max: 200, fields: filter.Fields[templateRow]{
	"create-time":          func(r templateRow) []string { return moment(r.shown.CreateTime) },
	"launch-template-name": func(r templateRow) []string { return word(r.shown.LaunchTemplateName) },
}}

// DescribeLaunchTemplates lists templates by id.
func (h *Handlers) DescribeLaunchTemplates(ctx context.Context, c *api.Call, in *model.DescribeLaunchTemplatesInput) (*model.DescribeLaunchTemplatesOutput, error) {
	if err := ids.LaunchTemplate.CheckAll(in.LaunchTemplateIds); err != nil {
		return nil, err
	}
	v, err := h.read(ctx)
	if err != nil {
		return nil, err
	}
	account := events.AccountID(c.Account)
	list, err := byID(append(slices.Clone(in.LaunchTemplateIds), in.LaunchTemplateNames...),
		func(n string) (*state.Template, bool) {
			if slices.Contains(in.LaunchTemplateIds, n) {
				return v.Template(account, events.TemplateID(n), "")
			}
			return v.Template(account, "", n)
		},
		func(yield func(*state.Template)) {
			for t := range v.TemplatesOf(account) {
				yield(t)
			}
		},
		func(names []string) error {
			if slices.Contains(in.LaunchTemplateIds, names[0]) {
				return compute.NoTemplate(names[0], "")
			}
			return compute.NoTemplate("", names[0])
		})
	if err != nil {
		return nil, err
	}
	out := new(model.DescribeLaunchTemplatesOutput)
	out.LaunchTemplates, out.NextToken, err = chooseFrom(templateListing, h, c, ask{in.Filters, in.MaxResults, in.NextToken}, list,
		func(t *state.Template) string { return string(t.ID) },
		func(t *state.Template) templateRow {
			r := templateRow{shown: showTemplate(t), tags: v.TagsOf(string(t.ID))}
			r.shown.Tags = shownTags(r.tags)
			return r
		})
	return out, err
}

type versionRow = row[model.LaunchTemplateVersion]

func data(r versionRow) model.ResponseLaunchTemplateData { return value(r.shown.LaunchTemplateData) }

var versionListing = listing[model.LaunchTemplateVersion]{tagless: true, max: 200, fields: filter.Fields[versionRow]{
	"create-time":             func(r versionRow) []string { return moment(r.shown.CreateTime) },
	"ebs-optimized":           func(r versionRow) []string { return flag(data(r).EbsOptimized) },
	"http-endpoint":           func(r versionRow) []string { return word(value(data(r).MetadataOptions).HttpEndpoint) },
	"http-protocol-ipv4":      never[versionRow],
	"host-resource-group-arn": func(r versionRow) []string { return word(value(data(r).Placement).HostResourceGroupArn) },
	"http-tokens":             func(r versionRow) []string { return word(value(data(r).MetadataOptions).HttpTokens) },
	"iam-instance-profile":    func(r versionRow) []string { return word(value(data(r).IamInstanceProfile).Arn) },
	"image-id":                func(r versionRow) []string { return word(data(r).ImageId) },
	"instance-type":           func(r versionRow) []string { return word(data(r).InstanceType) },
	"is-default-version":      func(r versionRow) []string { return flag(r.shown.DefaultVersion) },
	"kernel-id":               func(r versionRow) []string { return word(data(r).KernelId) },
	"license-configuration-arn": func(r versionRow) []string {
		return each(data(r).LicenseSpecifications, func(l model.LaunchTemplateLicenseConfiguration) []string { return word(l.LicenseConfigurationArn) })
	},
	"network-card-index": func(r versionRow) []string {
		return each(data(r).NetworkInterfaces, func(n model.LaunchTemplateInstanceNetworkInterfaceSpecification) []string {
			return number(n.NetworkCardIndex)
		})
	},
	"ram-disk-id": func(r versionRow) []string { return word(data(r).RamDiskId) },
}}

// DescribeLaunchTemplateVersions lists versions of one template by number, or the
// latest or default ones of all.
func (h *Handlers) DescribeLaunchTemplateVersions(ctx context.Context, c *api.Call, in *model.DescribeLaunchTemplateVersionsInput) (*model.DescribeLaunchTemplateVersionsOutput, error) {
	if err := notTogether("versions", len(in.Versions) > 0, "minVersion or maxVersion", in.MinVersion != nil || in.MaxVersion != nil); err != nil {
		return nil, err
	}
	v, err := h.read(ctx)
	if err != nil {
		return nil, err
	}
	var rows []versionRow
	add := func(t *state.Template, x events.TemplateVersion) error {
		shown, err := h.showVersion(t, x)
		key := fmt.Sprintf("%s/%020d", t.ID, x.Number)
		if !slices.ContainsFunc(rows, func(r versionRow) bool { return r.key == key }) {
			rows = append(rows, versionRow{key: key, shown: shown})
		}
		return err
	}
	if in.LaunchTemplateId == nil && in.LaunchTemplateName == nil {
		if len(in.Versions) == 0 {
			return nil, events.Faultf("MissingParameter", "Either a launch template or the versions $Latest or $Default must be specified")
		}
		for t := range v.TemplatesOf(events.AccountID(c.Account)) {
			for _, name := range in.Versions {
				if name != "$Latest" && name != "$Default" {
					return nil, events.Faultf("InvalidParameterValue", "Of all launch templates only the versions $Latest and $Default can be listed, not '%s'.", name)
				}
				x, err := versionOf(t, name)
				if err == nil {
					err = add(t, x)
				}
				if err != nil {
					return nil, err
				}
			}
		}
	} else {
		t, err := v.template(c, in.LaunchTemplateId, in.LaunchTemplateName)
		if err != nil {
			return nil, err
		}
		least, most := uint64(0), t.Latest
		for _, b := range []struct {
			name *string
			into *uint64
		}{{in.MinVersion, &least}, {in.MaxVersion, &most}} {
			if b.name != nil {
				if *b.into, err = strconv.ParseUint(*b.name, 10, 64); err != nil {
					return nil, events.Faultf("InvalidParameterValue", "Value (%s) for a version is invalid. Use a number.", *b.name)
				}
			}
		}
		list := in.Versions
		if len(list) == 0 {
			for _, x := range t.Versions {
				if x.Number >= least && x.Number <= most {
					list = append(list, strconv.FormatUint(x.Number, 10))
				}
			}
		}
		for _, name := range list {
			x, err := versionOf(t, name)
			if err == nil {
				err = add(t, x)
			}
			if err != nil {
				return nil, err
			}
		}
	}
	out := new(model.DescribeLaunchTemplateVersionsOutput)
	out.LaunchTemplateVersions, out.NextToken, err = versionListing.choose(h, c, ask{in.Filters, in.MaxResults, in.NextToken}, rows)
	return out, err
}

// ModifyLaunchTemplate chooses the default version.
func (h *Handlers) ModifyLaunchTemplate(ctx context.Context, c *api.Call, in *model.ModifyLaunchTemplateInput) (*model.ModifyLaunchTemplateOutput, error) {
	v, err := h.read(ctx)
	if err != nil {
		return nil, err
	}
	t, err := v.template(c, in.LaunchTemplateId, in.LaunchTemplateName)
	if err != nil {
		return nil, err
	}
	if value(in.DefaultVersion) == "" {
		return nil, events.Faultf("MissingParameter", "The request must contain the parameter SetDefaultVersion")
	}
	x, err := versionOf(t, *in.DefaultVersion)
	if err != nil {
		return nil, err
	}
	if _, err := h.do(ctx, c, 0, events.ModifyTemplate{Template: t.ID, Default: x.Number}); err != nil || c.DryRun {
		return nil, err
	}
	row := *t
	row.Default = x.Number
	shown := showTemplate(&row)
	return &model.ModifyLaunchTemplateOutput{LaunchTemplate: &shown}, nil
}

// DeleteLaunchTemplate ends a template with all of its versions.
func (h *Handlers) DeleteLaunchTemplate(ctx context.Context, c *api.Call, in *model.DeleteLaunchTemplateInput) (*model.DeleteLaunchTemplateOutput, error) {
	v, err := h.read(ctx)
	if err != nil {
		return nil, err
	}
	t, err := v.template(c, in.LaunchTemplateId, in.LaunchTemplateName)
	if err != nil {
		return nil, err
	}
	if _, err := h.do(ctx, c, 0, events.DeleteTemplate{Template: t.ID}); err != nil || c.DryRun {
		return nil, err
	}
	shown := showTemplate(t)
	return &model.DeleteLaunchTemplateOutput{LaunchTemplate: &shown}, nil
}

// DeleteLaunchTemplateVersions ends versions, and says of each whether it did.
func (h *Handlers) DeleteLaunchTemplateVersions(ctx context.Context, c *api.Call, in *model.DeleteLaunchTemplateVersionsInput) (*model.DeleteLaunchTemplateVersionsOutput, error) {
	v, err := h.read(ctx)
	if err != nil {
		return nil, err
	}
	t, err := v.template(c, in.LaunchTemplateId, in.LaunchTemplateName)
	if err != nil {
		return nil, err
	}
	if len(in.Versions) == 0 || len(in.Versions) > 200 {
		return nil, events.Faultf("InvalidParameterValue", "The request names %d versions; use 1 to 200.", len(in.Versions))
	}
	cmd := events.DeleteTemplateVersions{Template: t.ID}
	for _, name := range in.Versions {
		n, err := strconv.ParseUint(name, 10, 64)
		if err != nil {
			return nil, events.Faultf("InvalidLaunchTemplateVersion.Malformed", "Invalid launch template version: '%s'. Use a number.", name)
		}
		cmd.Versions = append(cmd.Versions, n)
	}
	reply, err := h.do(ctx, c, 0, cmd)
	if err != nil || c.DryRun {
		return nil, err
	}
	var gone []uint64
	for _, r := range reply.Events {
		if e, ok := r.Event.(events.TemplateVersionsDeleted); ok {
			gone = e.Versions
		}
	}
	out := &model.DeleteLaunchTemplateVersionsOutput{SuccessfullyDeletedLaunchTemplateVersions: []model.DeleteLaunchTemplateVersionsResponseSuccessItem{},
		UnsuccessfullyDeletedLaunchTemplateVersions: []model.DeleteLaunchTemplateVersionsResponseErrorItem{}}
	for _, n := range cmd.Versions {
		if slices.Contains(gone, n) {
			out.SuccessfullyDeletedLaunchTemplateVersions = append(out.SuccessfullyDeletedLaunchTemplateVersions,
				model.DeleteLaunchTemplateVersionsResponseSuccessItem{LaunchTemplateId: some(t.ID), LaunchTemplateName: &t.Name, VersionNumber: new(int64(n))})
			continue
		}
		why := &model.ResponseError{Code: new("launchTemplateVersionDoesNotExist"), Message: new(fmt.Sprintf("The version %d does not exist.", n))}
		if n == t.Default {
			why = &model.ResponseError{Code: new("unexpectedError"), Message: new(fmt.Sprintf("The version %d is the default version: choose another one first.", n))}
		}
		out.UnsuccessfullyDeletedLaunchTemplateVersions = append(out.UnsuccessfullyDeletedLaunchTemplateVersions,
			model.DeleteLaunchTemplateVersionsResponseErrorItem{LaunchTemplateId: some(t.ID), LaunchTemplateName: &t.Name, VersionNumber: new(int64(n)), ResponseError: why})
	}
	return out, nil
}

// fromTemplate fills what a launch leaves open from the template that it names,
// and says which one that was. Of the placement each member is left open by
// itself, but for the group: its name and its id say the same thing.
func (h *Handlers) fromTemplate(ctx context.Context, c *api.Call, in *model.RunInstancesInput) (events.TemplateID, uint64, error) {
	if in.LaunchTemplate == nil {
		return "", 0, nil
	}
	v, err := h.read(ctx)
	if err != nil {
		return "", 0, err
	}
	t, err := v.template(c, in.LaunchTemplate.LaunchTemplateId, in.LaunchTemplate.LaunchTemplateName)
	if err != nil {
		return "", 0, err
	}
	x, err := versionOf(t, value(in.LaunchTemplate.Version))
	if err != nil {
		return "", 0, err
	}
	var base model.RunInstancesInput
	if err := reread(x.Data, &base); err != nil {
		return "", 0, err
	}
	plain, err := h.key.Open(x.UserData)
	if err != nil {
		return "", 0, fmt.Errorf("ec2: user data of %s: %w", t.ID, err)
	}
	if len(plain) > 0 {
		base.UserData = new(base64.StdEncoding.EncodeToString(plain))
	}
	if len(in.SecurityGroups)+len(in.SecurityGroupIds) > 0 || len(in.NetworkInterfaces) > 0 {
		base.SecurityGroups, base.SecurityGroupIds = nil, nil
	}
	if in.SubnetId != nil || in.PrivateIpAddress != nil || len(in.SecurityGroups)+len(in.SecurityGroupIds) > 0 {
		base.NetworkInterfaces = nil
	}
	if in.Placement != nil && base.Placement != nil {
		if in.Placement.GroupName != nil || in.Placement.GroupId != nil {
			base.Placement.GroupName, base.Placement.GroupId = nil, nil
		}
		under(reflect.ValueOf(in.Placement).Elem(), reflect.ValueOf(*base.Placement))
	}
	under(reflect.ValueOf(in).Elem(), reflect.ValueOf(base))
	in.LaunchTemplate = nil
	return t.ID, x.Number, nil
}
