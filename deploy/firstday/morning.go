package firstday

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"skerry/deploy/lab"
)

// lookAround: regions, zones, images and types.
func (d *Day) lookAround(ctx context.Context) error {
	d.began = time.Now()
	if err := d.clear(ctx); err != nil {
		return fmt.Errorf("an earlier day: %w", err)
	}
	var regions struct {
		Regions []struct{ RegionName, Endpoint string }
	}
	d.show("aws ec2 describe-regions")
	if err := d.aws(ctx, &regions, "describe-regions"); err != nil {
		return err
	}
	if len(regions.Regions) != 1 || regions.Regions[0].RegionName != d.Region.Name || regions.Regions[0].Endpoint == "" {
		return fmt.Errorf("regions: %+v", regions)
	}
	d.say("%s  %s", regions.Regions[0].RegionName, regions.Regions[0].Endpoint)
	var zones struct {
		AvailabilityZones []struct{ ZoneName, State string }
	}
	d.show("aws ec2 describe-availability-zones")
	if err := d.aws(ctx, &zones, "describe-availability-zones"); err != nil {
		return err
	}
	var names []string
	for _, z := range zones.AvailabilityZones {
		d.say("%s  %s", z.ZoneName, z.State)
		if z.State == "available" {
			names = append(names, z.ZoneName)
		}
	}
	if !slices.Equal(names, d.Region.Zones()) {
		return fmt.Errorf("available zones are %v, the region has %v", names, d.Region.Zones())
	}
	count := map[string]int{}
	for _, of := range [][]string{{"own", "--owners", "self"}, {"public", "--executable-users", "all"}, {"all"}} {
		var list struct {
			Images []struct {
				ImageID                            string `json:"ImageId"`
				Name, State, ImageType, OwnerID    string
				KernelID                           string `json:"KernelId"`
				RamdiskID                          string `json:"RamdiskId"`
				RootDeviceType, RootDeviceName     string
				ImageLocation, ImageOwnerAlias     string
				Public                             bool
				Architecture, VirtualizationType   string
				Description, Hypervisor, OwnerAcct string
			}
		}
		d.show("aws ec2 describe-images %s", strings.Join(of[1:], " "))
		if err := d.aws(ctx, &list, append([]string{"describe-images"}, of[1:]...)...); err != nil {
			return err
		}
		count[of[0]] = len(list.Images)
		if of[0] != "all" {
			continue
		}
		d.images = map[string]image{}
		for _, m := range list.Images {
			d.say("%s  %-22s %-8s kernel=%s ramdisk=%s root=%s", m.ImageID, m.Name, m.ImageType, m.KernelID, m.RamdiskID, m.RootDeviceType)
			if m.ImageType != "machine" {
				continue
			}
			d.images[m.Name] = image{ID: m.ImageID, Name: m.Name, State: m.State, KernelID: m.KernelID, RamdiskID: m.RamdiskID, RootDeviceType: m.RootDeviceType, Public: m.Public}
			if m.KernelID == "" || m.RamdiskID == "" || m.RootDeviceType != "instance-store" || m.State != "available" || !m.Public {
				return fmt.Errorf("image %s: %+v", m.ImageID, m)
			}
		}
	}
	if count["own"] != 0 || count["public"] == 0 || count["all"] != count["public"] || len(d.images) < 2 {
		return fmt.Errorf("images: %v, machine images %d", count, len(d.images))
	}
	var types struct {
		InstanceTypes []struct {
			InstanceType string
			VCPUInfo     struct{ DefaultVCpus int } `json:"VCpuInfo"`
			MemoryInfo   struct{ SizeInMiB int }
		}
	}
	d.show("aws ec2 describe-instance-types --instance-types m1.small sk1.tiny")
	if err := d.aws(ctx, &types, "describe-instance-types", "--instance-types", "m1.small", "sk1.tiny"); err != nil {
		return err
	}
	for _, t := range types.InstanceTypes {
		d.say("%s  %d vCPU  %d MiB", t.InstanceType, t.VCPUInfo.DefaultVCpus, t.MemoryInfo.SizeInMiB)
	}
	if len(types.InstanceTypes) != 2 {
		return fmt.Errorf("types: %+v", types)
	}
	return nil
}

