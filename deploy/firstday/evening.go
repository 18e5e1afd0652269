package firstday

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// resume bounds how long API writes may stop, as a person with the AWS CLI sees
// it: most of it is the CLI's own start. The control plane's share is measured
// by the drills of package drill.
const resume = 8 * time.Second

// writer appends numbers to a file on the volume, each on stable storage before
// the next, and notes elsewhere what it got done and what failed.
const writer = `sudo sh -c 'rm -f /tmp/done /tmp/failed; : > /tmp/failed; n=0; while [ ! -e /tmp/enough ]; do n=$((n+1)); ` +
	`if echo $n | dd of=/data/numbers bs=512 oflag=append conv=notrunc,fsync 2>/dev/null; then echo $n > /tmp/done.new; mv /tmp/done.new /tmp/done; else echo $n >> /tmp/failed; fi; sleep 0.1; done' > /dev/null 2>&1 < /dev/null &`

// faults: a control plane, an agent of each kind and a storage process end while
// three instances write and talk.
func (d *Day) faults(ctx context.Context) (err error) {
	if d.b, err = d.launch(ctx, "--image-id", d.images["skerry-linux"].ID, "--instance-type", "sk1.tiny", "--placement", "AvailabilityZone="+d.a.Placement.AvailabilityZone); err != nil {
		return err
	}
	volumes := map[*instance]string{d.a: d.volume}
	for _, i := range []*instance{d.b, d.c} {
		v, err := d.createVolume(ctx, i.Placement.AvailabilityZone)
		if err != nil {
			return err
		}
		volumes[i] = v
		if _, err := d.attach(ctx, v, i, "/dev/xvdb"); err != nil {
			return err
		}
		if _, err := d.in(ctx, i, "sudo mkfs.ext4 -q /dev/xvdb && sudo mkdir -p /data && sudo mount /dev/xvdb /data"); err != nil {
			return err
		}
	}
	all := []*instance{d.a, d.b, d.c}
	for n, i := range all {
		to := all[(n+1)%len(all)]
		script := writer + " ping -i 0.5 " + to.PrivateIPAddress + " > /tmp/private 2>&1 < /dev/null & ping -i 0.5 " + to.PublicIPAddress + " > /tmp/public 2>&1 < /dev/null & exit 0"
		if _, err := d.ssh(ctx, i.PublicDNSName, script); err != nil {
			return err
		}
	}
	d.say("# three instances write to their volumes and ping each other; a client tags in a loop")
	tags := d.tagging(ctx)
	defer tags.stop()
	if err := d.progress(ctx, all, "to begin"); err != nil {
		return err
	}

	leader, err := d.leader(ctx)
	if err != nil {
		return err
	}
	home, err := d.hostOf(ctx, "instance", d.a.InstanceID)
	if err != nil {
		return err
	}
	store, err := d.hostOf(ctx, "volume", d.volume)
	if err != nil {
		return err
	}
	for _, fault := range [][]string{
		{"fail", "az", leader, "--for", "15s"},
		{"fail", "process", home + "/compute"},
		{"fail", "process", home + "/network"},
		{"fail", "process", store + "/storage"},
	} {
		d.show("skerry %s", strings.Join(fault, " "))
		out, err := d.skerry(ctx, fault...)
		if err != nil {
			return err
		}
		d.say("%s", strings.TrimSpace(out))
		if err := tags.next(ctx); err != nil {
			return fmt.Errorf("after %s: %w", strings.Join(fault, " "), err)
		}
		if err := d.progress(ctx, all, "after "+strings.Join(fault, " ")); err != nil {
			return err
		}
	}
	if _, err := d.skerry(ctx, "heal"); err != nil {
		return err
	}
	longest, last, err := tags.end()
	if err != nil {
		return err
	}
	d.Recovered = longest
	d.say("# API writes never stopped for longer than %.1f s, the AWS CLI's own start included", longest.Seconds())
	if longest > resume {
		return fmt.Errorf("API writes stopped for %.1f s", longest.Seconds())
	}
	if err := d.acknowledged(ctx, last); err != nil {
		return err
	}
	for _, i := range all {
		if err := d.unharmed(ctx, i); err != nil {
			return fmt.Errorf("%s: %w", i.InstanceID, err)
		}
	}
	d.show("skerry doctor")
	return d.until(ctx, 30*time.Second, "doctor to find nothing", func(ctx context.Context) (bool, error) {
		out, err := d.skerry(ctx, "doctor")
		return err == nil, fmt.Errorf("%w\n%s", err, out)
	})
}

