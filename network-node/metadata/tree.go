package metadata

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"skerry/events"
)

// versions are those that EC2 lists. All show the same tree: a category that a
// client of an old version does not know does not disturb it.
var versions = []string{
	"1.0", "2007-01-19", "2007-03-01", "2007-08-29", "2007-10-10", "2007-12-15", "2008-02-01", "2008-09-01", "2009-04-04",
	"2011-01-01", "2011-05-01", "2012-01-12", "2014-02-25", "2014-11-05", "2015-10-20", "2016-04-19", "2016-06-30", "2016-09-02",
	"2018-03-28", "2018-08-17", "2018-09-24", "2019-10-01", "2020-10-27", "2021-01-03", "2021-03-23", "2021-07-15", "2022-09-24",
	"2024-04-11", "latest",
}

// tree is everything below a version: path to content. A folder is there when
// something is in it.
type tree map[string]string

func (t tree) put(path, value string) { t[path] = value }

// some is put for what only exists when it has a value.
func (t tree) some(path, value string) {
	if value != "" {
		t[path] = value
	}
}

// grow makes the tree of an instance ("Instance metadata categories").
func grow(m events.MetadataSpec) tree {
	t := tree{}
	const md = "meta-data/"
	t.put(md+"ami-id", string(m.Image))
	t.put(md+"ami-launch-index", strconv.Itoa(m.LaunchIndex))
	t.some(md+"ami-manifest-path", m.Location)
	t.put(md+"events/maintenance/history", "[]")
	t.put(md+"events/maintenance/scheduled", "[]")
	t.put(md+"instance-action", "none")
	t.put(md+"instance-id", string(m.Instance))
	t.put(md+"instance-life-cycle", "on-demand")
	t.put(md+"instance-type", m.Type)
	t.some(md+"kernel-id", string(m.Kernel))
	t.some(md+"ramdisk-id", string(m.Ramdisk))
	t.put(md+"placement/availability-zone", string(m.Zone))
	t.some(md+"placement/availability-zone-id", m.ZoneID)
	t.put(md+"placement/region", m.Region)
	t.put(md+"profile", "default-hvm")
	t.put(md+"reservation-id", string(m.Reservation))
	t.put(md+"services/domain", "skerry.internal")
	t.put(md+"services/partition", "aws") // as in the names (ARNs) of resources

	for _, d := range m.Devices {
		if plain(d.Virtual) {
			t.put(md+"block-device-mapping/"+d.Virtual, d.Device)
		}
	}
	if m.PublicKey != "" {
		// With a newline, so that it can be appended to authorized_keys.
		t.put(md+"public-keys/0/openssh-key", strings.TrimSpace(m.PublicKey)+"\n")
	}
	if m.Options.InstanceTags == "enabled" {
		for _, tag := range m.Tags {
			if plain(tag.Key) {
				t.put(md+"tags/instance/"+tag.Key, tag.Value)
			}
		}
	}
	for i, n := range m.Interfaces {
		if i == 0 { // the primary one speaks for the instance
			t.some(md+"hostname", n.LocalName)
			t.some(md+"local-hostname", n.LocalName)
			t.some(md+"local-ipv4", text(n.PrivateIP))
			if len(n.IPv6) > 0 {
				t.put(md+"ipv6", n.IPv6[0].String())
			}
			t.put(md+"mac", n.MAC)
			t.some(md+"public-hostname", n.PublicName)
			t.some(md+"public-ipv4", text(n.Public))
			t.some(md+"security-groups", strings.Join(n.GroupNames, "\n"))
		}
		t.network(md+"network/interfaces/macs/"+strings.ToLower(n.MAC)+"/", m, n)
	}

	t.put("dynamic/fws/instance-monitoring", "disabled")
	t.put("dynamic/instance-identity/document", document(m))
	var lines []string
	for _, d := range m.Devices {
		if d.Serial != "" && d.Device != "" {
			lines = append(lines, d.Serial+" "+d.Device)
		}
	}
	slices.Sort(lines)
	t.put("dynamic/skerry/block-devices", strings.Join(slices.Compact(lines), "\n"))
	t.some("user-data", string(m.UserData))
	return t
}

