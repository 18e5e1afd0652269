package api

import (
	"strings"
	"testing"

	"skerry/services/api/query"
)

// An audit tells parameters as they came, but no protocol, no user data and keys,
// and nothing that is too long.
func TestParameters(t *testing.T) {
	for sent, want := range map[string]string{
		"Action=CreateVpc&Version=2016-11-15&CidrBlock=10.0.0.0/16": `{"cidrBlock":"10.0.0.0/16"}`,
		"Action=CreateVpc": `{}`,
		"InstanceId.1=i-1&InstanceId.2=i-2&Force=true":                 `{"force":"true","instanceId.1":"i-1","instanceId.2":"i-2"}`,
		"UserData=c2VjcmV0":                                            `{"userData":"\u003csensitiveDataRemoved\u003e"}`,
		"UserData.Value=c2VjcmV0&LaunchTemplateData.UserData=c2VjcmV0": `{"launchTemplateData.userData":"\u003csensitiveDataRemoved\u003e","userData.value":"\u003csensitiveDataRemoved\u003e"}`,
		"Options.TunnelOptions.1.PreSharedKey=secret.psk":              `{"options.tunnelOptions.1.preSharedKey":"\u003csensitiveDataRemoved\u003e"}`,
		"Tag.1.Key=%C3%A9&tag.1.Value=%22":                             `{"tag.1.key":"é","tag.1.value":"\""}`,
		"%C3%89=1":                                                     `{"É":"1"}`,
		"Description=" + strings.Repeat("x", maxParameters):            ``,
		"Description=" + strings.Repeat("%22", maxParameters-20):       ``,
		"UserData=" + strings.Repeat("x", maxParameters):               `{"userData":"\u003csensitiveDataRemoved\u003e"}`,
	} {
		f, err := query.Parse(sent)
		if err != nil {
			t.Fatal(err)
		}
		f.Take("Action")
		f.Take("Version")
		if got := parameters(f); got != want {
			t.Errorf("%.80s: %s, want %s", sent, got, want)
		}
	}
}