// progress waits until every writer has written three numbers more.
func (d *Day) progress(ctx context.Context, all []*instance, when string) error {
	for _, i := range all {
		first := -1
		err := d.until(ctx, 40*time.Second, i.InstanceID+" to write "+when, func(ctx context.Context) (bool, error) {
			out, err := d.ssh(ctx, i.PublicDNSName, "cat /tmp/done")
			if err != nil {
				return false, err
			}
			n, err := strconv.Atoi(strings.TrimSpace(out))
			if err != nil {
				return false, err
			}
			if first < 0 {
				first = n
			}
			return n >= first+3, fmt.Errorf("it wrote %d, then %d", first, n)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// unharmed stops an instance's writer and pings and looks at what they noted.
func (d *Day) unharmed(ctx context.Context, i *instance) error {
	out, err := d.ssh(ctx, i.PublicDNSName, "sudo touch /tmp/enough; killall -INT ping; sleep 1; echo failed $(cat /tmp/failed | wc -l); echo done $(cat /tmp/done); "+
		"echo kept $(tail -n 1 /data/numbers); echo lines $(cat /data/numbers | wc -l); echo errors $(sudo dmesg | grep -ci 'i/o error'); grep transmitted /tmp/private /tmp/public")
	if err != nil {
		return err
	}
	noted := map[string]int{}
	for line := range strings.Lines(out) {
		f := strings.Fields(line)
		if len(f) == 2 {
			noted[f[0]], _ = strconv.Atoi(f[1])
		}
	}
	d.say("# %s wrote %d numbers, %d failed, %d I/O errors", i.InstanceID, noted["done"], noted["failed"], noted["errors"])
	if noted["done"] == 0 || noted["failed"] != 0 || noted["errors"] != 0 || noted["kept"] < noted["done"] || noted["lines"] < noted["done"] {
		return fmt.Errorf("the writer noted:\n%s", out)
	}
	seen := 0
	for line := range strings.Lines(out) {
		var sent, received int
		_, rest, ok := strings.Cut(line, ":")
		if !ok || !strings.Contains(rest, "transmitted") {
			continue
		}
		f := strings.Fields(rest)
		sent, _ = strconv.Atoi(f[0])
		received, _ = strconv.Atoi(f[3])
		d.say("# %s pings: %d sent, %d received", i.InstanceID, sent, received)
		if sent < 10 || sent-received > 1 { // the last one may be on its way
			return fmt.Errorf("pings were lost: %s", strings.TrimSpace(line))
		}
		seen++
	}
	if seen != 2 {
		return fmt.Errorf("pings: %s", out)
	}
	return nil
}

// leader is the zone that leads.
func (d *Day) leader(ctx context.Context) (string, error) {
	text, err := d.skerry(ctx, "status")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(text) {
		if f := strings.Fields(line); len(f) > 2 && f[2] == "leader" {
			return f[0], nil
		}
	}
	return "", fmt.Errorf("nobody leads:\n%s", text)
}

// tagger writes a rising number as a tag, again and again.
type tagger struct {
	d      *Day
	cancel context.CancelFunc
	ended  chan struct{}

	mu      sync.Mutex
	last    int // acknowledged
	at      time.Time
	longest time.Duration
	err     error
}

func (d *Day) tagging(ctx context.Context) *tagger {
	ctx, cancel := context.WithCancel(ctx)
	t := &tagger{d: d, cancel: cancel, ended: make(chan struct{}), at: time.Now()}
	go func() {
		defer close(t.ended)
		for n := 1; ctx.Err() == nil; n++ {
			err := d.aws(ctx, nil, "create-tags", "--resources", d.a.InstanceID, "--tags", fmt.Sprintf("Key=count,Value=%d", n))
			if ctx.Err() != nil {
				return
			}
			now := time.Now()
			t.mu.Lock()
			if err == nil {
				t.last = n
				t.longest = max(t.longest, now.Sub(t.at))
				t.at = now
			}
			t.err = err
			t.mu.Unlock()
		}
	}()
	return t
}

// next waits until a write that begins from here on is acknowledged.
func (t *tagger) next(ctx context.Context) error {
	t.mu.Lock()
	from := t.last
	t.mu.Unlock()
	return t.d.until(ctx, 20*time.Second, "an API write", func(context.Context) (bool, error) {
		t.mu.Lock()
		defer t.mu.Unlock()
		return t.last >= from+2, t.err
	})
}

func (t *tagger) stop() {
	t.cancel()
	<-t.ended
}

// end stops, and tells the longest wait and the last number acknowledged.
func (t *tagger) end() (time.Duration, int, error) {
	t.stop()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.last == 0 {
		return 0, 0, errors.Join(errors.New("no API write was acknowledged"), t.err)
	}
	return t.longest, t.last, nil
}

// acknowledged checks that the last write is there.
func (d *Day) acknowledged(ctx context.Context, last int) error {
	var out struct {
		Tags []struct{ Key, Value string }
	}
	if err := d.aws(ctx, &out, "describe-tags", "--filters", "Name=resource-id,Values="+d.a.InstanceID); err != nil {
		return err
	}
	i := slices.IndexFunc(out.Tags, func(t struct{ Key, Value string }) bool { return t.Key == "count" })
	if i < 0 {
		return fmt.Errorf("the tag is gone: %+v", out)
	}
	if n, err := strconv.Atoi(out.Tags[i].Value); err != nil || n < last {
		return fmt.Errorf("the tag is %q, %d was acknowledged", out.Tags[i].Value, last)
	}
	d.say("# %d writes acknowledged, none missing", last)
	return nil
}