// clear ends what an earlier day left.
func (d *Day) clear(ctx context.Context) error {
	if err := os.MkdirAll(d.Region.Path("tour"), 0o700); err != nil {
		return err
	}
	var old struct {
		Reservations []struct{ Instances []instance }
	}
	if err := d.aws(ctx, &old, "describe-instances", "--filters", "Name=key-name,Values="+keyName, "Name=instance-state-name,Values=pending,running,shutting-down"); err != nil {
		return err
	}
	var ids []string
	for _, r := range old.Reservations {
		for _, i := range r.Instances {
			ids = append(ids, i.InstanceID)
		}
	}
	if len(ids) > 0 {
		d.say("# ending %d instances of an earlier day", len(ids))
		if err := d.aws(ctx, nil, append([]string{"terminate-instances", "--instance-ids"}, ids...)...); err != nil {
			return err
		}
		for _, id := range ids {
			if err := d.ended(ctx, id); err != nil {
				return err
			}
		}
	}
	var volumes struct {
		Volumes []struct {
			VolumeID string `json:"VolumeId"`
		}
	}
	if err := d.aws(ctx, &volumes, "describe-volumes", "--filters", "Name=tag:day,Values=first"); err != nil {
		return err
	}
	for _, v := range volumes.Volumes {
		if err := d.volumeState(ctx, v.VolumeID, "available"); err != nil {
			return err
		}
		if err := d.aws(ctx, nil, "delete-volume", "--volume-id", v.VolumeID); err != nil {
			return err
		}
	}
	var groups struct {
		SecurityGroups []struct{ GroupName, GroupID string }
	}
	if err := d.aws(ctx, &groups, "describe-security-groups"); err != nil {
		return err
	}
	for _, g := range groups.SecurityGroups {
		if g.GroupName == "default" {
			d.group = g.GroupID
			continue
		}
		if strings.HasPrefix(g.GroupName, "tour-") {
			if err := d.aws(ctx, nil, "delete-security-group", "--group-name", g.GroupName); err != nil {
				return err
			}
		}
	}
	for _, rule := range openRules {
		// What is not there cannot be taken away.
		if err := d.aws(ctx, nil, append([]string{"revoke-security-group-ingress", "--group-name", "default"}, rule...)...); err != nil && !strings.Contains(err.Error(), "InvalidPermission.NotFound") {
			return err
		}
	}
	if d.group == "" {
		return errors.New("there is no group named default")
	}
	return nil
}

// openRules are what the day opens in the group default.
var openRules = [][]string{
	{"--protocol", "tcp", "--port", "22", "--cidr", "0.0.0.0/0"},
	{"--protocol", "icmp", "--port", "-1", "--cidr", "0.0.0.0/0"},
}

func (d *Day) ended(ctx context.Context, id string) error {
	return d.until(ctx, time.Minute, id+" to end", func(ctx context.Context) (bool, error) {
		i, err := d.describe(ctx, id)
		return err == nil && i.State.Name == "terminated", err
	})
}

