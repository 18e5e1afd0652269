package firstday

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// hostOf is the host that an instance or a volume is on.
func (d *Day) hostOf(ctx context.Context, what, id string) (string, error) {
	out, err := d.skerry(ctx, "-o", "json", "status", what, id)
	if err != nil {
		return "", err
	}
	var told struct{ Host string }
	if err := json.Unmarshal([]byte(out), &told); err != nil || told.Host == "" {
		return "", fmt.Errorf("no host in %q: %w", out, err)
	}
	return told.Host, nil
}

// neighbours: on another host of the zone, and in another zone.
func (d *Day) neighbours(ctx context.Context) (err error) {
	zone := d.a.Placement.AvailabilityZone
	zones := d.Region.Zones()
	other := zones[(slices.Index(zones, zone)+1)%len(zones)]
	host, err := d.hostOf(ctx, "instance", d.a.InstanceID)
	if err != nil {
		return err
	}
	// EC2's users cannot choose hosts; an operator can close one.
	d.show("skerry drain %s", host)
	if _, err := d.skerry(ctx, "drain", host); err != nil {
		return err
	}
	defer func() {
		_, e := d.skerry(ctx, "drain", host, "--resume")
		err = errors.Join(err, e)
	}()
	first, second := d.images["skerry-linux"].ID, d.images["skerry-linux-2"].ID
	if d.b, err = d.launch(ctx, "--image-id", second, "--instance-type", "sk1.tiny", "--placement", "AvailabilityZone="+zone); err != nil {
		return err
	}
	if d.c, err = d.launch(ctx, "--image-id", first, "--instance-type", "sk1.tiny", "--placement", "AvailabilityZone="+other); err != nil {
		return err
	}
	for _, i := range []*instance{d.b, d.c} {
		h, err := d.hostOf(ctx, "instance", i.InstanceID)
		if err != nil {
			return err
		}
		d.say("# %s is on %s, %s on %s", d.a.InstanceID, host, i.InstanceID, h)
		if h == host {
			return fmt.Errorf("%s is on the same host", i.InstanceID)
		}
	}
	// The group default lets its members reach each other by private address.
	// Without that rule nobody does.
	self := []string{"--protocol", "all", "--source-group", d.group}
	d.show("aws ec2 revoke-security-group-ingress --group-id %s %s", d.group, strings.Join(self, " "))
	if err := d.aws(ctx, nil, append([]string{"revoke-security-group-ingress", "--group-id", d.group}, self...)...); err != nil {
		return err
	}
	ping := func(i *instance, address string) (string, error) {
		return d.in(ctx, i, "ping -c 1 -W 2 "+address+" 2>&1 | tail -2; exit 0")
	}
	for _, to := range []string{d.b.PrivateIPAddress, d.b.PublicIPAddress, d.c.PrivateIPAddress, d.c.PublicIPAddress} {
		err := d.until(ctx, 10*time.Second, "pings to be refused", func(context.Context) (bool, error) {
			out, err := ping(d.a, to)
			return err == nil && strings.Contains(out, "100% packet loss"), err
		})
		if err != nil {
			return fmt.Errorf("before a rule allows pings, %s answers one: %w", to, err)
		}
	}
	if err := d.authorize(ctx, openRules[1]); err != nil {
		return err
	}
	for _, from := range []*instance{d.a, d.b, d.c} {
		for _, to := range []*instance{d.a, d.b, d.c} {
			if from == to {
				continue
			}
			for _, address := range []string{to.PrivateIPAddress, to.PublicIPAddress} {
				err := d.until(ctx, 10*time.Second, "a ping", func(context.Context) (bool, error) {
					out, err := ping(from, address)
					return err == nil && strings.Contains(out, " 0% packet loss"), err
				})
				if err != nil {
					return fmt.Errorf("%s does not reach %s at %s: %w", from.InstanceID, to.InstanceID, address, err)
				}
			}
		}
	}
	d.show("aws ec2 authorize-security-group-ingress --group-id %s %s", d.group, strings.Join(self, " "))
	if err := d.aws(ctx, nil, append([]string{"authorize-security-group-ingress", "--group-id", d.group}, self...)...); err != nil {
		return err
	}
	// By public address the receiver sees the sender's public address.
	if err := d.seen(ctx, d.c.PublicIPAddress, d.a.PublicIPAddress); err != nil {
		return err
	}
	if err := d.seen(ctx, d.c.PrivateIPAddress, d.a.PrivateIPAddress); err != nil {
		return err
	}
	inside, err := d.in(ctx, d.a, "nslookup "+d.c.PublicDNSName)
	if err != nil {
		return err
	}
	return expect("inside, the external name", inside, d.c.PrivateIPAddress)
}

