package metadata

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mdlayher/packet"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"skerry/events"
)

var addr = netip.MustParseAddr

func instance() events.MetadataSpec {
	return events.MetadataSpec{
		Instance: "i-00000000000000001", Account: "111111111111", Reservation: "r-00000000000000001", LaunchIndex: 2,
		Region: "isle-1", Zone: "isle-1a", ZoneID: "isle1-az1", Image: "ami-00000000000000001", Location: "skerry/skerry-linux",
		Kernel: "aki-00000000000000001", Ramdisk: "ari-00000000000000001", Type: "m1.small", Architecture: "x86_64",
		KeyName: "mine", PublicKey: "ssh-ed25519 AAAA mine", UserData: []byte("#!/bin/sh\n"), Pending: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		Devices: []events.DevicePart{{Virtual: "ami", Device: "/dev/sda1", Serial: "root"}, {Virtual: "root", Device: "/dev/sda1", Serial: "root"},
			{Virtual: "ephemeral0", Device: "sdb", Serial: "ephemeral0"}, {Virtual: "ebs1", Device: "/dev/xvdb", Serial: "vol0123456789abcdef0"}},
		Interfaces: []events.InterfacePart{{
			Interface: "eni-00000000000000001", MAC: "02:00:00:00:00:04", PrivateIP: addr("172.31.0.4"), LocalName: "ip-172-31-0-4.isle-1.compute.internal",
			Public: addr("198.18.1.4"), PublicName: "ec2-198-18-1-4.isle-1.compute.skerry.internal", Groups: []events.GroupID{"sg-1", "sg-2"},
			GroupNames: []string{"default", "web"}, Subnet: "subnet-1", SubnetCIDR: netip.MustParsePrefix("172.31.0.0/20"), VPC: "vpc-1",
			VPCBlocks: []netip.Prefix{netip.MustParsePrefix("172.31.0.0/16"), netip.MustParsePrefix("10.1.0.0/16")},
		}, {
			Interface: "eni-00000000000000002", Index: 1, MAC: "02:00:00:00:00:05", PrivateIP: addr("172.31.0.5"), LocalName: "ip-172-31-0-5.isle-1.compute.internal",
			Subnet: "subnet-1", SubnetCIDR: netip.MustParsePrefix("172.31.0.0/20"), VPC: "vpc-1",
		}},
		Options: events.MetadataOptions{HTTPTokens: "optional", HopLimit: 1, Endpoint: "enabled", InstanceTags: "enabled"},
		Tags:    []events.Tag{{Key: "Name", Value: "web"}, {Key: "a/b", Value: "no path"}, {Key: "..", Value: "up"}},
	}
}

// guests is a Lookup over loopback addresses.
type guests map[string]*events.MetadataSpec

func (g guests) lookup(a netip.Addr) (events.PortSpec, events.MetadataSpec, bool) {
	m, ok := g[a.String()]
	if !ok {
		return events.PortSpec{}, events.MetadataSpec{}, false
	}
	return events.PortSpec{Instance: m.Instance}, *m, true
}

var quiet = slog.New(slog.DiscardHandler)

