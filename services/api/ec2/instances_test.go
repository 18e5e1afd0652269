package ec2

import (
	flags "flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"skerry/events"
)

var update = flags.Bool("update", false, "write the golden files")

var requestIDs = regexp.MustCompile(`<requestId>[0-9a-f-]{36}</requestId>`)

// golden compares a document, one element to a line, with a file.
func golden(t *testing.T, name, text string) {
	t.Helper()
	text = requestIDs.ReplaceAllString(text, "<requestId/>")
	text = strings.ReplaceAll(text, "><", ">\n<") + "\n"
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := strings.Split(text, "\n"), strings.Split(string(want), "\n"); !slices.Equal(got, want) {
		for i := range max(len(got), len(want)) {
			if i >= len(got) || i >= len(want) || got[i] != want[i] {
				t.Fatalf("%s: line %d differs (go test -update writes it anew)\ngot  %v\nwant %v", path, i+1, got[min(i, len(got)):min(i+3, len(got))], want[min(i, len(want)):min(i+3, len(want))])
			}
		}
	}
}

// An instance in each state, as the wire has it.
func TestDescribeInstancesGolden(t *testing.T) {
	w := newWorld(t)
	w.ok(alice, "ImportKeyPair", "KeyName", "tour", "PublicKeyMaterial", encode(sshLine))
	ended := w.run(alice, "Placement.AvailabilityZone", "isle-1c")[0]
	w.ok(alice, "TerminateInstances", "InstanceId.1", ended)
	running := w.run(alice, "MaxCount", "2", "InstanceType", "t3.micro", "KeyName", "tour", "ClientToken", "once",
		"Placement.AvailabilityZone", "isle-1b", "MetadataOptions.HttpTokens", "required",
		"TagSpecification.1.ResourceType", "instance", "TagSpecification.1.Tag.1.Key", "Name", "TagSpecification.1.Tag.1.Value", "web <1>")
	w.place(t)
	for _, id := range running {
		w.report(t, id, events.PhaseRunning)
	}
	w.ok(alice, "AttachVolume", "VolumeId", w.volume(alice, "isle-1b"), "InstanceId", running[0], "Device", "/dev/sdf")
	w.ok(alice, "TerminateInstances", "InstanceId.1", running[1])
	w.run(alice, "Placement.AvailabilityZone", "isle-1a")
	status, text := w.call(alice, "DescribeInstances")
	if status != 200 {
		t.Fatal(status, text)
	}
	golden(t, "describe-instances.xml", text)
}

