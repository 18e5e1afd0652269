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
	w := newWorld(t)
	cli := func(args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), path, append([]string{"--endpoint-url", w.url, "--region", "isle-1", "--output", "text"}, args...)...)
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
	for _, c := range []struct {
		args []string
		want string
	}{
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
