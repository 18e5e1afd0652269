// Package firstday is the day that every introduction to EC2 makes, lived in a
// region on this machine with the stock AWS CLI and ssh. `skerry tour` shows it,
// and a test lives it with real guests.
//
//	look around ─ key pair ─ first instance ─ ssh ─ neighbours ─ groups ─
//	volumes ─ reboot and terminate ─ a day of faults ─ (down)
//
// Each step checks what it sees and says what is wrong; a day that ends without
// an error has seen everything.
package firstday

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"skerry/deploy/lab"
)

// Day is one walk. It keeps what it makes: a day after it begins by clearing that
// away.
type Day struct {
	Region *lab.Region
	Skerry string    // path of the skerry command
	Out    io.Writer // commands and answers as a person sees them

	images    map[string]image // by name
	group     string           // default group
	volume    string
	a, b, c   *instance // a and b share a zone, not a host; c is elsewhere
	began     time.Time
	FirstSSH  time.Duration // from the run-instances call to the first login
	Attach    time.Duration // from the attach-volume call to the device in the guest
	Recovered time.Duration // the longest that API writes waited in the day of faults
}

// Step is a part of the day.
type Step struct {
	Number int
	Title  string
	Do     func(*Day, context.Context) error
}

// Steps are the parts of the day in order. Bringing the region up comes before
// the first and taking it down after the last.
func Steps() []Step {
	return []Step{
		{1, "look around", (*Day).lookAround},
		{2, "a key pair", (*Day).keyPair},
		{3, "the first instance", (*Day).firstInstance},
		{4, "ssh", (*Day).login},
		{5, "neighbours", (*Day).neighbours},
		{6, "security groups", (*Day).groups},
		{7, "volumes", (*Day).volumes},
		{8, "reboot and terminate", (*Day).endings},
		{9, "a day of faults", (*Day).faults},
	}
}

// Do walks one step.
func (d *Day) Do(ctx context.Context, s Step) error {
	fmt.Fprintf(d.Out, "\n## %d. %s\n", s.Number, s.Title)
	if err := s.Do(d, ctx); err != nil {
		return fmt.Errorf("step %d, %s: %w", s.Number, s.Title, err)
	}
	return nil
}

// run runs a program in the region's sight.
func (d *Day) run(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, d.Skerry, append([]string{"--dir", d.Region.Dir(), "exec", "--"}, args...)...)
	cmd.Env = append(os.Environ(), "AWS_PAGER=", "AWS_CLI_AUTO_PROMPT=off", "AWS_MAX_ATTEMPTS=10")
	cmd.WaitDelay = time.Second
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if ctx.Err() != nil {
		err = errors.Join(err, ctx.Err())
	}
	if err != nil {
		err = &failure{args: args, err: err, said: strings.TrimSpace(errs.String()), out: out.String()}
	}
	return out.String(), err
}

// failure is a command that did not succeed.
type failure struct {
	args []string
	err  error
	said string
	out  string
}

func (f *failure) Error() string {
	return fmt.Sprintf("%s: %v: %s %s", strings.Join(f.args[:min(len(f.args), 8)], " "), f.err, f.said, f.out)
}
func (f *failure) Unwrap() error { return f.err }

// aws runs a command of EC2's and reads its JSON into v.
func (d *Day) aws(ctx context.Context, v any, args ...string) error {
	full := append([]string{"aws", "ec2"}, args...)
	out, err := d.run(ctx, append(full, "--output", "json", "--endpoint-url", d.endpoint())...)
	if err != nil {
		return err
	}
	if v == nil || strings.TrimSpace(out) == "" {
		return nil
	}
	if err := json.Unmarshal([]byte(out), v); err != nil {
		return fmt.Errorf("aws ec2 %s answered %.300q: %w", args[0], out, err)
	}
	return nil
}

func (d *Day) endpoint() string { return fmt.Sprintf("http://127.0.0.1:%d", d.Region.Ports["api"]) }

// show prints a command as a person types it.
func (d *Day) show(format string, a ...any) {
	fmt.Fprintf(d.Out, "\n$ "+format+"\n", a...)
}

// say prints an answer, or what of it matters.
func (d *Day) say(format string, a ...any) { fmt.Fprintf(d.Out, format+"\n", a...) }

// refused runs a command that must be refused with a code.
func (d *Day) refused(ctx context.Context, code string, args ...string) error {
	d.show("aws ec2 %s", strings.Join(args, " "))
	err := d.aws(ctx, nil, args...)
	var f *failure
	switch {
	case err == nil:
		return fmt.Errorf("aws ec2 %s succeeded; it should be refused with %s", strings.Join(args, " "), code)
	case !errors.As(err, &f) || !strings.Contains(f.said, "("+code+")"):
		return fmt.Errorf("aws ec2 %s should be refused with %s: %w", strings.Join(args, " "), code, err)
	}
	d.say("%s", f.said)
	return nil
}

