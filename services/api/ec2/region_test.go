package ec2

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/cockroachdb/pebble/v2/vfs"

	"skerry/events"
	"skerry/services/api"
	"skerry/services/api/trail"
	"skerry/services/decide"
	"skerry/services/door"
	"skerry/services/history"
	"skerry/services/regions"
	"skerry/services/seal"
	"skerry/services/state"
)

var _ Core = (*door.Door)(nil)

// fake is a region in one process: the real decisions and the real state,
// without Raft. Ids and times are the same in every run.
type fake struct {
	mu       sync.Mutex
	tx       *state.Tx
	history  *history.Store
	now      time.Time
	drawn    int
	records  []events.Record
	answered map[events.CommandID]events.Reply
	tokens   map[string]events.Reply
	stamps   []events.Stamped
	consoles map[events.InstanceID]events.Console
	asked    []events.InstanceID
	silent   bool // hosts do not answer
	dark     error
}

func (f *fake) Do(_ context.Context, s events.Stamp, c events.Command) (events.Reply, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.do(s, c)
}

func (f *fake) do(s events.Stamp, c events.Command) (events.Reply, error) {
	if r, ok := f.answered[s.ID]; ok {
		return r, nil
	}
	f.now = f.now.Add(time.Second)
	f.drawn++
	s.Time, s.Seed = f.now, events.Seed{}
	binary.BigEndian.PutUint64(s.Seed[:], uint64(f.drawn))
	f.stamps = append(f.stamps, events.Stamped{Stamp: s, Command: c})
	token := string(s.Account) + "/" + s.ClientToken + "/" + string(events.CommandBytes(c))
	if r, ok := f.tokens[token]; ok && s.ClientToken != "" {
		return r, nil
	}
	// What the bus and the log would carry must survive them.
	b, err := json.Marshal(c)
	if err != nil {
		return events.Reply{}, err
	}
	if c, err = events.DecodeCommandJSON(events.Name(c), b); err != nil {
		return events.Reply{}, err
	}
	back, err := events.DecodeStamped(events.Stamped{Stamp: s, Command: c}.Encode())
	if err != nil {
		return events.Reply{}, err
	}
	made, fault := decide.Command(&f.tx.View, back)
	if fault != nil {
		return events.Reply{N: f.tx.Meta.N, Fault: fault}, fault
	}
	var reply events.Reply
	call := back.Stamp.Call
	for _, e := range made {
		r := events.Record{N: f.tx.Meta.N + 1, Prev: f.tx.Meta.Last, Time: s.Time, Cause: s.ID, Request: s.Request, Actor: s.Actor, Account: s.Account, Call: call, Event: e}
		call = events.Call{}
		r.Hash = sha256.Sum256(r.Encode())
		f.tx.Apply(r)
		reply.Events = append(reply.Events, r)
	}
	f.records = append(f.records, reply.Events...)
	if f.history != nil {
		if err := f.history.Append(reply.Events); err != nil {
			return events.Reply{}, err
		}
	}
	reply.N = f.tx.Meta.N
	f.answered[s.ID] = reply
	if s.ClientToken != "" {
		f.tokens[token] = reply
	}
	return reply, nil
}

func (f *fake) Try(_ context.Context, s events.Stamp, c events.Command) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	s.Time = f.now
	if _, fault := decide.Command(&f.tx.View, events.Stamped{Stamp: s, Command: c}); fault != nil {
		return fault
	}
	return nil
}

func (f *fake) Read(context.Context) (*state.View, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.dark != nil {
		return nil, f.dark
	}
	return f.tx.Publish(), nil
}

func (f *fake) view() *state.View {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.tx.Publish()
}

func (f *fake) Console(ctx context.Context, i state.Instance) (events.Console, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, i.ID)
	if f.silent {
		return events.Console{}, fmt.Errorf("bus: %w", context.DeadlineExceeded)
	}
	return f.consoles[i.ID], nil
}

