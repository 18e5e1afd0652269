package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"skerry/deploy/firstday"
	"skerry/deploy/lab"
)

type tourCmd struct {
	Timeout time.Duration `help:"How long the tour may take." default:"6m"`
	Steps   int           `help:"How many of the day's steps to walk; all when left out." default:"99"`
}

// tourKey is the key pair of the tour; its private half is in the data directory.
const tourKey = "tour"

// guide runs the commands of a tour and shows them.
type guide struct {
	*env
	aws  string
	vars []string
}

// Run lives the first day on EC2. It can be repeated: what an earlier day left is
// ended first. Where guests are simulated there is no day to live, and the tour
// goes from the zones to an instance's console.
func (c *tourCmd) Run(e *env) error {
	r, err := e.region()
	if err != nil {
		return err
	}
	if r.Hypervisor == lab.QEMU {
		return c.day(e, r)
	}
	path, err := awsPath()
	if err != nil {
		return err
	}
	vars, err := e.environ()
	if err != nil {
		return err
	}
	g := &guide{e, path, append(vars, "AWS_PAGER=", "AWS_CLI_AUTO_PROMPT=off")}
	ctx, cancel := context.WithTimeout(e.ctx, c.Timeout)
	defer cancel()
	simulated(e, r)
	fmt.Fprintf(e.out, "# SKERRY_ENDPOINT=%s\n", endpoint(r))
	if err := g.look(ctx); err != nil {
		return err
	}
	if err := g.keyPair(ctx, r); err != nil {
		return err
	}
	id, err := g.instance(ctx)
	if err != nil {
		return err
	}
	if err := g.boot(ctx, id); err != nil {
		return err
	}
	g.next(r, id)
	return nil
}

// day walks the first day with real guests.
func (c *tourCmd) day(e *env, r *lab.Region) error {
	if _, err := awsPath(); err != nil {
		return err
	}
	if _, err := exec.LookPath("ssh"); err != nil {
		return problem{errors.New("there is no program ssh"), "apt-get install openssh-client"}
	}
	ctx, cancel := context.WithTimeout(e.ctx, c.Timeout)
	defer cancel()
	began := time.Now()
	d := &firstday.Day{Region: r, Skerry: e.binary, Out: e.out}
	fmt.Fprintf(e.out, "# The first day on EC2. In a shell of yours: eval \"$(%s env%s)\"; ssh runs under %s exec%s, which knows the region's names.\n", e.called(), e.dirFlag(), e.called(), e.dirFlag())
	for _, s := range firstday.Steps() {
		if s.Number > c.Steps {
			break
		}
		if err := d.Do(ctx, s); err != nil {
			return problem{err, "skerry doctor" + e.dirFlag()}
		}
	}
	fmt.Fprintf(e.out, "\n# The day took %.0f s; the first login %.1f s after run-instances, the first volume %.1f s after attach-volume.\n", time.Since(began).Seconds(), d.FirstSSH.Seconds(), d.Attach.Seconds())
	fmt.Fprintf(e.out, `# The region goes on running. Try next:
eval "$(%[1]s env%[2]s)"
%[1]s status%[2]s
%[1]s exec%[2]s -- ssh -i %[3]s ec2-user@NAME   # the PublicDnsName of an instance
%[1]s down%[2]s                                # the data stays; --purge removes it
`, e.called(), e.dirFlag(), quote(r.Path("tour", tourKey+".pem")))
	return nil
}

// show prints a command as a person types it, runs it, and prints its answer.
func (g *guide) show(ctx context.Context, args ...string) (string, error) {
	words := make([]string, len(args))
	for i, a := range args {
		words[i] = quote(a)
	}
	fmt.Fprintf(g.out, "\n$ aws %s --endpoint-url \"$SKERRY_ENDPOINT\"\n", strings.Join(words, " "))
	text, err := g.quiet(ctx, args...)
	// A console speaks in lines that end as a terminal's do.
	fmt.Fprint(g.out, strings.ReplaceAll(text, "\r\n", "\n"))
	return text, err
}

// quiet runs a command without a word.
func (g *guide) quiet(ctx context.Context, args ...string) (string, error) {
	endpoint := ""
	for _, v := range g.vars {
		if after, ok := strings.CutPrefix(v, "SKERRY_ENDPOINT="); ok {
			endpoint = after
		}
	}
	cmd := exec.CommandContext(ctx, g.aws, append(args, "--endpoint-url", endpoint)...)
	cmd.Env = g.vars
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	if err := cmd.Run(); err != nil {
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			err = errors.New("the tour's time is over")
		}
		return out.String(), problem{fmt.Errorf("aws %s %s: %w\n%s", args[0], args[1], err, strings.TrimSpace(complaint.String())), "skerry doctor" + g.dirFlag()}
	}
	return out.String(), nil
}

// look shows what the region offers.
func (g *guide) look(ctx context.Context) error {
	for _, args := range [][]string{
		{"ec2", "describe-availability-zones", "--query", "AvailabilityZones[].[ZoneName,State]", "--output", "text"},
		{"ec2", "describe-instance-types", "--query", "InstanceTypes[].[InstanceType,VCpuInfo.DefaultVCpus,MemoryInfo.SizeInMiB]", "--output", "text"},
		{"ec2", "describe-images", "--owners", "amazon", "--query", "Images[].[ImageId,Name,RootDeviceType]", "--output", "text"},
	} {
		if _, err := g.show(ctx, args...); err != nil {
			return err
		}
	}
	return nil
}