// A life, as the CLI's user sees it.
func TestLife(t *testing.T) {
	w := newWorld(t)
	n := w.ok(alice, "RunInstances", "ImageId", ami, "MinCount", "1", "MaxCount", "6", "ClientToken", "six")
	list := n.all("instancesSet/item")
	if len(list) != 6 || n.text("ownerId") != alice || !strings.HasPrefix(n.text("reservationId"), "r-") {
		t.Fatalf("%+v", n)
	}
	zones := map[string]int{}
	for i, x := range list {
		zones[x.text("placement/availabilityZone")]++
		ip := x.text("privateIpAddress")
		want := "ip-" + strings.ReplaceAll(ip, ".", "-") + ".isle-1.compute.internal"
		if x.text("instanceState/name") != "pending" || x.text("instanceState/code") != "0" || x.text("amiLaunchIndex") != fmt.Sprint(i) ||
			x.text("privateDnsName") != want || x.text("instanceType") != "m1.small" || x.text("groupSet/item/groupName") != "default" ||
			x.has("ipAddress") || x.text("dnsName") != "" || x.text("stateReason/code") != "pending" {
			t.Errorf("%+v", x)
		}
	}
	if zones["isle-1a"] != 2 || zones["isle-1b"] != 2 || zones["isle-1c"] != 2 {
		t.Error(zones)
	}
	id := list[0].text("instanceId")
	if w.ok(alice, "DescribeInstanceStatus").has("instanceStatusSet/item") {
		t.Error("a pending instance has a status")
	}
	s := w.ok(alice, "DescribeInstanceStatus", "IncludeAllInstances", "true", "InstanceId.1", id)
	if s.text("instanceStatusSet/item/systemStatus/status") != "initializing" {
		t.Errorf("%+v", s)
	}
	w.place(t)
	w.report(t, id, events.PhaseRunning)
	s = w.ok(alice, "DescribeInstanceStatus")
	if s.text("instanceStatusSet/item/instanceStatus/status") != "ok" || s.text("instanceStatusSet/item/systemStatus/details/item/status") != "passed" ||
		s.text("instanceStatusSet/item/instanceState/code") != "16" {
		t.Errorf("%+v", s)
	}
	// The token again: the same instances, as they are.
	again := w.ok(alice, "RunInstances", "ImageId", ami, "MinCount", "1", "MaxCount", "6", "ClientToken", "six")
	if !slices.Equal(again.texts("instancesSet/item/instanceId"), n.texts("instancesSet/item/instanceId")) || again.texts("instancesSet/item/instanceState/name")[0] != "running" {
		t.Errorf("%+v", again)
	}
	w.ok(alice, "RebootInstances", "InstanceId.1", id)
	w.fails("UnsupportedOperation", alice, "StopInstances", "InstanceId.1", id)
	w.fails("UnsupportedHibernationConfiguration", alice, "StopInstances", "InstanceId.1", id, "Hibernate", "true")
	w.fails("UnsupportedOperation", alice, "StartInstances", "InstanceId.1", id)
	end := w.ok(alice, "TerminateInstances", "InstanceId.1", id, "InstanceId.2", id)
	if got := end.texts("instancesSet/item/currentState/name"); !slices.Equal(got, []string{"shutting-down"}) || end.text("instancesSet/item/previousState/code") != "16" {
		t.Errorf("%+v", end)
	}
	end = w.ok(alice, "TerminateInstances", "InstanceId.1", id)
	if end.text("instancesSet/item/currentState/name") != "shutting-down" || end.text("instancesSet/item/previousState/name") != "shutting-down" {
		t.Errorf("%+v", end)
	}
	w.report(t, id, events.PhaseAbsent)
	x := w.ok(alice, "DescribeInstances", "InstanceId.1", id).all("reservationSet/item/instancesSet/item")[0]
	if x.text("instanceState/code") != "48" || x.has("privateIpAddress") || x.has("networkInterfaceSet/item") || x.has("vpcId") || x.has("groupSet/item") ||
		x.text("stateReason/code") != "Client.UserInitiatedShutdown" || !regexp.MustCompile(`^User initiated \(2026-11-20 18:0\d:\d\d GMT\)$`).MatchString(x.text("reason")) {
		t.Errorf("%+v", x)
	}
	// An hour later it is gone, and the token still answers with it.
	w.mu.Lock()
	w.now = w.now.Add(61 * time.Minute)
	w.mu.Unlock()
	w.act(t, "", events.Tick{})
	w.fails("InvalidInstanceID.NotFound", alice, "DescribeInstances", "InstanceId.1", id)
	again = w.ok(alice, "RunInstances", "ImageId", ami, "MinCount", "1", "MaxCount", "6", "ClientToken", "six")
	if again.texts("instancesSet/item/instanceId")[0] != id || again.texts("instancesSet/item/instanceState/name")[0] != "terminated" {
		t.Errorf("%+v", again)
	}
}