// start serves guests on loopback; the answer asks as one of them.
func start(t *testing.T, g guests) func(from, method, path string, header ...string) (int, string, http.Header) {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(g.lookup, bytes.Repeat([]byte{7}, 32), quiet)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return func(from, method, path string, header ...string) (int, string, http.Header) {
		t.Helper()
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
		c := http.Client{Transport: &http.Transport{DialContext: d.DialContext, DisableKeepAlives: true}, Timeout: 10 * time.Second}
		r, err := http.NewRequestWithContext(t.Context(), method, "http://"+l.Addr().String()+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i+1 < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		resp, err := c.Do(r)
		if err != nil {
			t.Fatalf("%s %s: %v", method, path, err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(b), resp.Header
	}
}

// Everything that is listed answers, all the way down and under each version: a
// listed category that answers 404 costs a booting guest minutes.
func TestWhatIsListedIsServed(t *testing.T) {
	m := instance()
	bare := events.MetadataSpec{Instance: "i-2", Interfaces: m.Interfaces[1:], Options: events.MetadataOptions{HopLimit: 1}}
	ask := start(t, guests{"127.0.0.1": &m, "127.0.0.2": &bare})
	for _, from := range []string{"127.0.0.1", "127.0.0.2"} {
		leaves := 0
		var walk func(path string)
		walk = func(path string) {
			code, body, h := ask(from, "GET", path)
			if code != 200 || h.Get("Server") != "EC2ws" || h.Get("Content-Length") == "" {
				t.Errorf("%s: %d %v", path, code, h)
				return
			}
			if !strings.HasSuffix(path, "/") {
				leaves++
				return
			}
			for line := range strings.SplitSeq(body, "\n") {
				if n, _, ok := strings.Cut(line, "="); ok && strings.HasSuffix(path, "/public-keys/") {
					line = n + "/"
				}
				if line == "" {
					t.Errorf("%s has an empty line: %q", path, body)
					return
				}
				if path == "/latest/" && line != "user-data" {
					line += "/"
				}
				walk(path + line)
			}
		}
		walk("/latest/")
		if want := map[string]int{"127.0.0.1": 60, "127.0.0.2": 25}[from]; leaves < want {
			t.Errorf("%s: only %d leaves, want %d and more", from, leaves, want)
		}
	}
	code, list, _ := ask("127.0.0.1", "GET", "/")
	for v := range strings.SplitSeq(list, "\n") {
		if code, body, _ := ask("127.0.0.1", "GET", "/"+v+"/meta-data/instance-id"); code != 200 || body != string(m.Instance) {
			t.Errorf("version %s: %d %q", v, code, body)
		}
	}
	if code != 200 || !strings.HasSuffix(list, "\nlatest") || !strings.Contains(list, "2021-03-23") {
		t.Errorf("versions: %d %q", code, list)
	}
}

func TestContent(t *testing.T) {
	m := instance()
	ask := start(t, guests{"127.0.0.1": &m})
	mac := "network/interfaces/macs/02:00:00:00:00:04"
	for path, want := range map[string]string{
		"":                                                   "dynamic\nmeta-data\nuser-data",
		"meta-data/public-ipv4":                              "198.18.1.4",
		"meta-data/public-hostname":                          "ec2-198-18-1-4.isle-1.compute.skerry.internal",
		"meta-data/local-ipv4":                               "172.31.0.4",
		"meta-data/security-groups":                          "default\nweb",
		"meta-data/public-keys":                              "0=mine",
		"meta-data/public-keys/":                             "0=mine",
		"meta-data/public-keys/0":                            "openssh-key",
		"meta-data/public-keys/0/openssh-key":                "ssh-ed25519 AAAA mine\n",
		"meta-data/block-device-mapping/":                    "ami\nebs1\nephemeral0\nroot",
		"meta-data/block-device-mapping/ebs1":                "/dev/xvdb",
		"meta-data/placement/":                               "availability-zone\navailability-zone-id\nregion",
		"meta-data/network/interfaces/macs/":                 "02:00:00:00:00:04/\n02:00:00:00:00:05/",
		"meta-data/" + mac + "/ipv4-associations/198.18.1.4": "172.31.0.4",
		"meta-data/" + mac + "/vpc-ipv4-cidr-blocks":         "172.31.0.0/16\n10.1.0.0/16",
		"meta-data/tags/instance":                            "Name",
		"meta-data/tags/instance/Name":                       "web",
		"dynamic/skerry/block-devices":                       "ephemeral0 sdb\nroot /dev/sda1\nvol0123456789abcdef0 /dev/xvdb",
		"user-data":                                          "#!/bin/sh\n",
		"/meta-data//ami-launch-index/":                      "2",
	} {
		if code, body, h := ask("127.0.0.1", "GET", "/latest/"+path); code != 200 || body != want {
			t.Errorf("%s: %d %q, want %q", path, code, body, want)
		} else if kind := h.Get("Content-Type"); kind != "text/plain" && path != "user-data" {
			t.Errorf("%s is %s", path, kind)
		}
	}
	for _, path := range []string{"meta-data/none", "meta-data/ami-id/x", "meta-dat", "meta-data/public-keys/1/openssh-key", "dynamic/instance-identity/signature",
		"dynamic/instance-identity/pkcs7", "meta-data/iam/info", "meta-data/tags/instance/a/b", "meta-data/tags/instance/..", "../latest/meta-data", "meta-data/%2e%2e/user-data"} {
		code, body, h := ask("127.0.0.1", "GET", "/latest/"+path)
		if code != 404 || !strings.Contains(body, "404 - Not Found") || h.Get("Content-Type") != "text/html" {
			t.Errorf("%s: %d %q", path, code, body)
		}
	}
	if code, _, _ := ask("127.0.0.1", "GET", "/1999-01-01/meta-data/"); code != 404 {
		t.Errorf("an unknown version: %d", code)
	}
	var doc map[string]any
	_, body, _ := ask("127.0.0.1", "GET", "/latest/dynamic/instance-identity/document")
	if err := json.Unmarshal([]byte(body), &doc); err != nil || doc["pendingTime"] != "2026-01-02T03:04:05Z" || doc["region"] != "isle-1" ||
		doc["privateIp"] != "172.31.0.4" || doc["billingProducts"] != nil || doc["instanceId"] != "i-00000000000000001" {
		t.Errorf("document %v %s", err, body)
	}
	m.Options.InstanceTags, m.UserData, m.PublicKey = "disabled", nil, ""
	for _, path := range []string{"meta-data/tags/", "user-data", "meta-data/public-keys/"} {
		if code, _, _ := ask("127.0.0.1", "GET", "/latest/"+path); code != 404 {
			t.Errorf("%s is there without content: %d", path, code)
		}
	}
	if _, body, _ := ask("127.0.0.1", "GET", "/latest"); body != "dynamic\nmeta-data" {
		t.Errorf("%q", body)
	}
}

func TestRules(t *testing.T) {
	m, other := instance(), instance()
	other.Instance = "i-00000000000000002"
	ask := start(t, guests{"127.0.0.1": &m, "127.0.0.2": &other})
	const api, ttl, tok, id = "/latest/api/token", "X-aws-ec2-metadata-token-ttl-seconds", "X-aws-ec2-metadata-token", "/latest/meta-data/instance-id"
	expect := func(what string, want int, from, method, path string, header ...string) (string, http.Header) {
		t.Helper()
		code, body, h := ask(from, method, path, header...)
		if code != want {
			t.Errorf("%s: %d, want %d", what, code, want)
		}
		return body, h
	}
	for _, bad := range []string{"0", "21601", "-1", "", "x", "1.5", "99999999999999999999", "+5"} {
		expect("ttl "+bad, 400, "127.0.0.1", "PUT", api, ttl, bad)
	}
	expect("no ttl", 400, "127.0.0.1", "PUT", api)
	expect("through a proxy", 403, "127.0.0.1", "PUT", api, ttl, "60", "X-Forwarded-For", "1.2.3.4")
	expect("GET of a token", 405, "127.0.0.1", "GET", api, ttl, "60")
	expect("POST of a token", 405, "127.0.0.1", "POST", api, ttl, "60")
	expect("PUT elsewhere", 405, "127.0.0.1", "PUT", id, ttl, "60")
	expect("DELETE", 405, "127.0.0.1", "DELETE", id)
	expect("a stranger", 503, "127.0.0.3", "GET", id)
	expect("HEAD", 200, "127.0.0.1", "HEAD", id)
	token, h := expect("a token", 200, "127.0.0.1", "PUT", api, ttl, "60")
	if h.Get(ttl) != "60" || h.Get("Content-Type") != "text/plain" {
		t.Errorf("%v", h)
	}
	mine, h := expect("with a token", 200, "127.0.0.1", "GET", id, tok, token)
	if mine != string(m.Instance) || h.Get(ttl) == "" {
		t.Errorf("%q %v", mine, h)
	}
	expect("version 1", 200, "127.0.0.1", "GET", id)
	expect("a bad token is refused even so", 401, "127.0.0.1", "GET", id, tok, "x")
	expect("an empty token", 401, "127.0.0.1", "GET", id, tok, "")
	expect("another instance's token", 401, "127.0.0.2", "GET", id, tok, token)
	changed := []byte(token)
	changed[5] ^= 1
	expect("a changed token", 401, "127.0.0.1", "GET", id, tok, string(changed))
	if body, _ := expect("each its own", 200, "127.0.0.2", "GET", id); body != string(other.Instance) {
		t.Errorf("%q", body)
	}
	m.Options.HTTPTokens = "required"
	expect("no token where one is required", 401, "127.0.0.1", "GET", id)
	expect("nor for the versions", 401, "127.0.0.1", "GET", "/")
	expect("a token where one is required", 200, "127.0.0.1", "GET", id, tok, token)
	m.Options.Endpoint = "disabled"
	expect("disabled", 403, "127.0.0.1", "GET", id, tok, token)
	expect("disabled, token", 403, "127.0.0.1", "PUT", api, ttl, "60")
}

func TestTokensExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := tokens{key: bytes.Repeat([]byte{1}, 32)}
		s := k.issue("i-1", time.Now().Add(10*time.Second))
		if k.left(s, "i-1", time.Now()) <= 0 || (tokens{key: bytes.Repeat([]byte{2}, 32)}).left(s, "i-1", time.Now()) > 0 {
			t.Error("a token is good for its key only")
		}
		time.Sleep(9 * time.Second)
		if k.left(s, "i-1", time.Now()) <= 0 {
			t.Error("it ended early")
		}
		time.Sleep(time.Second)
		if k.left(s, "i-1", time.Now()) > 0 {
			t.Error("it did not end")
		}
	})
	if _, err := New(nil, []byte("short"), quiet); err == nil {
		t.Error("a short key was taken")
	}
}