// keyPair: the private half is told once and kept by the user alone.
func (d *Day) keyPair(ctx context.Context) error {
	if err := d.aws(ctx, nil, "delete-key-pair", "--key-name", keyName); err != nil {
		return err
	}
	d.show("aws ec2 create-key-pair --key-name %s --query KeyMaterial --output text > %s.pem", keyName, keyName)
	var made struct{ KeyMaterial, KeyFingerprint, KeyName string }
	if err := d.aws(ctx, &made, "create-key-pair", "--key-name", keyName); err != nil {
		return err
	}
	if !strings.Contains(made.KeyMaterial, "PRIVATE KEY") || made.KeyFingerprint == "" {
		return fmt.Errorf("the key pair is %d bytes, fingerprint %q", len(made.KeyMaterial), made.KeyFingerprint)
	}
	if err := lab.WriteFile(d.key(), []byte(made.KeyMaterial+"\n"), 0o600); err != nil {
		return err
	}
	var kept struct {
		KeyPairs []struct{ KeyName, KeyFingerprint, PublicKey string }
	}
	d.show("aws ec2 describe-key-pairs --include-public-key")
	if err := d.aws(ctx, &kept, "describe-key-pairs", "--key-names", keyName, "--include-public-key"); err != nil {
		return err
	}
	if len(kept.KeyPairs) != 1 || kept.KeyPairs[0].KeyFingerprint != made.KeyFingerprint {
		return fmt.Errorf("kept: %+v", kept)
	}
	d.say("%s  %s", kept.KeyPairs[0].KeyName, kept.KeyPairs[0].KeyFingerprint)
	public, err := d.run(ctx, "ssh-keygen", "-y", "-f", d.key())
	if err != nil {
		return err
	}
	half := strings.Fields(public)
	if len(half) < 2 || !strings.Contains(kept.KeyPairs[0].PublicKey, half[1]) {
		return fmt.Errorf("the region keeps %q, the private key belongs to %q", kept.KeyPairs[0].PublicKey, public)
	}
	// The region's own disk holds nothing of the private half.
	body := strings.Split(strings.TrimSpace(made.KeyMaterial), "\n")
	secret := []byte(body[len(body)/2])
	return filepath.WalkDir(d.Region.Path("nodes"), func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return nil // gone meanwhile
		}
		if i, err := e.Info(); err != nil || !i.Mode().IsRegular() || i.Size() > 64<<20 {
			return nil
		}
		b, err := os.ReadFile(path)
		if err == nil && strings.Contains(string(b), string(secret)) {
			return fmt.Errorf("%s holds a line of the private key", path)
		}
		return nil
	})
}