// until looks again and again until it is so.
func (d *Day) until(ctx context.Context, limit time.Duration, what string, there func(context.Context) (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	began := time.Now()
	var last error
	for {
		ok, err := there(ctx)
		if ok {
			return nil
		}
		if err != nil {
			last = err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waited %.0f s for %s: %w", time.Since(began).Seconds(), what, errors.Join(last, ctx.Err()))
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// file is a path in the day's own directory.
func (d *Day) file(name string) string { return filepath.Join(d.Region.Path("tour"), name) }

// keyName is the key pair of the day.
const keyName = "tour"

func (d *Day) key() string { return d.file(keyName + ".pem") }

// user is who logs in to the images of this project.
const user = "ec2-user"

// ssh runs a script in a guest, reached by a name or an address from outside.
func (d *Day) ssh(ctx context.Context, host, script string) (string, error) {
	return d.run(ctx, "ssh", "-i", d.key(), "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
		"-o", "LogLevel=ERROR", "-o", "ConnectTimeout=3", user+"@"+host, script)
}

// in runs a script in an instance, and shows it.
func (d *Day) in(ctx context.Context, i *instance, script string) (string, error) {
	d.show("ssh -i %s.pem %s@%s %q", keyName, user, i.PublicDNSName, script)
	out, err := d.ssh(ctx, i.PublicDNSName, script)
	fmt.Fprint(d.Out, out)
	return out, err
}

// expect complains about answers that lack words.
func expect(what, answer string, words ...string) error {
	for _, w := range words {
		if !strings.Contains(answer, w) {
			return fmt.Errorf("%s says nothing of %q:\n%s", what, w, answer)
		}
	}
	return nil
}

type image struct {
	ID, Name, State, KernelID, RamdiskID, RootDeviceType, OwnerID string
	Public                                                        bool
}

// instance is what describe-instances tells.
type instance struct {
	InstanceID        string `json:"InstanceId"`
	ImageID           string `json:"ImageId"`
	InstanceType      string
	KernelID          string `json:"KernelId"`
	KeyName           string
	AmiLaunchIndex    *int
	LaunchTime        string
	PrivateDNSName    string `json:"PrivateDnsName"`
	PrivateIPAddress  string `json:"PrivateIpAddress"`
	PublicDNSName     string `json:"PublicDnsName"`
	PublicIPAddress   string `json:"PublicIpAddress"`
	RootDeviceType    string
	SubnetID          string `json:"SubnetId"`
	VpcID             string `json:"VpcId"`
	State             struct{ Name string }
	Placement         struct{ AvailabilityZone string }
	Monitoring        struct{ State string }
	StateReason       struct{ Message string }
	SecurityGroups    []struct{ GroupName, GroupID string }
	NetworkInterfaces []struct {
		Association struct{ PublicIP string }
	}
}

func (d *Day) describe(ctx context.Context, id string) (*instance, error) {
	var out struct {
		Reservations []struct{ Instances []instance }
	}
	if err := d.aws(ctx, &out, "describe-instances", "--instance-ids", id); err != nil {
		return nil, err
	}
	if len(out.Reservations) != 1 || len(out.Reservations[0].Instances) != 1 {
		return nil, fmt.Errorf("describe-instances %s told of %d reservations", id, len(out.Reservations))
	}
	return &out.Reservations[0].Instances[0], nil
}

// launch runs an instance and waits until it can be logged in to.
func (d *Day) launch(ctx context.Context, args ...string) (*instance, error) {
	i, err := d.start(ctx, args...)
	if err != nil {
		return nil, err
	}
	if i, err = d.running(ctx, i.InstanceID); err != nil {
		return nil, err
	}
	return i, d.reachable(ctx, i)
}

// start asks for an instance.
func (d *Day) start(ctx context.Context, args ...string) (*instance, error) {
	args = append([]string{"run-instances", "--key-name", keyName}, args...)
	d.show("aws ec2 %s", strings.Join(args, " "))
	var out struct{ Instances []instance }
	if err := d.aws(ctx, &out, args...); err != nil {
		return nil, err
	}
	if len(out.Instances) != 1 {
		return nil, fmt.Errorf("run-instances made %d instances", len(out.Instances))
	}
	return &out.Instances[0], nil
}

func (d *Day) running(ctx context.Context, id string) (*instance, error) {
	var i *instance
	err := d.until(ctx, time.Minute, id+" to run", func(ctx context.Context) (ok bool, err error) {
		if i, err = d.describe(ctx, id); err != nil {
			return false, err
		}
		if s := i.State.Name; s != "pending" && s != "running" {
			return false, fmt.Errorf("%s is %s: %s", id, s, i.StateReason.Message)
		}
		return i.State.Name == "running", nil
	})
	return i, err
}

// reachable waits until an instance takes logins.
func (d *Day) reachable(ctx context.Context, i *instance) error {
	return d.until(ctx, time.Minute, i.InstanceID+" to take logins", func(ctx context.Context) (bool, error) {
		_, err := d.ssh(ctx, i.PublicDNSName, "true")
		return err == nil, err
	})
}

// skerry runs the skerry command.
func (d *Day) skerry(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, d.Skerry, append([]string{"--dir", d.Region.Dir()}, args...)...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("skerry %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return string(out), nil
}