func TestATokenNeedsItsHopLimit(t *testing.T) {
	m := instance()
	s, _ := New(guests{"192.0.2.1": &m}.lookup, make([]byte, 32), quiet)
	r := httptest.NewRequest("PUT", "/latest/api/token", nil) // from 192.0.2.1, on no connection
	r.Header.Set("X-aws-ec2-metadata-token-ttl-seconds", "60")
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	if w.Code != 500 {
		t.Errorf("a token without a hop limit: %d %s", w.Code, w.Body)
	}
}

// The answer to a PUT really lives for that many hops on the wire, and other
// answers for more.
func TestHopLimitOnTheWire(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("a network namespace needs root")
	}
	runtime.LockOSThread() // ends with the test
	ns, err := netns.New()
	if err != nil {
		t.Skipf("cannot make a network namespace: %v", err)
	}
	defer ns.Close()
	lo, err := netlink.LinkByName("lo")
	if err == nil {
		err = netlink.LinkSetUp(lo)
	}
	if err != nil {
		t.Fatal(err)
	}
	ifi, err := net.InterfaceByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	wire, err := packet.Listen(ifi, packet.Raw, unix.ETH_P_IP, nil)
	if err != nil {
		t.Skipf("no packet socket: %v", err)
	}
	defer wire.Close()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	m := instance()
	m.Options.HopLimit = 3
	s, err := New(guests{"127.0.0.1": &m}.lookup, make([]byte, 32), quiet)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, l) }()
	defer func() { cancel(); <-ended }()

	c, err := net.Dial("tcp4", l.Addr().String()) // on this thread: in the namespace
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	talk := func(request, want string) byte {
		t.Helper()
		c.SetDeadline(time.Now().Add(10 * time.Second))
		if _, err := c.Write([]byte(request)); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 4096)
		n, err := c.Read(b)
		if err != nil || !strings.Contains(string(b[:n]), want) {
			t.Fatalf("%q %v", b[:n], err)
		}
		wire.SetReadDeadline(time.Now().Add(10 * time.Second))
		for {
			f := make([]byte, 65536)
			n, _, err := wire.ReadFrom(f)
			if errors.Is(err, os.ErrDeadlineExceeded) || err != nil {
				t.Fatalf("the answer was not seen: %v", err)
			}
			p := f[14:n]
			if len(p) < 40 || p[9] != unix.IPPROTO_TCP {
				continue
			}
			seg := p[int(p[0]&0xf)*4:]
			if int(seg[0])<<8|int(seg[1]) == port && bytes.Contains(seg, []byte(want)) {
				return p[8]
			}
		}
	}
	if ttl := talk("GET /latest/meta-data/instance-id HTTP/1.1\r\nHost: x\r\n\r\n", string(m.Instance)); ttl < 32 {
		t.Errorf("a plain answer lives for %d hops", ttl)
	}
	if ttl := talk("PUT /latest/api/token HTTP/1.1\r\nHost: x\r\nX-aws-ec2-metadata-token-ttl-seconds: 60\r\nContent-Length: 0\r\n\r\n", "200 OK"); ttl != 3 {
		t.Errorf("a token lives for %d hops, want 3", ttl)
	}
}