// An instance on a host that does not answer stays listed, as impaired.
func TestImpaired(t *testing.T) {
	w := newWorld(t)
	id := w.run(alice, "Placement.AvailabilityZone", "isle-1b")[0]
	w.place(t)
	w.report(t, id, events.PhaseRunning)
	w.loseZone(t, "isle-1b")
	since := w.now.UTC().Format("2006-01-02T15:04:05.000Z")
	s := w.ok(alice, "DescribeInstanceStatus", "Filter.1.Name", "system-status.status", "Filter.1.Value.1", "impaired")
	x := "instanceStatusSet/item/"
	if s.text(x+"instanceId") != id || s.text(x+"systemStatus/details/item/name") != "reachability" || s.text(x+"systemStatus/details/item/status") != "failed" ||
		s.text(x+"instanceStatus/details/item/impairedSince") != since || s.text(x+"instanceState/name") != "running" {
		t.Errorf("%s %+v", since, s)
	}
	z := w.ok(alice, "DescribeAvailabilityZones", "Filter.1.Name", "state", "Filter.1.Value.1", "impaired")
	if z.text("availabilityZoneInfo/item/zoneName") != "isle-1b" || !strings.Contains(z.text("availabilityZoneInfo/item/messageSet/item/message"), "isle-1b") {
		t.Errorf("%+v", z)
	}
	w.silent = true
	if m := w.fails("Unavailable", alice, "GetConsoleOutput", "InstanceId", id); !strings.Contains(m, id) {
		t.Error(m)
	}
}

// Pages cover the listing, each instance once, in the order of launch.
func TestPages(t *testing.T) {
	w := newWorld(t)
	var all []string
	for range 4 {
		all = append(all, w.run(alice, "MinCount", "3", "MaxCount", "3")...)
	}
	var got []string
	params := []string{"MaxResults", "5"}
	for pages := 1; ; pages++ {
		n := w.ok(alice, "DescribeInstances", params...)
		page := n.texts("reservationSet/item/instancesSet/item/instanceId")
		got = append(got, page...)
		if !n.has("nextToken") {
			if pages != 3 {
				t.Error(pages, "pages")
			}
			break
		}
		if len(page) != 5 {
			t.Error(page)
		}
		params = []string{"MaxResults", "5", "NextToken", n.text("nextToken")}
		w.run(bob) // is not alice's
	}
	if !slices.Equal(got, all) {
		t.Errorf("%v\n%v", got, all)
	}
	n := w.ok(alice, "DescribeInstances")
	if len(n.all("reservationSet/item")) != 4 {
		t.Error("reservations are not grouped")
	}
	w.fails("InvalidParameterCombination", alice, "DescribeInstances", "InstanceId.1", all[0], "MaxResults", "5")
	w.fails("InvalidParameterCombination", alice, "DescribeInstanceStatus", "InstanceId.1", all[0], "MaxResults", "5")
	w.fails("InvalidNextToken", bob, "DescribeInstances", "NextToken", params[len(params)-1])
}

func TestConsole(t *testing.T) {
	w := newWorld(t)
	id := w.run(alice)[0]
	n := w.ok(alice, "GetConsoleOutput", "InstanceId", id)
	if n.has("output") || n.text("instanceId") != id || len(w.asked) > 0 {
		t.Errorf("%+v", n)
	}
	w.place(t)
	w.report(t, id, events.PhaseRunning)
	if n = w.ok(alice, "GetConsoleOutput", "InstanceId", id); n.has("output") || len(w.asked) != 1 {
		t.Errorf("%+v %v", n, w.asked)
	}
	at := time.Date(2026, 11, 20, 19, 0, 0, 5e6, time.UTC)
	w.consoles[events.InstanceID(id)] = events.Console{Output: []byte("boot\r\n\x00READY\n"), Time: at}
	n = w.ok(alice, "GetConsoleOutput", "InstanceId", id, "Latest", "true")
	if n.text("output") != encode("boot\r\n\x00READY\n") || n.text("timestamp") != "2026-11-20T19:00:00.005Z" {
		t.Errorf("%+v", n)
	}
	w.consoles[events.InstanceID(id)] = events.Console{Output: []byte(strings.Repeat("x", 64<<10) + "end"), Time: at}
	if got := w.ok(alice, "GetConsoleOutput", "InstanceId", id).text("output"); !strings.HasSuffix(got, encode("xend")[1:]) && len(got) != 4*(64<<10)/3+2 {
		t.Error(len(got))
	}
	w.consoles[events.InstanceID(id)] = events.Console{Error: "the disk burns"}
	if m := w.fails("InternalError", alice, "GetConsoleOutput", "InstanceId", id); strings.Contains(m, "burns") || !strings.Contains(w.log.String(), "burns") {
		t.Error(m)
	}
}