// keyPair makes the tour's key pair, or finds the one of an earlier tour.
func (g *guide) keyPair(ctx context.Context, r *lab.Region) error {
	file := r.Path("tour", tourKey+".pem")
	if _, err := os.Stat(file); err == nil {
		if _, err := g.quiet(ctx, "ec2", "describe-key-pairs", "--key-names", tourKey); err == nil {
			fmt.Fprintf(g.out, "\n# The key pair %s of an earlier tour is in %s.\n", tourKey, file)
			return nil
		}
	}
	// A key pair whose private half is lost is of no use.
	if _, err := g.quiet(ctx, "ec2", "delete-key-pair", "--key-name", tourKey); err != nil {
		return err
	}
	text, err := g.quiet(ctx, "ec2", "create-key-pair", "--key-name", tourKey, "--query", "KeyMaterial", "--output", "text")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(r.Path("tour"), 0o700); err != nil {
		return err
	}
	if err := lab.WriteFile(file, []byte(text), 0o600); err != nil {
		return err
	}
	fmt.Fprintf(g.out, "\n$ aws ec2 create-key-pair --key-name %s --query KeyMaterial --output text --endpoint-url \"$SKERRY_ENDPOINT\" > %s\n", tourKey, quote(file))
	_, err = g.show(ctx, "ec2", "describe-key-pairs", "--query", "KeyPairs[].[KeyName,KeyFingerprint]", "--output", "text")
	return err
}

// instance runs one instance, or finds the one of an earlier tour.
func (g *guide) instance(ctx context.Context) (string, error) {
	text, err := g.quiet(ctx, "ec2", "describe-instances", "--filters", "Name=key-name,Values="+tourKey,
		"Name=instance-state-name,Values=pending,running", "--query", "Reservations[].Instances[].InstanceId", "--output", "text")
	if err != nil {
		return "", err
	}
	if ids := strings.Fields(text); len(ids) > 0 {
		fmt.Fprintf(g.out, "\n# Instance %s of an earlier tour is there.\n", ids[0])
		return ids[0], nil
	}
	text, err = g.quiet(ctx, "ec2", "describe-images", "--owners", "amazon", "--filters", "Name=name,Values=skerry-linux", "--query", "Images[].ImageId", "--output", "text")
	if err != nil {
		return "", err
	}
	images := strings.Fields(text)
	if len(images) == 0 {
		return "", problem{errors.New("the region offers no image skerry-linux"), "make image"}
	}
	text, err = g.show(ctx, "ec2", "run-instances", "--image-id", images[0], "--instance-type", "sk1.tiny", "--key-name", tourKey,
		"--query", "Instances[].{Id:InstanceId,Zone:Placement.AvailabilityZone,State:State.Name}", "--output", "json")
	if err != nil {
		return "", err
	}
	var made []struct{ Id string }
	if err := json.Unmarshal([]byte(text), &made); err != nil || len(made) != 1 {
		return "", fmt.Errorf("run-instances answered %q", text)
	}
	return made[0].Id, nil
}

// boot waits for the instance and its console.
func (g *guide) boot(ctx context.Context, id string) error {
	describe := []string{"ec2", "describe-instances", "--instance-ids", id, "--query", "Reservations[].Instances[].[InstanceId,State.Name,Placement.AvailabilityZone,StateReason.Message]", "--output", "text"}
	err := g.until(ctx, "the instance to run", func() (bool, error) {
		text, err := g.quiet(ctx, describe...)
		f := strings.Fields(text)
		if err == nil && len(f) > 1 && f[1] != "pending" && f[1] != "running" {
			return false, problem{fmt.Errorf("instance %s became %s", id, strings.Join(f[1:], " ")), "skerry status instance " + id + g.dirFlag()}
		}
		return err == nil && len(f) > 1 && f[1] == "running", err
	})
	if err != nil {
		return err
	}
	if _, err := g.show(ctx, describe...); err != nil {
		return err
	}
	console := []string{"ec2", "get-console-output", "--instance-id", id, "--latest", "--query", "Output", "--output", "text"}
	err = g.until(ctx, "the guest to be ready", func() (bool, error) {
		text, err := g.quiet(ctx, console...)
		return strings.Contains(text, "SKERRY-READY"), err
	})
	if err != nil {
		return err
	}
	_, err = g.show(ctx, console...)
	return err
}

// until asks again and again, and says what it is waiting for.
func (g *guide) until(ctx context.Context, what string, there func() (bool, error)) error {
	began, told := time.Now(), false
	for {
		ok, err := there()
		if err != nil || ok {
			return err
		}
		if !told {
			g.say("Waiting for %s …", what)
			told = true
		}
		select {
		case <-ctx.Done():
			return problem{fmt.Errorf("waited %.0f s for %s", time.Since(began).Seconds(), what), "skerry doctor" + g.dirFlag()}
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func (g *guide) next(r *lab.Region, id string) {
	zones := r.Zones()
	me := g.called()
	fmt.Fprintf(g.out, `
# The region goes on running. Try next:
eval "$(%[1]s env%[2]s)"
aws ec2 run-instances --image-id IMAGE --instance-type sk1.tiny --placement AvailabilityZone=%[3]s --endpoint-url "$SKERRY_ENDPOINT"
%[1]s status instance %[4]s%[2]s     # where it is, and why
%[1]s fail az %[5]s --for 1m%[2]s    # pull a zone's control plane: nothing that runs notices
%[1]s status%[2]s
%[1]s doctor%[2]s
%[1]s down%[2]s                      # the data stays; --purge removes it
`, me, g.dirFlag(), zones[len(zones)-1], id, zones[0])
}
