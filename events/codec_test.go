package events

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "append what is not yet in the golden files")

// golden is one released value: its name and its two forms.
type golden struct {
	name, cbor, json string
}

// A golden file is a list of
//
//	Name
//	cbor in hex
//	json
//
// It only grows. What is in it has been written by a released program into
// somebody's log: it must be read, and written again as the same bytes, for
// ever. A field that is added is omitempty, and adds an entry.
func readGolden(t testing.TB, path string) []golden {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var out []golden
	lines := strings.Split(strings.TrimSuffix(string(b), "\n"), "\n")
	for i := 0; i+2 < len(lines); i += 4 {
		out = append(out, golden{lines[i], lines[i+1], lines[i+2]})
	}
	return out
}

func (g golden) bytes(t testing.TB) []byte {
	t.Helper()
	b, err := hex.DecodeString(g.cbor)
	if err != nil {
		t.Fatalf("%s: %v", g.name, err)
	}
	return b
}

// full sets every field of a value to something that is not zero.
func full(v reflect.Value, n *int) {
	*n++
	switch v.Interface().(type) {
	case time.Time:
		v.Set(reflect.ValueOf(time.Date(2026, 1, 2, 3, 4, 5, 600_000_000+*n, time.UTC)))
		return
	case netip.Addr:
		v.Set(reflect.ValueOf(netip.AddrFrom4([4]byte{172, 31, 0, byte(*n)})))
		return
	case netip.Prefix:
		v.Set(reflect.ValueOf(netip.PrefixFrom(netip.AddrFrom4([4]byte{172, 31, byte(*n), 0}), 24)))
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(fmt.Sprintf("<%d & é>", *n))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(int64(*n * 1000))
	case reflect.Uint8, reflect.Uint32, reflect.Uint64:
		v.SetUint(uint64(*n))
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		full(v.Elem(), n)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		full(v.Index(0), n)
		full(v.Index(1), n)
	case reflect.Array:
		for i := range v.Len() {
			full(v.Index(i), n)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			full(v.Field(i), n)
		}
	default:
		panic("full: " + v.Type().String())
	}
}

func fullOf(zero any) any {
	v, n := reflect.New(reflect.TypeOf(zero)).Elem(), 0
	full(v, &n)
	return v.Interface()
}

func TestGoldenEvents(t *testing.T) {
	var all []any
	for _, e := range Kinds() {
		all = append(all, e)
	}
	checkGolden(t, "testdata/events.golden", all, &kinds, json.Unmarshal)
}

func TestGoldenCommands(t *testing.T) {
	var all []any
	for _, c := range Commands() {
		all = append(all, c)
	}
	checkGolden(t, "testdata/commands.golden", all, &commands, strictJSON)
}

func checkGolden(t *testing.T, path string, zeros []any, r *registry, unmarshal func([]byte, any) error) {
	have := readGolden(t, path)
	for _, zero := range zeros {
		for _, v := range []any{fullOf(zero), zero} {
			g := golden{Name(v), hex.EncodeToString(Encode(v)), string(jsonBody(v))}
			if slices.Contains(have, g) {
				continue
			}
			if !*update {
				t.Errorf("%s is not in %s as it is written today; if the change keeps what is there, run go test ./events -run Golden -update\n%s", g.name, path, g.json)
				continue
			}
			have = append(have, g)
			f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := fmt.Fprintf(f, "%s\n%s\n%s\n\n", g.name, g.cbor, g.json); err != nil {
				t.Fatal(err)
			}
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, g := range have {
		v, err := r.decode(g.name, g.bytes(t), Decode)
		if err != nil {
			t.Errorf("%s of a log cannot be read any more: %v\n%s", g.name, err, g.json)
			continue
		}
		if again := hex.EncodeToString(Encode(v)); again != g.cbor {
			t.Errorf("%s of a log is written as other bytes: a voter would take its own history for a forgery\n was %s\n is  %s", g.name, g.cbor, again)
		}
		w, err := r.decode(g.name, []byte(g.json), unmarshal)
		if err != nil {
			t.Errorf("%s of the bus cannot be read any more: %v\n%s", g.name, err, g.json)
			continue
		}
		if !bytes.Equal(Encode(w), Encode(v)) {
			t.Errorf("%s means one thing in the log and another on the bus:\n%s\n%s", g.name, jsonBody(v), jsonBody(w))
		}
		if again := string(jsonBody(v)); again != g.json {
			t.Errorf("%s is told otherwise:\n was %s\n is  %s", g.name, g.json, again)
		}
	}
}

// sampleRecord and sampleStamped are whole messages, as log and history hold them.
func sampleRecord() Record {
	r := Record{N: 77, Prev: sha256.Sum256([]byte("before")), Time: time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC), Cause: "c-1", Request: "req-1",
		Actor: "node:isle-1a-1/compute", Account: "111111111111", Event: InstanceStarted{Instance: "i-1", Zone: "isle-1a", Host: "isle-1a-1", At: time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)}}
	r.Hash = sha256.Sum256(r.Encode())
	return r
}