// seen connects from a to c's ssh and looks at c whom it sees. A connection
// that ends is made again.
func (d *Day) seen(ctx context.Context, address, want string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	var wg sync.WaitGroup
	defer wg.Wait()
	held, let := context.WithCancel(ctx)
	defer let()
	ended := make(chan string, 1)
	wg.Go(func() {
		for held.Err() == nil {
			out, err := d.ssh(held, d.a.PublicDNSName, "sleep 20 | nc "+address+" 22")
			select {
			case ended <- fmt.Sprintf("the connection ended: %v %s", err, out):
			default:
			}
			select {
			case <-held.Done():
			case <-time.After(time.Second):
			}
		}
	})
	err := d.until(ctx, 45*time.Second, "the connection to be seen from "+want, func(ctx context.Context) (bool, error) {
		try, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		out, err := d.ssh(try, d.c.PublicDNSName, "netstat -tn")
		if ctx.Err() != nil {
			return false, nil // what the looks before saw is what counts
		}
		return strings.Contains(out, want+":"), errors.Join(err, fmt.Errorf("netstat says:\n%s", out))
	})
	if err != nil {
		select {
		case e := <-ended:
			return fmt.Errorf("%w; %s", err, e)
		default:
			return err
		}
	}
	d.say("# %s sees a connection to %s come from %s", d.c.InstanceID, address, want)
	return nil
}

// groups: a description is mandatory, one egress rule for everything, ingress
// before egress.
func (d *Day) groups(ctx context.Context) error {
	if err := d.refused(ctx, "MissingParameter", "create-security-group", "--group-name", "tour-web", "--description", ""); err != nil {
		return err
	}
	var made struct {
		GroupID string `json:"GroupId"`
	}
	d.show("aws ec2 create-security-group --group-name tour-web --description 'web servers'")
	if err := d.aws(ctx, &made, "create-security-group", "--group-name", "tour-web", "--description", "web servers"); err != nil {
		return err
	}
	type permission struct {
		IPProtocol string `json:"IpProtocol"`
		FromPort   *int
		IPRanges   []struct {
			CidrIP string `json:"CidrIp"`
		} `json:"IpRanges"`
	}
	var told struct {
		SecurityGroups []struct {
			IPPermissions       []permission `json:"IpPermissions"`
			IPPermissionsEgress []permission `json:"IpPermissionsEgress"`
			VpcID               string       `json:"VpcId"`
		}
	}
	look := func() error {
		return d.aws(ctx, &told, "describe-security-groups", "--group-names", "tour-web")
	}
	d.show("aws ec2 describe-security-groups --group-names tour-web")
	if err := look(); err != nil {
		return err
	}
	g := told.SecurityGroups[0]
	if len(g.IPPermissions) != 0 || len(g.IPPermissionsEgress) != 1 || g.IPPermissionsEgress[0].IPProtocol != "-1" ||
		len(g.IPPermissionsEgress[0].IPRanges) != 1 || g.IPPermissionsEgress[0].IPRanges[0].CidrIP != "0.0.0.0/0" || g.VpcID != d.a.VpcID {
		return fmt.Errorf("a new group: %+v", g)
	}
	d.say("egress: everything to 0.0.0.0/0")
	args := []string{"authorize-security-group-ingress", "--group-name", "tour-web", "--protocol", "tcp", "--port", "80", "--cidr", "0.0.0.0/0"}
	d.show("aws ec2 %s", strings.Join(args, " "))
	if err := d.aws(ctx, nil, args...); err != nil {
		return err
	}
	if err := d.refused(ctx, "InvalidPermission.Duplicate", args...); err != nil {
		return err
	}
	var rules struct {
		SecurityGroupRules []struct {
			IsEgress   bool
			IPProtocol string `json:"IpProtocol"`
		}
	}
	if err := d.aws(ctx, &rules, "describe-security-group-rules", "--filters", "Name=group-id,Values="+made.GroupID); err != nil {
		return err
	}
	if len(rules.SecurityGroupRules) != 2 {
		return fmt.Errorf("rules: %+v", rules)
	}
	if err := look(); err != nil {
		return err
	}
	if g := told.SecurityGroups[0]; len(g.IPPermissions) != 1 || len(g.IPPermissionsEgress) != 1 {
		return fmt.Errorf("after authorize: %+v", g)
	}
	if rules.SecurityGroupRules[0].IsEgress {
		return fmt.Errorf("egress is listed before ingress: %+v", rules)
	}
	if err := d.refused(ctx, "CannotDelete", "delete-security-group", "--group-id", d.group); err != nil {
		return err
	}
	d.show("aws ec2 delete-security-group --group-name tour-web")
	return d.aws(ctx, nil, "delete-security-group", "--group-name", "tour-web")
}

