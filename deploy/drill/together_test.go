package drill

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Two regions stand side by side on one machine, with the accounts of the first.
// The stock AWS CLI sees both with one key; a key that ends in the first ends in
// the second; a copy gets an id of its own; and while the first is down the
// second goes on.
func TestDrillTwoRegions(t *testing.T) {
	if testing.Short() {
		t.Skip("long: run by make test")
	}
	if _, err := exec.LookPath("aws"); err != nil {
		t.Skip("the AWS CLI is not installed (package awscli)")
	}
	t.Run("memory", func(t *testing.T) { drillTwoRegions(t, "--hypervisor", "memory") })
	t.Run("qemu", func(t *testing.T) { drillTwoRegions(t, "--hypervisor", "qemu", "--images", realGuests(t)) })
}

func drillTwoRegions(t *testing.T, args ...string) {
	args = append(args, "--azs", "1", "--hosts", "1")
	r, skerry := stage(t, args...)
	one, two := r.Dir(), filepath.Join(t.TempDir(), "two")
	t.Cleanup(func() { skerry("down", "--purge", "--dir", two) })
	skerry(append([]string{"up", "--region", "isle-2", "--accounts", one, "--dir", two}, args...)...)
	bin, err := filepath.Abs("../../bin/skerry")
	if err != nil {
		t.Fatal(err)
	}
	// With a key of its own, a call names the region that it is signed for.
	try := func(in string, key []string, args ...string) (string, error) {
		cmd := exec.Command(bin, append([]string{"aws", "--dir", in, "--output", "text"}, args...)...)
		cmd.Env = append(os.Environ(), "AWS_MAX_ATTEMPTS=1")
		if key != nil {
			cmd = exec.Command("aws", append([]string{"--output", "text", "--region", in}, args...)...)
			cmd.Env = append(os.Environ(), key...)
		}
		b, err := cmd.CombinedOutput()
		return strings.TrimSpace(string(b)), err
	}
	aws := func(dir string, args ...string) string {
		t.Helper()
		out, err := try(dir, nil, args...)
		if err != nil {
			t.Fatalf("aws %v: %v\n%s", args, err, out)
		}
		return out
	}
	refused := func(code, dir string, args ...string) {
		t.Helper()
		if out, err := try(dir, nil, args...); err == nil || !strings.Contains(out, "("+code+")") {
			t.Errorf("aws %v: want %s, got %s", args, code, out)
		}
	}
	until := func(what string, holds func() bool) {
		t.Helper()
		for end := time.Now().Add(30 * time.Second); !holds(); time.Sleep(50 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%s: never", what)
			}
		}
	}

	for _, dir := range []string{one, two} {
		until("both regions are listed", func() bool {
			return strings.Join(strings.Fields(aws(dir, "ec2", "describe-regions", "--query", "sort_by(Regions,&RegionName)[].RegionName")), " ") == "isle-1 isle-2"
		})
	}
	endpoint := aws(one, "ec2", "describe-regions", "--region-names", "isle-2", "--query", "Regions[].Endpoint")
	if endpoint != aws(two, "ec2", "describe-regions", "--region-names", "isle-2", "--query", "Regions[].Endpoint") {
		t.Errorf("isle-1 shows isle-2 at %s", endpoint)
	}
	account := aws(one, "sts", "get-caller-identity", "--query", "Account")
	if got := aws(two, "sts", "get-caller-identity", "--query", "Account"); got != account {
		t.Errorf("the account is %s in one region and %s in the other", account, got)
	}

	// The same files are offered in both, under ids of their own.
	image := aws(one, "ec2", "describe-images", "--owners", "amazon", "--filters", "Name=image-type,Values=machine", "--query", "Images[0].ImageId")
	refused("InvalidAMIID.NotFound", two, "ec2", "describe-images", "--image-ids", image)
	copied := aws(two, "ec2", "copy-image", "--source-region", "isle-1", "--source-image-id", image, "--name", "copied", "--query", "ImageId")
	if got := aws(two, "ec2", "describe-images", "--image-ids", copied, "--query", "Images[].State"); got != "available" {
		t.Errorf("the copied image is %s", got)
	}
	instance := aws(two, "ec2", "run-instances", "--image-id", copied, "--instance-type", "sk1.tiny", "--query", "Instances[0].InstanceId")
	until("the instance runs", func() bool {
		return aws(two, "ec2", "describe-instances", "--instance-ids", instance, "--query", "Reservations[].Instances[].State.Name") == "running"
	})
	refused("InvalidInstanceID.NotFound", one, "ec2", "describe-instances", "--instance-ids", instance)

	volume := aws(one, "ec2", "create-volume", "--size", "1", "--availability-zone", "isle-1a", "--query", "VolumeId")
	until("the volume is there", func() bool {
		return aws(one, "ec2", "describe-volumes", "--volume-ids", volume, "--query", "Volumes[].State") == "available"
	})
	snapshot := aws(one, "ec2", "create-snapshot", "--volume-id", volume, "--query", "SnapshotId")
	until("the snapshot is there", func() bool {
		return aws(one, "ec2", "describe-snapshots", "--snapshot-ids", snapshot, "--query", "Snapshots[].State") == "completed"
	})
	far := aws(two, "ec2", "copy-snapshot", "--source-region", "isle-1", "--source-snapshot-id", snapshot, "--query", "SnapshotId")
	if got := aws(two, "ec2", "describe-snapshots", "--snapshot-ids", far, "--query", "Snapshots[].[State,StateMessage]"); !strings.HasPrefix(got, "pending") || !strings.Contains(got, snapshot) {
		t.Errorf("the copied snapshot is %s", got)
	}

	// Keys end in both, within a moment.
	who := exec.Command(bin, "user", "create", "--dir", one, account, "jo", "-o", "json")
	b, err := who.Output()
	if err != nil {
		t.Fatal(err)
	}
	var jo struct{ AccessKeyId, SecretAccessKey string }
	if err := json.Unmarshal(b, &jo); err != nil {
		t.Fatal(err)
	}
	key := []string{"AWS_ACCESS_KEY_ID=" + jo.AccessKeyId, "AWS_SECRET_ACCESS_KEY=" + jo.SecretAccessKey, "AWS_ENDPOINT_URL=http://" + endpoint}
	asked := func(region string) string {
		out, _ := try(region, key, "sts", "get-caller-identity")
		return out
	}
	until("jo is known in the second region", func() bool { return strings.Contains(asked("isle-2"), "user/jo") })
	if out := asked("isle-1"); !strings.Contains(out, "isle-2") {
		t.Errorf("a request signed for isle-1 is answered in isle-2: %s", out)
	}
	skerry("user", "delete", account, "jo", "--key", jo.AccessKeyId)
	deleted := time.Now()
	until("jo's key is refused in the second region", func() bool { return !strings.Contains(asked("isle-2"), "user/jo") })
	t.Logf("a key that ended in the first region was refused in the second %v later", time.Since(deleted).Round(time.Millisecond))

	skerry("down")
	if got := aws(two, "ec2", "describe-instances", "--instance-ids", instance, "--query", "Reservations[].Instances[].State.Name"); got != "running" {
		t.Errorf("with the first region down, the instance is %s", got)
	}
	refused("Unavailable", two, "ec2", "copy-snapshot", "--source-region", "isle-1", "--source-snapshot-id", snapshot)
	skerry("up")
	until("the first region is asked again", func() bool {
		_, err := try(two, nil, "ec2", "copy-snapshot", "--source-region", "isle-1", "--source-snapshot-id", snapshot)
		return err == nil
	})

	// A region that goes for good leaves the list, once.
	skerry("down", "--purge", "--dir", two)
	if got := aws(one, "ec2", "describe-regions", "--query", "Regions[].RegionName"); got != "isle-1" {
		t.Errorf("after the second region is gone, %s are listed", got)
	}
	out, err := exec.Command(bin, "forget", "isle-2", "--dir", one).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "isle-2") {
		t.Errorf("a region that is not listed is forgotten: %s", out)
	}
}