// act has the region decide something that does not come through the API.
func (f *fake) act(t testing.TB, account string, c events.Command) []events.Record {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	r, err := f.do(events.Stamp{ID: events.CommandID(fmt.Sprintf("test-%d", f.drawn)), Actor: "test", Account: events.AccountID(account), Version: 1}, c)
	if err != nil {
		t.Fatal(err)
	}
	return r.Events
}

// place gives the instances that wait a host of their zone.
func (f *fake) place(t testing.TB) {
	t.Helper()
	var p []events.Placement
	for _, i := range f.view().Instances.All() {
		if i.Host == "" && i.State == state.Pending {
			p = append(p, events.Placement{Instance: i.ID, Host: events.HostID(i.Zone + "-1"), Why: events.Why{Policy: "test"}})
		}
	}
	f.act(t, "", events.PlaceInstances{Placements: p})
}

// report is a host's word about an instance.
func (f *fake) report(t testing.TB, id string, p events.Phase) {
	t.Helper()
	i, ok := f.view().Instances.Get(id)
	if !ok {
		t.Fatal("no instance", id)
	}
	f.act(t, "", events.ReportInstance{Host: i.Host, Instance: i.ID, Generation: i.Generation, Phase: p})
}

// loseZone loses every node of a zone.
func (f *fake) loseZone(t testing.TB, z events.Zone) {
	t.Helper()
	var nodes []events.NodeKey
	for n := range f.view().NodesOf(z) {
		nodes = append(nodes, events.NodeKey{Host: n.Host, Kind: n.Kind})
	}
	f.act(t, "", events.ReportNodeLost{Zone: z, Whole: true, Nodes: nodes})
}

// placeVolumes gives the volumes that wait the storage node of their zone.
func (f *fake) placeVolumes(t testing.TB) {
	t.Helper()
	var p []events.VolumePlacement
	for _, r := range f.view().Volumes.All() {
		if r.Host == "" {
			p = append(p, events.VolumePlacement{Volume: r.ID, Host: events.HostID(r.Zone + "-1"), Why: events.Why{Policy: "test"}})
		}
	}
	f.act(t, "", events.PlaceVolumes{Placements: p})
}

// stored is the storage node's word about a volume at its epoch.
func (f *fake) stored(t testing.TB, id string, p events.VolumePhase) {
	t.Helper()
	r, ok := f.view().Volumes.Get(id)
	if !ok {
		t.Fatal("no volume", id)
	}
	f.act(t, "", events.ReportVolume{Host: r.Host, Volume: r.ID, Epoch: r.Epoch, Boot: r.Boot, Phase: p})
}

// disk is the word of an instance's host about its volume.
func (f *fake) disk(t testing.TB, id string, p events.DiskPhase) {
	t.Helper()
	r, ok := f.view().Volumes.Get(id)
	if !ok || r.Attachment == nil {
		t.Fatal("no attachment", id)
	}
	i, _ := f.view().Instances.Get(string(r.Attachment.Instance))
	f.act(t, "", events.ReportDisk{Host: i.Host, Instance: i.ID, Volume: r.ID, Attachment: r.Attachment.ID, Phase: p})
}

// volume makes a volume that is available.
func (w *world) volume(account string, zone events.Zone, params ...string) string {
	w.t.Helper()
	id := w.ok(account, "CreateVolume", append(params, "AvailabilityZone", string(zone), "Size", "1")...).text("volumeId")
	w.placeVolumes(w.t)
	w.stored(w.t, id, events.VolumeReady)
	return id
}

// running launches an instance and boots it.
func (w *world) running(account string, params ...string) string {
	w.t.Helper()
	id := w.run(account, params...)[0]
	w.place(w.t)
	w.report(w.t, id, events.PhaseRunning)
	return id
}

const (
	alice   = "111111111111"
	bob     = "222222222222"
	ami     = "ami-00000000000000001"
	aki     = "aki-00000000000000001"
	ari     = "ari-00000000000000001"
	version = "2016-11-15"
)

