package ec2

import (
	"bytes"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"skerry/events"
)

// The stock AWS CLI walks from a key pair to the end of an instance.
func TestStockCLI(t *testing.T) {
	if testing.Short() {
		t.Skip("long: run by make test")
	}
	path, err := exec.LookPath("aws")
	if err != nil {
		t.Skip("the aws command is not installed")
	}
	t.Parallel() // each call starts an interpreter
	w := newWorld(t)
	cli := w.cli(path)
	if _, err := ssh.ParseRawPrivateKey([]byte(cli("ec2", "create-key-pair", "--key-name", "tour", "--key-type", "ed25519", "--query", "KeyMaterial"))); err != nil {
		t.Error(err)
	}
	got := cli("ec2", "run-instances", "--image-id", ami, "--count", "2", "--instance-type", "sk1.tiny", "--key-name", "tour", "--placement", "AvailabilityZone=isle-1b",
		"--user-data", "#!/bin/sh\necho é", "--tag-specifications", "ResourceType=instance,Tags=[{Key=Name,Value=a b}]",
		"--block-device-mappings", "DeviceName=/dev/sdb,VirtualName=ephemeral0", "--metadata-options", "HttpTokens=required",
		"--query", "Instances[].[InstanceId,State.Name,Placement.AvailabilityZone,Tags[0].Value,KeyName]")
	m := regexp.MustCompile(`^(i-[0-9a-f]{17})\tpending\tisle-1b\ta b\ttour\n(i-[0-9a-f]{17})\tpending\tisle-1b\ta b\ttour$`).FindStringSubmatch(got)
	if m == nil {
		t.Fatal(got)
	}
	w.place(t)
	for _, id := range m[1:] {
		w.report(t, id, events.PhaseRunning)
	}
	w.mu.Lock()
	w.consoles[events.InstanceID(m[1])] = events.Console{Output: []byte("READY"), Time: time.Now()}
	w.mu.Unlock()
	for _, c := range []step{
		{[]string{"ec2", "wait", "instance-running", "--instance-ids", m[1], m[2]}, ``},
		{[]string{"ec2", "describe-instances", "--filters", "Name=tag:Name,Values=a*", "Name=instance-state-name,Values=running", "--query",
			"Reservations[].Instances[].[InstanceId,PrivateDnsName,VirtualizationType,SecurityGroups[0].GroupName]"},
			m[1] + `\tip-172-31-16-4\.isle-1\.compute\.internal\tparavirtual\tdefault\n` + m[2] + `\t.*`},
		{[]string{"ec2", "describe-instance-attribute", "--instance-id", m[1], "--attribute", "userData", "--query", "UserData.Value"}, regexp.QuoteMeta(encode("#!/bin/sh\necho é"))},
		{[]string{"ec2", "get-console-output", "--instance-id", m[1], "--query", "Output"}, `READY`},
		{[]string{"ec2", "modify-instance-attribute", "--instance-id", m[1], "--instance-type", "m1.small"}, `.*\(IncorrectInstanceState\).*'stopped' state\.`},
		{[]string{"ec2", "describe-images", "--owners", "amazon", "--query", "Images[?ImageType=='machine'].[ImageId,Name,KernelId,RamdiskId]"}, ami + `\tskerry-linux\t` + aki + `\t` + ari},
		{[]string{"ec2", "terminate-instances", "--instance-ids", m[1], m[2], "--query", "TerminatingInstances[].[PreviousState.Name,CurrentState.Name]"}, `running\tshutting-down\nrunning\tshutting-down`},
	} {
		if got := cli(c.args...); !regexp.MustCompile(`^(?s:` + c.want + `)$`).MatchString(got) {
			t.Errorf("%v: %q", c.args[1:3], got)
		}
	}
}

// step is a call of the CLI and what it must print, as a pattern.
type step struct {
	args []string
	want string
}

// cli calls the stock CLI as alice. It returns what the CLI prints, or what it
// complains of.
func (w *world) cli(path string) func(...string) string {
	return func(args ...string) string {
		w.t.Helper()
		cmd := exec.CommandContext(w.t.Context(), path, append([]string{"--endpoint-url", w.url, "--region", "isle-1", "--output", "text"}, args...)...)
		cmd.Env = append(cmd.Environ(), "AWS_ACCESS_KEY_ID="+w.keys[alice], "AWS_SECRET_ACCESS_KEY="+w.key.Secret(w.keys[alice]), "AWS_SESSION_TOKEN=", "AWS_PAGER=",
			"AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null", "AWS_MAX_ATTEMPTS=1", "AWS_EC2_METADATA_DISABLED=true")
		var problems bytes.Buffer
		cmd.Stderr = &problems
		text, err := cmd.Output()
		if err != nil {
			return strings.TrimSpace(problems.String())
		}
		return strings.TrimSpace(string(text))
	}
}