// sampleCall is what the door says of a call.
func sampleCall() Call {
	return Call{Action: "TerminateInstances", AccessKey: "AKIAEXAMPLE", Source: "127.0.0.1", Agent: "aws-cli/2", Parameters: `{"instanceId.1":"i-1"}`}
}

func sampleStamped() Stamped {
	return Stamped{Stamp{ID: "c-1", Actor: "operator", Account: "111111111111", ClientToken: "t", Request: "req-1", Seed: Seed{1, 2, 3}, Version: 1,
		Expires: time.Date(2026, 1, 2, 3, 4, 6, 0, time.UTC), Time: time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)}, TerminateInstances{Instances: []InstanceID{"i-1"}}}
}

// The envelopes of log and history are forever as well.
func TestGoldenEnvelopes(t *testing.T) {
	const path = "testdata/envelopes.golden"
	r, s := sampleRecord(), sampleStamped()
	called, calling := sampleRecord(), sampleStamped()
	called.Call, calling.Stamp.Call = sampleCall(), sampleCall()
	called.Hash = sha256.Sum256(called.Encode())
	want := []golden{
		{"Record", hex.EncodeToString(r.Encode()), string(r.JSON("isle-1"))},
		{"Stamped", hex.EncodeToString(s.Encode()), string(jsonBody(s.Stamp))},
		{"Record", hex.EncodeToString(called.Encode()), string(called.JSON("isle-1"))},
		{"Stamped", hex.EncodeToString(calling.Encode()), string(jsonBody(calling.Stamp))},
	}
	if *update {
		var b strings.Builder
		for _, g := range want {
			fmt.Fprintf(&b, "%s\n%s\n%s\n\n", g.name, g.cbor, g.json)
		}
		if _, err := os.Stat(path); err != nil {
			if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	have := readGolden(t, path)
	if !slices.Equal(have, want) {
		t.Fatalf("the envelopes are written otherwise:\n was %v\n is  %v", have, want)
	}
	back, err := DecodeRecord(have[0].bytes(t))
	if err != nil || !reflect.DeepEqual(back, r) {
		t.Errorf("the record reads as %+v, %v", back, err)
	}
	stamped, err := DecodeStamped(have[1].bytes(t))
	if err != nil || !reflect.DeepEqual(stamped, s) {
		t.Errorf("the command reads as %+v, %v", stamped, err)
	}
	told, err := DecodeEnvelope([]byte(have[0].json))
	if err != nil || !reflect.DeepEqual(told, r) {
		t.Errorf("the envelope reads as %+v, %v", told, err)
	}
}

// Whatever is read is written as what reads the same.
func FuzzDecodeStamped(f *testing.F) {
	f.Add(sampleStamped().Encode())
	for _, g := range readGolden(f, "testdata/commands.golden") {
		f.Add(Encode(wireStamped{Name: g.name, Body: g.bytes(f)}))
	}
	f.Add(Encode(map[string]any{"s": map[string]any{"time": uint64(1) << 62}, "c": "Tick", "b": []byte{}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := DecodeStamped(b)
		if err != nil {
			return
		}
		first := s.Encode()
		again, err := DecodeStamped(first)
		if err != nil {
			t.Fatalf("%+v cannot be read again: %v", s, err)
		}
		if second := again.Encode(); !bytes.Equal(first, second) {
			t.Fatalf("read again it is another command:\n%x\n%x", first, second)
		}
		jsonBody(s.Stamp)
		jsonBody(s.Command)
	})
}

func FuzzDecodeRecord(f *testing.F) {
	f.Add(sampleRecord().Encode())
	for _, g := range readGolden(f, "testdata/events.golden") {
		f.Add(Encode(wireRecord{N: 1, Prev: make([]byte, 32), Name: g.name, Body: g.bytes(f)}))
	}
	f.Add(Encode(map[string]any{"n": 1, "p": make([]byte, 32), "t": uint64(1) << 62, "c": "", "a": "", "e": "HostDrained", "b": []byte{}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := DecodeRecord(b)
		if err != nil {
			return
		}
		again, err := DecodeRecord(r.Encode())
		if err != nil || !bytes.Equal(again.Encode(), r.Encode()) {
			t.Fatalf("read again it is another record: %v\n%+v\n%+v", err, r, again)
		}
		told, err := DecodeEnvelope(r.JSON("isle-1"))
		if err != nil || told.N != r.N || told.Prev != r.Prev || told.Hash != r.Hash {
			t.Fatalf("told it is another record: %v\n%+v\n%+v", err, r, told)
		}
		Line(r.Event)
	})
}

func FuzzDecodeEnvelope(f *testing.F) {
	f.Add(sampleRecord().JSON("isle-1"))
	for _, g := range readGolden(f, "testdata/events.golden") {
		f.Add([]byte(`{"sequence":"7","type":"` + g.name + `","data":` + g.json + `}`))
	}
	f.Add([]byte(`{"sequence":"-1","type":"HostDrained"}`))
	f.Add([]byte(`{"sequence":"1","type":"Nothing","prev":"zz"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := DecodeEnvelope(b)
		if err != nil {
			return
		}
		again, err := DecodeEnvelope(r.JSON("isle-1"))
		if err != nil || !bytes.Equal(again.Encode(), r.Encode()) || again.Hash != r.Hash {
			t.Fatalf("told again it is another record: %v\n%+v\n%+v", err, r, again)
		}
		if _, err := DecodeRecord(r.Encode()); err != nil {
			t.Fatalf("%+v cannot be kept: %v", r, err)
		}
	})
}

func FuzzDecodeCommandJSON(f *testing.F) {
	for _, g := range readGolden(f, "testdata/commands.golden") {
		f.Add(g.name, []byte(g.json))
	}
	f.Add("RunInstances", []byte(`{"min":1,"maximum":2}`))
	f.Add("Tick", []byte(`{} {}`))
	f.Add("Tick", []byte(nil))
	f.Add("Tock", []byte(`{}`))
	f.Fuzz(func(t *testing.T, name string, body []byte) {
		c, err := DecodeCommandJSON(name, body)
		if err != nil {
			return
		}
		again, err := DecodeStamped(Stamped{Command: c}.Encode())
		if err != nil {
			t.Fatalf("%+v cannot be kept in the log: %v", c, err)
		}
		if !bytes.Equal(CommandBytes(again.Command), CommandBytes(c)) {
			t.Fatalf("in the log it is another command: %+v, %+v", c, again.Command)
		}
	})
}

// A person's typing errors are told, with the name of what is wrong.
func TestCommandJSONIsStrict(t *testing.T) {
	for _, test := range []struct{ name, body, want string }{
		{"RunInstances", `{"maximum":2}`, "maximum"},
		{"RunInstances", `{"min":"two"}`, "min"},
		{"RunInstances", `{"min":1}{"max":2}`, "behind"},
		{"RunInstances", `{"min":1`, "RunInstances"},
		{"RunInstance", `{}`, `"RunInstance"`},
	} {
		_, err := DecodeCommandJSON(test.name, []byte(test.body))
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s %s: %v; want %q named", test.name, test.body, err, test.want)
		}
	}
	if c, err := DecodeCommandJSON("Tick", nil); err != nil || c != (Tick{}) {
		t.Errorf("a command without a body: %v, %v", c, err)
	}
}

// Commands and events stand in the subject tree once each.
func TestSubjects(t *testing.T) {
	seen := map[string]string{}
	for _, e := range Kinds() {
		e = fullOf(e).(Event)
		a := e.About()
		if a.Service == "" || a.Kind == "" || a.ID == "" || a.Verb == "" {
			t.Errorf("%s: %+v has an empty word", Name(e), a)
		}
		key := a.Service + "." + a.Kind + "." + a.Verb
		if other := seen[key]; other != "" && Name(e)[:4] != "Node" {
			t.Errorf("%s and %s are both %s", Name(e), other, key)
		}
		seen[key] = Name(e)
	}
	r := sampleRecord()
	if got := r.Event.About().Subject("isle-1"); got != "sk.ev.isle-1.isle-1a.compute.instance.i-1.started" {
		t.Error(got)
	}
	if got := r.Event.About().LogSubject("isle-1"); got != "sk.log.isle-1.isle-1a.compute.instance.i-1.started" {
		t.Error(got)
	}
	if got := (AccountDeleted{ID: "1"}).About().Subject("isle-1"); got != "sk.ev.isle-1.-.accounts.account.1.deleted" {
		t.Error(got)
	}
	if got := NodeCommandSubject("isle-1", JoinNode{}, "isle-1a-1"); got != "sk.cmd.isle-1.region.JoinNode.isle-1a-1" {
		t.Error(got)
	}
}

// A seed gives the same ids for ever, and other ids for other purposes.
func TestSeed(t *testing.T) {
	s := Seed{1, 2, 3}
	if got := s.Hex("i", 0); got != "0dde32560cae47c41" {
		t.Errorf("the first instance of this seed is i-%s", got)
	}
	seen := map[string]bool{}
	for _, purpose := range []string{"i", "eni", "vpc"} {
		for i := range 100 {
			id := s.Hex(purpose, i)
			if len(id) != 17 || id[0] != '0' || seen[id] {
				t.Errorf("%s %d: %q", purpose, i, id)
			}
			seen[id] = true
		}
	}
}