// world is a region with three zones, two hosts each and a gateway node and a
// storage node, public addresses, two accounts, and a door.
type world struct {
	limit *api.Limiter
	*fake
	t      testing.TB
	region string
	url    string
	key    *seal.Key
	keys   map[string]string // account to access key
	log    *lines
	server *httptest.Server

	follower regions.Follower
	stop     func() // stops following the root
}

// lines is a log that may be read while it is written.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

type quiet struct{}

func (quiet) Infof(string, ...any)      {}
func (quiet) Errorf(string, ...any)     {}
func (quiet) Fatalf(f string, a ...any) { panic(fmt.Sprintf(f, a...)) }

func newWorld(t testing.TB) *world {
	t.Helper()
	w := newRegion(t, "isle-1", "0123456789abcdef0123456789abcdef", nil)
	w.act(t, "", events.CreateAccount{Name: "alice", ID: alice})
	w.act(t, "", events.CreateAccount{Name: "bob", ID: bob})
	w.meet()
	return w
}

// meet learns the keys of the accounts.
func (w *world) meet() {
	for _, a := range w.view().Accounts.All() {
		w.keys[string(a.ID)] = a.AccessKey
	}
}

// newRegion makes a world without accounts, or with those of a root.
func newRegion(t testing.TB, name, secret string, root *world) *world {
	t.Helper()
	key, err := seal.New([]byte(secret))
	if err != nil {
		t.Fatal(err)
	}
	kept, err := history.Open(vfs.NewMem(), "history", quiet{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { kept.Close() })
	f := &fake{tx: state.New(), history: kept, now: time.Date(2026, 11, 20, 18, 0, 0, 123e6, time.UTC), answered: map[events.CommandID]events.Reply{},
		tokens: map[string]events.Reply{}, consoles: map[events.InstanceID]events.Console{}}
	zones := []events.Zone{events.Zone(name + "a"), events.Zone(name + "b"), events.Zone(name + "c")}
	file := func(n string) events.ImageFile { return events.ImageFile{Name: n, SHA256: "00", Bytes: 1} }
	of := func(id events.ImageID) events.ImageID { // each region has ids of its own
		return events.ImageID(strings.TrimSuffix(string(id), "1") + name[len(name)-1:])
	}
	form := events.FormRegion{Name: name, ID: "5f0c-" + name, Zones: zones, Level: events.LevelNewest, Public: []netip.Prefix{netip.MustParsePrefix("198.18.0.0/15")}, Images: []events.Image{
		{ID: of(aki), Name: "skerry-kernel", Location: "amazon/skerry-kernel", Type: "kernel", Architecture: "x86_64", File: file("vmlinuz")},
		{ID: of(ari), Name: "skerry-ramdisk", Location: "amazon/skerry-ramdisk", Type: "ramdisk", Architecture: "x86_64", File: file("initrd")},
		{ID: of(ami), Name: "skerry-linux", Description: "Skerry Linux", Location: "amazon/skerry-linux", Type: "machine", Architecture: "x86_64", Virtualization: "paravirtual",
			Kernel: of(aki), Ramdisk: of(ari), RootDevice: "/dev/sda1", RootDeviceType: "instance-store", File: file("root")},
	}}
	if root != nil {
		key, form.Root = key.Sharing(root.key.Accounts()), root.region
	}
	f.act(t, "", form)
	for _, z := range zones {
		for i := 1; i <= 2; i++ {
			f.act(t, "", events.JoinNode{Host: events.HostID(fmt.Sprintf("%s-%d", z, i)), Kind: "compute", Zone: z, Boot: "b",
				Capacity: events.Capacity{VCPUs: 64, MemoryMiB: 256 << 10, DiskGiB: 10000}})
		}
	}
	for n, z := range zones {
		f.act(t, "", events.JoinNode{Host: events.HostID(z + "-gw"), Kind: "gateway", Zone: z, Boot: "b", Address: fmt.Sprintf("10.0.0.%d", 10+n)})
		f.act(t, "", events.JoinNode{Host: events.HostID(z + "-1"), Kind: "storage", Zone: z, Boot: "b", Address: fmt.Sprintf("10.0.0.%d:3260", 20+n), Capacity: events.Capacity{DiskGiB: 1000}})
	}
	w := &world{fake: f, t: t, region: name, key: key, keys: map[string]string{}, log: new(lines), stop: func() {}, limit: &api.Limiter{Factor: 1}}
	beside := regions.NewPeers(name, key)
	t.Cleanup(beside.Close)
	table := New(f, key, "").Beside(beside).Table()
	trail.New(f.Read, kept, key).Handle(table)
	log := slog.New(slog.NewTextHandler(w.log, nil))
	keys := Keys{Region: name, View: f.view, Key: key}
	s := httptest.NewUnstartedServer(nil)
	self := events.RegionInfo{Name: name, ID: form.ID, Endpoint: s.Listener.Addr().String(), At: []string{"http://" + s.Listener.Addr().String()}}
	desk := regions.NewDesk(self, key, f, voterOf{f}, kept, slog.New(slog.DiscardHandler))
	s.Config.Handler = api.New(api.Config{Region: name, Keys: keys, May: keys.May, Limit: w.limit, Table: table, Log: log, Regions: desk})
	s.Start()
	t.Cleanup(s.Close)
	w.url, w.server = s.URL, s
	w.follower = regions.Follower{Self: self, Peers: beside, Region: f, Voter: voterOf{f}, Log: log}
	if root != nil {
		w.follow(root)
	}
	return w
}

// follow has a region follow its root, where that is.
func (w *world) follow(root *world) {
	ctx, cancel := context.WithCancel(context.Background())
	f := w.follower
	f.Root = events.RegionInfo{Name: root.region, At: []string{root.url}}
	var wg sync.WaitGroup
	wg.Go(func() { f.Run(ctx) })
	w.stop = func() {
		cancel()
		wg.Wait()
	}
	w.t.Cleanup(w.stop)
}

// voterOf is a fake's own state.
type voterOf struct{ *fake }

func (v voterOf) View() *state.View { return v.view() }

func (v voterOf) WaitFor(ctx context.Context, n uint64) (*state.View, error) {
	for {
		if view := v.view(); view.Meta.N >= n {
			return view, nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(time.Millisecond):
		}
	}
}

// call sends a signed request of an account's root, or of whom an access key is
// known under. Params are name, value pairs.
func (w *world) call(account, action string, params ...string) (status int, text string) {
	w.t.Helper()
	id := w.keys[account]
	return w.callAs(aws.Credentials{AccessKeyID: id, SecretAccessKey: w.key.Secret(id)}, action, params...)
}

func (w *world) callAs(who aws.Credentials, action string, params ...string) (status int, text string) {
	w.t.Helper()
	form := url.Values{"Action": {action}, "Version": {version}}
	service := "ec2"
	if action == "GetCallerIdentity" || action == "GetSessionToken" {
		service = "sts"
		form.Set("Version", "2011-06-15")
	}
	for i := 0; i < len(params); i += 2 {
		form.Set(params[i], params[i+1])
	}
	body := form.Encode()
	r, err := http.NewRequest("POST", w.url, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	sum := sha256.Sum256([]byte(body))
	if err := v4.NewSigner().SignHTTP(context.Background(), who, r, hex.EncodeToString(sum[:]), service, w.region, time.Now()); err != nil {
		w.t.Fatal(err)
	}
	reply, err := http.DefaultClient.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer reply.Body.Close()
	b, err := io.ReadAll(reply.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	saw(action, string(b))
	return reply.StatusCode, string(b)
}

// ok sends a request that must succeed, and reads the document.
func (w *world) ok(account, action string, params ...string) *node {
	w.t.Helper()
	status, text := w.call(account, action, params...)
	if status != 200 {
		w.t.Fatalf("%s %v: %d %s", action, params, status, text)
	}
	return w.parse(text)
}

// fails sends a request that must be refused with a code.
func (w *world) fails(code, account, action string, params ...string) (message string) {
	w.t.Helper()
	_, text := w.call(account, action, params...)
	n := w.parse(text)
	if got := n.text("Errors/Error/Code"); got != code {
		w.t.Errorf("%s %v: want %s, got %s", action, params, code, text)
	}
	return n.text("Errors/Error/Message")
}

func (w *world) parse(text string) *node {
	w.t.Helper()
	n := new(node)
	if err := xml.Unmarshal([]byte(text), n); err != nil {
		w.t.Fatalf("%v: %s", err, text)
	}
	return n
}

// node is an element of a document, whatever it is.
type node struct {
	XMLName xml.Name
	Text    string `xml:",chardata"`
	Kids    []node `xml:",any"`
}

// all finds the elements at a path: a/b/c.
func (n *node) all(path string) []*node {
	if path == "" {
		return []*node{n}
	}
	head, rest, _ := strings.Cut(path, "/")
	var out []*node
	for i := range n.Kids {
		if n.Kids[i].XMLName.Local == head {
			out = append(out, n.Kids[i].all(rest)...)
		}
	}
	return out
}

func (n *node) texts(path string) []string {
	var out []string
	for _, k := range n.all(path) {
		out = append(out, k.Text)
	}
	return out
}

func (n *node) text(path string) string { return strings.Join(n.texts(path), " ") }

func (n *node) has(path string) bool { return len(n.all(path)) > 0 }

// run launches instances and returns their ids.
func (w *world) run(account string, params ...string) []string {
	w.t.Helper()
	all := map[string]string{"ImageId": ami, "MinCount": "1", "MaxCount": "1"}
	for i := 0; i < len(params); i += 2 {
		all[params[i]] = params[i+1]
	}
	var list []string
	for k, v := range all {
		list = append(list, k, v)
	}
	return w.ok(account, "RunInstances", list...).texts("instancesSet/item/instanceId")
}

// owned are things of an account.
type owned struct {
	instance, key, keyID, image, vpc, subnet, group, eni           string
	gateway, table, rule, volume, address, allocation, association string
}

func (w *world) things(account string) owned {
	w.t.Helper()
	v := w.view()
	a := events.AccountID(account)
	vpc, _ := v.DefaultVPC(a)
	o := owned{vpc: string(vpc.ID), key: "k-" + account, instance: w.run(account)[0]}
	for s := range v.SubnetsOf(vpc.ID) {
		o.subnet = string(s.ID)
	}
	for g := range v.GroupsOf(vpc.ID) {
		o.group = string(g.ID)
	}
	for i := range w.view().InterfacesOf(a) {
		o.eni = string(i.Interface.ID)
	}
	o.keyID = w.ok(account, "CreateKeyPair", "KeyName", o.key, "KeyType", "ed25519").text("keyPairId")
	o.image = w.ok(account, "RegisterImage", "Name", "mine-"+account, "ImageLocation", "amazon/skerry-linux").text("imageId")
	v = w.view()
	g, _ := v.InternetGatewayOf(vpc.ID)
	o.gateway = string(g.ID)
	for r := range v.RouteTablesOf(vpc.ID) {
		o.table = string(r.ID)
	}
	o.rule = w.ok(account, "DescribeSecurityGroupRules").texts("securityGroupRuleSet/item/securityGroupRuleId")[0]
	n := w.ok(account, "AllocateAddress")
	o.address, o.allocation = n.text("publicIp"), n.text("allocationId")
	w.place(w.t)
	w.report(w.t, o.instance, events.PhaseRunning)
	o.association = w.ok(account, "AssociateAddress", "AllocationId", o.allocation, "InstanceId", o.instance).text("associationId")
	i, _ := v.Instances.Get(o.instance)
	o.volume = w.volume(account, i.Zone)
	w.ok(account, "AttachVolume", "VolumeId", o.volume, "InstanceId", o.instance, "Device", "/dev/sdf")
	return o
}