var millis = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}`)

// firstInstance: pending without public names, running with both.
func (d *Day) firstInstance(ctx context.Context) error {
	began := time.Now()
	i, err := d.start(ctx, "--image-id", d.images["skerry-linux"].ID)
	if err != nil {
		return err
	}
	dashed := strings.ReplaceAll(i.PrivateIPAddress, ".", "-")
	d.say("%s  %s  %s  %s  public: %q", i.InstanceID, i.State.Name, i.PrivateIPAddress, i.PrivateDNSName, i.PublicDNSName)
	switch {
	case i.State.Name != "pending":
		return fmt.Errorf("the new instance is %s", i.State.Name)
	case !strings.HasPrefix(i.PrivateIPAddress, "172.31.") || !strings.HasPrefix(i.PrivateDNSName, "ip-"+dashed+"."):
		return fmt.Errorf("private address %q, name %q", i.PrivateIPAddress, i.PrivateDNSName)
	case i.PublicIPAddress != "" || i.PublicDNSName != "":
		return fmt.Errorf("a pending instance shows the public address %q, name %q", i.PublicIPAddress, i.PublicDNSName)
	}
	if i, err = d.running(ctx, i.InstanceID); err != nil {
		return err
	}
	d.say("%s  %s  %s  %s  %s", i.InstanceID, i.State.Name, i.PrivateDNSName, i.PublicIPAddress, i.PublicDNSName)
	d.say("type %s, index %d, launched %s, zone %s, kernel %s, group %s, VPC %s, subnet %s, root %s, monitoring %s", i.InstanceType, deref(i.AmiLaunchIndex), i.LaunchTime,
		i.Placement.AvailabilityZone, i.KernelID, groupNames(i), i.VpcID, i.SubnetID, i.RootDeviceType, i.Monitoring.State)
	var bad []error
	check := func(ok bool, format string, a ...any) {
		if !ok {
			bad = append(bad, fmt.Errorf(format, a...))
		}
	}
	check(strings.HasPrefix(i.PublicDNSName, "ec2-"+strings.ReplaceAll(i.PublicIPAddress, ".", "-")+"."), "public address %q, name %q", i.PublicIPAddress, i.PublicDNSName)
	check(i.InstanceType == "m1.small", "the default type is %s", i.InstanceType)
	check(groupNames(i) == "default", "groups %q", groupNames(i))
	check(i.AmiLaunchIndex != nil && *i.AmiLaunchIndex == 0, "launch index %v", i.AmiLaunchIndex)
	check(millis.MatchString(i.LaunchTime), "launch time %q", i.LaunchTime)
	check(i.KernelID == d.images["skerry-linux"].KernelID, "kernel %q", i.KernelID)
	check(i.VpcID != "" && i.SubnetID != "" && i.Placement.AvailabilityZone != "", "VPC %q, subnet %q, zone %q", i.VpcID, i.SubnetID, i.Placement.AvailabilityZone)
	check(i.RootDeviceType == "instance-store" && i.Monitoring.State == "disabled" && i.KeyName == keyName, "root %q, monitoring %q, key %q", i.RootDeviceType, i.Monitoring.State, i.KeyName)
	d.a = i
	d.began = began
	return errors.Join(bad...)
}

func deref(n *int) int {
	if n == nil {
		return -1
	}
	return *n
}

func groupNames(i *instance) string {
	var out []string
	for _, g := range i.SecurityGroups {
		out = append(out, g.GroupName)
	}
	return strings.Join(out, " ")
}

// login: refused until a rule lets it in, then a shell with all that was promised.
func (d *Day) login(ctx context.Context) error {
	d.show("ssh -i %s.pem %s@%s", keyName, user, d.a.PublicDNSName)
	_, err := d.ssh(ctx, d.a.PublicDNSName, "true")
	if err == nil || !strings.Contains(err.Error(), "timed out") {
		return fmt.Errorf("before any rule ssh should time out: %w", err)
	}
	d.say("%s", err.(*failure).said)
	if err := d.authorize(ctx, openRules[0]); err != nil {
		return err
	}
	if err := d.reachable(ctx, d.a); err != nil {
		return err
	}
	d.FirstSSH = time.Since(d.began)
	who, err := d.in(ctx, d.a, "whoami; sudo whoami; uname -r; hostname")
	if err != nil {
		return err
	}
	if err := expect("the shell", who, user+"\nroot\n", "ip-"+strings.ReplaceAll(d.a.PrivateIPAddress, ".", "-")); err != nil {
		return err
	}
	addrs, err := d.in(ctx, d.a, "ip -4 -o addr; ifconfig eth0")
	if err != nil {
		return err
	}
	if err := expect("ifconfig", addrs, d.a.PrivateIPAddress); err != nil {
		return err
	}
	if strings.Contains(addrs, d.a.PublicIPAddress) {
		return fmt.Errorf("the guest's interface has the public address:\n%s", addrs)
	}
	told, err := d.in(ctx, d.a, "wget -q -O - http://169.254.169.254/latest/meta-data/public-ipv4; echo; "+
		"T=$(curl -s -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' http://169.254.169.254/latest/api/token); "+
		"curl -s -H \"X-aws-ec2-metadata-token: $T\" http://169.254.169.254/latest/meta-data/public-ipv4; echo")
	if err != nil {
		return err
	}
	if told != d.a.PublicIPAddress+"\n"+d.a.PublicIPAddress+"\n" {
		return fmt.Errorf("the metadata service tells %q, the public address is %s", told, d.a.PublicIPAddress)
	}
	disks, err := d.in(ctx, d.a, "df -h / /mnt")
	if err != nil {
		return err
	}
	if err := expect("df", disks, " /\n", " /mnt\n"); err != nil {
		return err
	}
	gib, err := d.ssh(ctx, d.a.PublicDNSName, "df -k / /mnt | awk 'NR>1 {print int($2/1048576+0.5)}'")
	if err != nil {
		return err
	}
	// m1.small: 10 GiB of root and 160 GiB beside it, less what a file system needs.
	var root, mnt int
	if _, err := fmt.Sscan(gib, &root, &mnt); err != nil || root < 9 || root > 10 || mnt < 150 || mnt > 160 {
		return fmt.Errorf("root has %d GiB and /mnt %d GiB: m1.small promises 10 and 160", root, mnt)
	}
	return nil
}

func (d *Day) authorize(ctx context.Context, rule []string) error {
	args := append([]string{"authorize-security-group-ingress", "--group-name", "default"}, rule...)
	d.show("aws ec2 %s", strings.Join(args, " "))
	return d.aws(ctx, nil, args...)
}