func FuzzRequests(f *testing.F) {
	f.Add("GET", "/latest/meta-data/", "", "", "")
	f.Add("PUT", "/latest/api/token", "60", "", "1.2.3.4")
	f.Add("PUT", "//latest//api/token/", "21601", "AAAA", "")
	f.Add("GET", "/2021-03-23/meta-data/../user-data?x=1", "", "x", "")
	m := instance()
	s, err := New(guests{"192.0.2.1": &m}.lookup, make([]byte, 32), quiet)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, method, path, ttl, token, forwarded string) {
		for _, required := range []string{"optional", "required"} {
			m.Options.HTTPTokens = required
			r := httptest.NewRequest("GET", "/", nil)
			r.Method, r.URL.Path = method, path
			r.Header.Set("X-aws-ec2-metadata-token-ttl-seconds", ttl)
			if token != "" {
				r.Header.Set("X-aws-ec2-metadata-token", token)
			}
			if forwarded != "" {
				r.Header.Set("X-Forwarded-For", forwarded)
			}
			w := httptest.NewRecorder()
			s.ServeHTTP(w, r)
			if w.Code == 200 && (token != "" || required == "required") {
				t.Fatalf("%s %q was answered with token %q", method, path, token)
			}
			if !slices.Contains([]int{200, 400, 401, 403, 404, 405, 500}, w.Code) {
				t.Fatalf("status %d", w.Code)
			}
		}
	})
}

// FuzzWire gives the whole server bytes that are no request.
func FuzzWire(f *testing.F) {
	f.Add([]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"))
	f.Add([]byte("PUT /latest/api/token HTTP/1.0\r\nX-aws-ec2-metadata-token-ttl-seconds: 60\r\n\r\n"))
	f.Add([]byte("\x00\xff\r\n\r\n"))
	m := instance()
	s, err := New(guests{"127.0.0.1": &m}.lookup, make([]byte, 32), quiet)
	if err != nil {
		f.Fatal(err)
	}
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		f.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	f.Cleanup(cancel)
	go s.Serve(ctx, l)
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := net.Dial("tcp4", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(20 * time.Second))
		c.Write(b)
		c.(*net.TCPConn).CloseWrite()
		if _, err := io.Copy(io.Discard, c); err != nil && errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal("it hangs")
		}
	})
}