type volume struct {
	State       string
	Attachments []struct{ State, InstanceID, Device string }
}

func (d *Day) describeVolume(ctx context.Context, id string) (volume, error) {
	var out struct {
		Volumes []volume
	}
	if err := d.aws(ctx, &out, "describe-volumes", "--volume-ids", id); err != nil {
		return volume{}, err
	}
	return out.Volumes[0], nil
}

func (v volume) String() string {
	s := v.State
	for _, a := range v.Attachments {
		s += fmt.Sprintf(" (%s to %s as %s)", a.State, a.InstanceID, a.Device)
	}
	return s
}

func (d *Day) volumeState(ctx context.Context, id string, want string) error {
	return d.until(ctx, 40*time.Second, id+" to be "+want, func(ctx context.Context) (bool, error) {
		v, err := d.describeVolume(ctx, id)
		if err != nil {
			return false, err
		}
		state := v.State
		if len(v.Attachments) > 0 {
			state += " " + v.Attachments[0].State
		}
		if state != want {
			return false, fmt.Errorf("it is %s", v)
		}
		return true, nil
	})
}

func (d *Day) createVolume(ctx context.Context, zone string) (string, error) {
	var made struct {
		VolumeID string `json:"VolumeId"`
		State    string
	}
	args := []string{"create-volume", "--size", "1", "--availability-zone", zone, "--tag-specifications", "ResourceType=volume,Tags=[{Key=day,Value=first}]"}
	d.show("aws ec2 %s", strings.Join(args, " "))
	if err := d.aws(ctx, &made, args...); err != nil {
		return "", err
	}
	d.say("%s  %s", made.VolumeID, made.State)
	if made.State != "creating" {
		return "", fmt.Errorf("a new volume is %q", made.State)
	}
	return made.VolumeID, d.volumeState(ctx, made.VolumeID, "available")
}

// attach gives a volume to an instance and waits for its device there.
func (d *Day) attach(ctx context.Context, v string, i *instance, device string) (time.Duration, error) {
	began := time.Now()
	args := []string{"attach-volume", "--volume-id", v, "--instance-id", i.InstanceID, "--device", device}
	d.show("aws ec2 %s", strings.Join(args, " "))
	var made struct{ State, Device string }
	if err := d.aws(ctx, &made, args...); err != nil {
		return 0, err
	}
	d.say("%s  %s", made.Device, made.State)
	if made.State != "attaching" {
		return 0, fmt.Errorf("the new attachment is %q", made.State)
	}
	// One login waits for the device: logins take longer than it does.
	if _, err := d.ssh(ctx, i.PublicDNSName, "n=0; while ! [ -b "+device+" ]; do n=$((n+1)); [ $n -gt 400 ] && exit 1; sleep 0.05; done"); err != nil {
		return 0, fmt.Errorf("%s did not come to have %s: %w", i.InstanceID, device, err)
	}
	took := time.Since(began)
	return took, d.volumeState(ctx, v, "in-use attached")
}