// network is one interface.
func (t tree) network(at string, m events.MetadataSpec, n events.InterfacePart) {
	t.put(at+"device-number", strconv.Itoa(n.Index))
	t.put(at+"interface-id", string(n.Interface))
	t.some(at+"local-hostname", n.LocalName)
	if n.PrivateIP.IsValid() {
		t.put(at+"local-ipv4s", lines(append([]netip.Addr{n.PrivateIP}, n.Secondary...)))
		t.put(at+"subnet-ipv4-cidr-block", n.SubnetCIDR.String())
	}
	t.some(at+"ipv4-prefix", lines(n.Prefixes))
	t.some(at+"ipv6s", lines(n.IPv6))
	if n.SubnetCIDR6.IsValid() {
		t.put(at+"subnet-ipv6-cidr-blocks", n.SubnetCIDR6.String())
	}
	t.some(at+"vpc-ipv6-cidr-blocks", lines(n.VPCBlocks6))
	t.put(at+"mac", n.MAC)
	t.put(at+"owner-id", string(m.Account))
	t.some(at+"public-hostname", n.PublicName)
	if n.Public.IsValid() {
		t.put(at+"public-ipv4s", n.Public.String())
		t.put(at+"ipv4-associations/"+n.Public.String(), n.PrivateIP.String())
	}
	ids := make([]string, len(n.Groups))
	for i, g := range n.Groups {
		ids[i] = string(g)
	}
	t.some(at+"security-group-ids", strings.Join(ids, "\n"))
	t.some(at+"security-groups", strings.Join(n.GroupNames, "\n"))
	t.put(at+"subnet-id", string(n.Subnet))
	t.put(at+"vpc-id", string(n.VPC))
	if len(n.VPCBlocks) > 0 {
		t.put(at+"vpc-ipv4-cidr-block", n.VPCBlocks[0].String())
		t.put(at+"vpc-ipv4-cidr-blocks", lines(n.VPCBlocks))
	}
}

// lines writes a list, one to a line.
func lines[T fmt.Stringer](list []T) string {
	out := make([]string, len(list))
	for i, x := range list {
		out[i] = x.String()
	}
	return strings.Join(out, "\n")
}

// document is the instance identity document, in EC2's layout. It is not signed:
// signature, pkcs7 and rsa2048 are not there, and so not listed.
func document(m events.MetadataSpec) string {
	var private string
	if len(m.Interfaces) > 0 {
		private = text(m.Interfaces[0].PrivateIP)
	}
	b, err := json.MarshalIndent(struct {
		Account  events.AccountID  `json:"accountId"`
		Arch     string            `json:"architecture"`
		Zone     events.Zone       `json:"availabilityZone"`
		Billing  []string          `json:"billingProducts"`
		Devpay   []string          `json:"devpayProductCodes"`
		Market   []string          `json:"marketplaceProductCodes"`
		Image    events.ImageID    `json:"imageId"`
		Instance events.InstanceID `json:"instanceId"`
		Type     string            `json:"instanceType"`
		Kernel   *events.ImageID   `json:"kernelId"`
		Pending  string            `json:"pendingTime"`
		Private  string            `json:"privateIp"`
		Ramdisk  *events.ImageID   `json:"ramdiskId"`
		Region   string            `json:"region"`
		Version  string            `json:"version"`
	}{
		Account: m.Account, Arch: m.Architecture, Zone: m.Zone, Image: m.Image, Instance: m.Instance, Type: m.Type,
		Kernel: orNull(m.Kernel), Pending: m.Pending.UTC().Format(time.RFC3339), Private: private, Ramdisk: orNull(m.Ramdisk),
		Region: m.Region, Version: "2017-09-30",
	}, "", "  ")
	if err != nil {
		panic(err) // it has no value that cannot be marshalled
	}
	return string(b)
}

func orNull(id events.ImageID) *events.ImageID {
	if id == "" {
		return nil
	}
	return &id
}

func text(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

// plain says whether s can be one step of a path: what EC2 asks of the keys of
// tags that instances may read.
func plain(s string) bool {
	return s != "" && s != "." && s != ".." && s != "_index" && !strings.ContainsFunc(s, func(c rune) bool {
		return !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("+-=.,_:@", c))
	})
}

// find returns what a path leads to: the content of a leaf or the listing of a
// folder. The path has no slashes at its ends.
func (t tree) find(path string, m events.MetadataSpec) (string, bool) {
	if v, ok := t[path]; ok {
		return v, true
	}
	// A key pair's folder is listed with its name: "0=my-key".
	if path == "meta-data/public-keys" && m.PublicKey != "" {
		return "0=" + m.KeyName, true
	}
	prefix := path + "/"
	if path == "" {
		prefix = ""
	}
	names := map[string]bool{}
	for p := range t {
		rest, ok := strings.CutPrefix(p, prefix)
		if !ok {
			continue
		}
		name, _, deeper := strings.Cut(rest, "/")
		if deeper {
			name += "/"
		}
		names[name] = true
	}
	if path == "" && len(names) > 0 { // EC2 lists the roots without a slash
		bare := map[string]bool{}
		for n := range names {
			bare[strings.TrimSuffix(n, "/")] = true
		}
		names = bare
	}
	if len(names) == 0 {
		return "", false
	}
	return strings.Join(slices.Sorted(maps.Keys(names)), "\n"), true
}

// clean splits a request's path into version and the rest, without empty steps:
// clients ask with and without slashes at the end, and with doubled ones.
func clean(path string) (version, rest string, err error) {
	var steps []string
	for s := range strings.SplitSeq(path, "/") {
		switch s {
		case "":
		case ".", "..":
			return "", "", fmt.Errorf("the step %q", s)
		default:
			steps = append(steps, s)
		}
	}
	if len(steps) == 0 {
		return "", "", nil
	}
	return steps[0], strings.Join(steps[1:], "/"), nil
}
