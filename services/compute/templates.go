package compute

import (
	"regexp"
	"slices"

	"skerry/events"
	"skerry/services/state"
	"skerry/services/tagging"
)

// Limits of launch templates ("Launch template restrictions").
const (
	maxTemplates    = 5000
	maxVersions     = 10000
	maxTemplateData = 64 << 10
)

// templateName is a name that a launch template can have ("CreateLaunchTemplate").
var templateName = regexp.MustCompile(`^[a-zA-Z0-9().\-/_]{3,128}$`)

// CreateTemplate makes a launch template with its first version.
func CreateTemplate(v *state.View, s events.Stamp, c events.CreateTemplate) ([]events.Event, error) {
	if !templateName.MatchString(c.Name) {
		return nil, events.Faultf("InvalidLaunchTemplateName.MalformedException", "Launch template name must be between 3 and 128 characters, and may contain letters, numbers, and the characters ( ) . - / _")
	}
	if err := checkVersion(c.Description, c.Data, c.UserData); err != nil {
		return nil, err
	}
	if err := tagging.Check(c.Tags); err != nil {
		return nil, err
	}
	n := 0
	for t := range v.TemplatesOf(s.Account) {
		if t.Name == c.Name {
			return nil, events.Faultf("InvalidLaunchTemplateName.AlreadyExistsException", "Launch template name already in use.")
		}
		n++
	}
	if n >= maxTemplates {
		return nil, events.Faultf("LaunchTemplateLimitExceeded", "The account has %d launch templates, which is the limit.", n)
	}
	id := events.TemplateID("lt-" + s.Seed.Hex("lt", 0))
	out := []events.Event{events.TemplateCreated{ID: id, Account: s.Account, Name: c.Name,
		First: events.TemplateVersion{Number: 1, Description: c.Description, Data: c.Data, UserData: c.UserData, By: s.Actor, At: s.Time}}}
	return append(out, tagging.New(s, string(id), c.Tags)...), nil
}

func checkVersion(description string, data, userData []byte) error {
	switch {
	case len(description) > 255:
		return events.Faultf("InvalidParameterValue", "The description of a version has up to 255 characters; there are %d.", len(description))
	case len(data) > maxTemplateData:
		return events.Faultf("InvalidParameterValue", "The data of a launch template has up to %d bytes; there are %d.", maxTemplateData, len(data))
	case len(userData) > maxUserData:
		return events.Faultf("InvalidParameterValue", "User data is limited to 16384 bytes")
	}
	return nil
}

func template(v *state.View, s events.Stamp, id events.TemplateID) (*state.Template, error) {
	t, ok := v.Template(s.Account, id, "")
	if id == "" || !ok {
		return nil, NoTemplate(string(id), "")
	}
	return t, nil
}

// NoTemplate is the fault for a launch template that is not there.
func NoTemplate(id, name string) error {
	if id != "" {
		return events.Faultf("InvalidLaunchTemplateId.NotFound", "The specified launch template, with template ID %s, does not exist.", id)
	}
	return events.Faultf("InvalidLaunchTemplateName.NotFoundException", "The specified launch template, with template name %s, does not exist.", name)
}

// NoVersion is the fault for a version that is not there.
func NoVersion(t *state.Template, n uint64) error {
	return events.Faultf("InvalidLaunchTemplateId.VersionNotFound", "Could not find the specified version %d for the launch template with ID %s.", n, t.ID)
}

// CreateTemplateVersion adds a version under the next number.
func CreateTemplateVersion(v *state.View, s events.Stamp, c events.CreateTemplateVersion) ([]events.Event, error) {
	t, err := template(v, s, c.Template)
	if err != nil {
		return nil, err
	}
	if err := checkVersion(c.Description, c.Data, c.UserData); err != nil {
		return nil, err
	}
	if len(t.Versions) >= maxVersions {
		return nil, events.Faultf("LaunchTemplateVersionLimitExceeded", "The launch template %s has %d versions, which is the limit.", t.ID, len(t.Versions))
	}
	return []events.Event{events.TemplateVersionCreated{ID: t.ID, Account: s.Account,
		Version: events.TemplateVersion{Number: t.Latest + 1, Description: c.Description, Data: c.Data, UserData: c.UserData, By: s.Actor, At: s.Time}}}, nil
}

// ModifyTemplate chooses the default version.
func ModifyTemplate(v *state.View, s events.Stamp, c events.ModifyTemplate) ([]events.Event, error) {
	t, err := template(v, s, c.Template)
	if err != nil {
		return nil, err
	}
	if _, ok := t.Version(c.Default); !ok {
		return nil, NoVersion(t, c.Default)
	}
	if t.Default == c.Default {
		return nil, nil
	}
	return []events.Event{events.TemplateModified{ID: t.ID, Account: s.Account, Default: c.Default}}, nil
}

// DeleteTemplate ends a launch template; what was launched from it stays.
func DeleteTemplate(v *state.View, s events.Stamp, c events.DeleteTemplate) ([]events.Event, error) {
	t, err := template(v, s, c.Template)
	if err != nil {
		return nil, err
	}
	return []events.Event{events.TemplateDeleted{ID: t.ID, Account: s.Account, Name: t.Name}}, nil
}

// DeleteTemplateVersions ends the versions that are there and not the default.
func DeleteTemplateVersions(v *state.View, s events.Stamp, c events.DeleteTemplateVersions) ([]events.Event, error) {
	t, err := template(v, s, c.Template)
	if err != nil {
		return nil, err
	}
	e := events.TemplateVersionsDeleted{ID: t.ID, Account: s.Account}
	for _, n := range c.Versions {
		if _, ok := t.Version(n); ok && n != t.Default && !slices.Contains(e.Versions, n) {
			e.Versions = append(e.Versions, n)
		}
	}
	if len(e.Versions) == 0 {
		return nil, nil
	}
	return []events.Event{e}, nil
}