// volumes: from creating to the data in another instance.
func (d *Day) volumes(ctx context.Context) (err error) {
	if d.volume, err = d.createVolume(ctx, d.a.Placement.AvailabilityZone); err != nil {
		return err
	}
	attach := func(i *instance) []string {
		return []string{"attach-volume", "--volume-id", d.volume, "--instance-id", i.InstanceID, "--device", "/dev/xvdb"}
	}
	if err := d.refused(ctx, "InvalidVolume.ZoneMismatch", attach(d.c)...); err != nil {
		return err
	}
	if d.Attach, err = d.attach(ctx, d.volume, d.a, "/dev/xvdb"); err != nil {
		return err
	}
	d.say("# the guest had its disk %.2f s after the call", d.Attach.Seconds())
	if err := d.refused(ctx, "VolumeInUse", attach(d.b)...); err != nil {
		return err
	}
	if _, err := d.in(ctx, d.a, "ls -l /dev/xvdb && sudo mkfs.ext4 -q /dev/xvdb && sudo mkdir -p /data && sudo mount /dev/xvdb /data && "+
		"echo 'the first day' | sudo tee /data/note && df -h /data && lsblk"); err != nil {
		return err
	}
	d.show("aws ec2 detach-volume --volume-id %s", d.volume)
	if err := d.aws(ctx, nil, "detach-volume", "--volume-id", d.volume); err != nil {
		return err
	}
	// It is mounted: it stays detaching, and works, for as long as anybody looks.
	if err := d.volumeState(ctx, d.volume, "in-use detaching"); err != nil {
		return err
	}
	end := time.Now().Add(6 * time.Second)
	for n := 0; time.Now().Before(end); n++ {
		out, err := d.ssh(ctx, d.a.PublicDNSName, fmt.Sprintf("echo %d | sudo tee /data/busy >/dev/null && sync && cat /data/note", n))
		if err != nil || out != "the first day\n" {
			return fmt.Errorf("the volume was taken while it was mounted: %w: %q", err, out)
		}
		v, err := d.describeVolume(ctx, d.volume)
		if err != nil {
			return err
		}
		if v.State != "in-use" || len(v.Attachments) != 1 || v.Attachments[0].State != "detaching" {
			return fmt.Errorf("a mounted volume is said to be %s", v)
		}
	}
	d.say("in-use (detaching): it is mounted")
	if _, err := d.in(ctx, d.a, "sudo umount /data"); err != nil {
		return err
	}
	if err := d.volumeState(ctx, d.volume, "available"); err != nil {
		return err
	}
	err = d.until(ctx, 5*time.Second, "/dev/xvdb to go", func(ctx context.Context) (bool, error) {
		out, err := d.ssh(ctx, d.a.PublicDNSName, "ls /dev/xvdb 2>&1; exit 0")
		return err == nil && strings.Contains(out, "No such file"), errors.Join(err, fmt.Errorf("ls says %q", out))
	})
	if err != nil {
		return err
	}
	if _, err := d.attach(ctx, d.volume, d.b, "/dev/xvdb"); err != nil {
		return err
	}
	out, err := d.in(ctx, d.b, "grep PRETTY /etc/os-release; sudo mkdir -p /data && sudo mount /dev/xvdb /data && cat /data/note")
	if err != nil {
		return err
	}
	return expect("the other instance", out, "the first day")
}

// endings: reboot keeps everything, terminate keeps volumes.
func (d *Day) endings(ctx context.Context) (err error) {
	if _, err := d.in(ctx, d.a, "echo kept | sudo tee /root-note /mnt/note >/dev/null; sync"); err != nil {
		return err
	}
	boot := "cat /proc/sys/kernel/random/boot_id"
	before, err := d.ssh(ctx, d.a.PublicDNSName, boot)
	if err != nil {
		return err
	}
	d.show("aws ec2 reboot-instances --instance-ids %s", d.a.InstanceID)
	if err := d.aws(ctx, nil, "reboot-instances", "--instance-ids", d.a.InstanceID); err != nil {
		return err
	}
	if err := d.until(ctx, time.Minute, "the reboot", func(ctx context.Context) (bool, error) {
		now, err := d.ssh(ctx, d.a.PublicDNSName, boot)
		return err == nil && now != before, err
	}); err != nil {
		return err
	}
	out, err := d.in(ctx, d.a, "cat /root-note /mnt/note")
	if err != nil || out != "kept\nkept\n" {
		return fmt.Errorf("after a reboot: %q, %w", out, err)
	}
	now, err := d.describe(ctx, d.a.InstanceID)
	if err != nil || now.PublicIPAddress != d.a.PublicIPAddress || now.PrivateIPAddress != d.a.PrivateIPAddress {
		return fmt.Errorf("after a reboot the addresses are others: %+v, %w", now, err)
	}
	// Terminate the one that has the volume mounted, with data not written back.
	if _, err := d.in(ctx, d.b, "echo 'written last' | sudo tee /data/last"); err != nil {
		return err
	}
	d.show("aws ec2 terminate-instances --instance-ids %s", d.b.InstanceID)
	if err := d.aws(ctx, nil, "terminate-instances", "--instance-ids", d.b.InstanceID); err != nil {
		return err
	}
	if err := d.ended(ctx, d.b.InstanceID); err != nil {
		return err
	}
	if err := d.volumeState(ctx, d.volume, "available"); err != nil {
		return err
	}
	host, err := d.skerry(ctx, "status", "instance", d.b.InstanceID)
	if err != nil {
		return err
	}
	d.say("%s", strings.TrimSpace(host))
	if _, err := d.attach(ctx, d.volume, d.a, "/dev/xvdb"); err != nil {
		return err
	}
	out, err = d.in(ctx, d.a, "sudo mkdir -p /data; sudo mount /dev/xvdb /data && cat /data/note /data/last")
	if err != nil {
		return err
	}
	return expect("the volume after its instance's end", out, "the first day", "written last")
}