// The first day on EC2, as far as the API sees it: a group, an instance, its
// names, a volume, an address.
func TestFirstDay(t *testing.T) {
	if testing.Short() {
		t.Skip("long: run by make test")
	}
	path, err := exec.LookPath("aws")
	if err != nil {
		t.Skip("the aws command is not installed")
	}
	t.Parallel() // each call starts an interpreter
	w := newWorld(t)
	cli := w.cli(path)
	walk := func(list ...step) {
		t.Helper()
		for _, c := range list {
			args := []string{"ec2"}
			for _, a := range c.args {
				args = append(args, strings.ReplaceAll(a, "WEB", w.groupID("web")))
			}
			if got := cli(args...); !regexp.MustCompile(`^(?s:` + c.want + `)$`).MatchString(got) {
				t.Errorf("%v: %q", c.args, got)
			}
		}
	}
	run := cli("ec2", "run-instances", "--image-id", ami, "--placement", "AvailabilityZone=isle-1a", "--query",
		"Instances[].[InstanceId,State.Name,PrivateDnsName,PrivateIpAddress,PublicDnsName,PublicIpAddress,InstanceType,SecurityGroups[0].GroupName,AmiLaunchIndex,KernelId,RootDeviceType,Monitoring.State,NetworkInterfaces[0].Association]")
	m := regexp.MustCompile(`^(i-[0-9a-f]{17})\tpending\tip-172-31-0-4\.isle-1\.compute\.internal\t172\.31\.0\.4\t\tNone\tm1\.small\tdefault\t0\t` + aki + `\tinstance-store\tdisabled\tNone$`).FindStringSubmatch(run)
	if m == nil {
		t.Fatalf("%q", run)
	}
	id := m[1]
	w.place(t)
	w.report(t, id, events.PhaseRunning)
	walk(
		step{[]string{"describe-instances", "--instance-ids", id, "--query", "Reservations[].Instances[].[State.Name,PublicDnsName,PublicIpAddress,NetworkInterfaces[0].Association.IpOwnerId]"},
			`running\tec2-198-18-0-16\.isle-1\.compute\.skerry\.internal\t198\.18\.0\.16\tamazon`},
		step{[]string{"create-security-group", "--group-name", "web"}, `.*--description.*`},
		step{[]string{"create-security-group", "--group-name", "web", "--description", "my web", "--query", "GroupId"}, `sg-[0-9a-f]{17}`},
		step{[]string{"describe-security-groups", "--group-names", "web", "--query", "SecurityGroups[].[length(IpPermissions),length(IpPermissionsEgress),IpPermissionsEgress[0].IpProtocol,IpPermissionsEgress[0].IpRanges[0].CidrIp]"},
			`0\t1\t-1\t0\.0\.0\.0/0`},
		step{[]string{"authorize-security-group-ingress", "--group-name", "web", "--protocol", "tcp", "--port", "22", "--cidr", "0.0.0.0/0", "--query", "[Return,SecurityGroupRules[].[IpProtocol,FromPort,ToPort,CidrIpv4]]"},
			`True\ntcp\t22\t22\t0\.0\.0\.0/0`},
		step{[]string{"authorize-security-group-ingress", "--group-name", "web", "--protocol", "tcp", "--port", "22", "--cidr", "0.0.0.0/0"}, `.*\(InvalidPermission\.Duplicate\).*`},
		step{[]string{"authorize-security-group-ingress", "--group-name", "web", "--protocol", "icmp", "--port", "-1", "--source-group", "web", "--query", "SecurityGroupRules[].[IpProtocol,FromPort,ToPort]"}, `icmp\t-1\t-1`},
		step{[]string{"authorize-security-group-ingress", "--group-name", "web", "--protocol", "tcp", "--cidr", "0.0.0.0/0"}, `.*\(InvalidParameterValue\).*`},
		step{[]string{"describe-security-group-rules", "--filters", "Name=group-id,Values=WEB", "--query", "SecurityGroupRules[].[IsEgress,IpProtocol]"}, `False\t(tcp|icmp)\nFalse\t(tcp|icmp)\nTrue\t-1`},
		step{[]string{"authorize-security-group-egress", "--group-id", "WEB", "--protocol", "tcp", "--port", "80-443", "--cidr", "10.0.0.0/8", "--query", "Return"}, `True`},
		step{[]string{"revoke-security-group-egress", "--group-id", "WEB", "--protocol", "all", "--cidr", "0.0.0.0/0", "--query", "Return"}, `True`},
		step{[]string{"revoke-security-group-ingress", "--group-name", "web", "--protocol", "tcp", "--port", "22", "--cidr", "0.0.0.0/0", "--query", "[Return,UnknownIpPermissions]"}, `True`},
		step{[]string{"modify-instance-attribute", "--instance-id", id, "--groups", "WEB"}, ``},
		step{[]string{"delete-security-group", "--group-name", "web"}, `.*\(DependencyViolation\).*`},
		step{[]string{"describe-network-interfaces", "--query", "NetworkInterfaces[].[Status,Attachment.InstanceId,Attachment.DeviceIndex,Association.PublicIp,Groups[0].GroupName,InterfaceType,RequesterManaged,SourceDestCheck]"},
			`in-use\t` + id + `\t0\t198\.18\.0\.16\tweb\tinterface\tFalse\tTrue`},
		step{[]string{"describe-internet-gateways", "--query", "InternetGateways[].Attachments[].State"}, `available`},
		step{[]string{"describe-route-tables", "--query", "RouteTables[].Routes[].[DestinationCidrBlock,Origin,State]"}, `172\.31\.0\.0/16\tCreateRouteTable\tactive\n0\.0\.0\.0/0\tCreateRoute\tactive`},
	)
	volume := cli("ec2", "create-volume", "--size", "1", "--availability-zone", "isle-1a", "--tag-specifications", "ResourceType=volume,Tags=[{Key=Name,Value=data}]", "--query", "[VolumeId,State]")
	m = regexp.MustCompile(`^(vol-[0-9a-f]{17})\tcreating$`).FindStringSubmatch(volume)
	if m == nil {
		t.Fatalf("%q", volume)
	}
	vol := m[1]
	w.placeVolumes(t)
	w.stored(t, vol, events.VolumeReady)
	walk(
		step{[]string{"wait", "volume-available", "--volume-ids", vol}, ``},
		step{[]string{"describe-volume-status", "--volume-ids", vol, "--query", "VolumeStatuses[].VolumeStatus.Status"}, `ok`},
		step{[]string{"describe-volume-attribute", "--volume-id", vol, "--attribute", "autoEnableIO", "--query", "AutoEnableIO.Value"}, `False`},
		step{[]string{"attach-volume", "--volume-id", vol, "--instance-id", id, "--device", "/dev/xvdb", "--query", "[State,Device]"}, `attaching\t/dev/xvdb`},
		step{[]string{"attach-volume", "--volume-id", vol, "--instance-id", id, "--device", "/dev/xvdc"}, `.*\(VolumeInUse\).*`},
	)
	w.disk(t, vol, events.DiskAttached)
	walk(
		step{[]string{"wait", "volume-in-use", "--volume-ids", vol}, ``},
		step{[]string{"describe-volumes", "--filters", "Name=attachment.instance-id,Values=" + id, "--query", "Volumes[].[State,Attachments[0].State,Attachments[0].Device]"}, `in-use\tattached\t/dev/xvdb`},
		step{[]string{"describe-instances", "--query", "Reservations[].Instances[].BlockDeviceMappings[].[DeviceName,Ebs.VolumeId,Ebs.Status]"}, `/dev/xvdb\t` + vol + `\tattached`},
		step{[]string{"detach-volume", "--volume-id", vol, "--query", "[State,Device]"}, `detaching\t/dev/xvdb`},
	)
	w.disk(t, vol, events.DiskReleased)
	w.stored(t, vol, events.VolumeReady)
	walk(
		step{[]string{"delete-volume", "--volume-id", vol}, ``},
		step{[]string{"allocate-address", "--query", "[PublicIp,Domain,PublicIpv4Pool]"}, `198\.18\.0\.17\tvpc\tamazon`},
		step{[]string{"associate-address", "--public-ip", "198.18.0.17", "--instance-id", id, "--query", "AssociationId"}, `eipassoc-[0-9a-f]{17}`},
		step{[]string{"describe-addresses", "--query", "Addresses[].[PublicIp,InstanceId,PrivateIpAddress]"}, `198\.18\.0\.17\t` + id + `\t172\.31\.0\.4`},
		step{[]string{"disassociate-address", "--public-ip", "198.18.0.17"}, ``},
		step{[]string{"release-address", "--public-ip", "198.18.0.17"}, ``},
	)
}

// groupID finds a group of alice's default VPC.
func (w *world) groupID(name string) string {
	g, ok := view{w.view()}.groupNamed(alice, name)
	if !ok {
		return ""
	}
	return string(g.ID)
}
