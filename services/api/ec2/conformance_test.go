package ec2

import (
	"encoding/json"
	"encoding/xml"
	commandline "flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"skerry/services/api/model"
	"skerry/services/api/reply"
	"skerry/services/seal"
	"skerry/services/state"
)

// Every reply of the tests in this package is held against the public API
// model: its members, its required ones, its words and its forms of times and
// numbers. What was called, and what came of it, makes the table of coverage.

var rewriteCoverage = commandline.Bool("coverage-table", false, "write the table of coverage")

// coverageFile is the table, which the README links to.
const coverageFile = "../COVERAGE.md"

// seen is what the tests of this run saw.
var seen = struct {
	sync.Mutex
	answered map[string]int             // replies of an action that were held against the model
	refused  map[string]map[string]bool // codes of its errors
	wrong    []string
}{answered: map[string]int{}, refused: map[string]map[string]bool{}}

// shapes is the public model, as far as it is needed here.
type shapes struct {
	Operations map[string]struct {
		Input, Output struct{ Shape string }
	}
	Shapes map[string]struct {
		Type     string
		Enum     []string
		Required []string
		Member   struct{ Shape, LocationName string }
		Members  map[string]struct{ Shape, LocationName, QueryName string }
	}
}

// public is the model in the module cache, or nil where that lacks it.
var public = sync.OnceValue(func() *shapes {
	b, err := os.ReadFile(publicModel("api-2.json"))
	if err != nil {
		return nil
	}
	s := new(shapes)
	if err := json.Unmarshal(b, s); err != nil {
		panic(err)
	}
	return s
})

func TestPublicModel(t *testing.T) {
	if public() == nil {
		t.Skip("the public API model is not in the module cache, so no reply was held against it: make model")
	}
}

// publicModel is where the module cache has a file of the model.
func publicModel(file string) string {
	out, err := exec.Command("go", "env", "GOMODCACHE").Output()
	if err != nil {
		return ""
	}
	return filepath.Join(strings.TrimSpace(string(out)), "github.com/aws/aws-sdk-go@v1.55.8/models/apis/ec2/2016-11-15", file)
}

// saw holds a reply against the model and keeps what it was.
func saw(action, text string) {
	n := new(node)
	if err := xml.Unmarshal([]byte(text), n); err != nil {
		note("%s: %v", action, err)
		return
	}
	seen.Lock()
	if code := n.text("Errors/Error/Code"); code != "" {
		if seen.refused[action] == nil {
			seen.refused[action] = map[string]bool{}
		}
		seen.refused[action][code] = true
		seen.Unlock()
		if n.text("Errors/Error/Message") == "" || n.text("RequestID") == "" {
			note("%s: an error without message or request id: %s", action, text)
		}
		return
	}
	seen.answered[action]++
	seen.Unlock()
	m := public()
	op, ok := struct{ Input, Output struct{ Shape string } }{}, false
	if m != nil {
		op, ok = m.Operations[action]
	}
	if !ok {
		return // of another service, or there is no model to hold it against
	}
	if n.XMLName.Local != action+"Response" {
		note("%s: the reply is a %s", action, n.XMLName.Local)
	}
	n.Kids = slices.DeleteFunc(n.Kids, func(k node) bool { return k.XMLName.Local == "requestId" })
	if op.Output.Shape == "" {
		if n.text("return") != "true" {
			note("%s: the reply does not say true", action)
		}
		return
	}
	m.hold(action, op.Output.Shape, n)
}

// beside are words that EC2 itself answers with and its model lacks ("Attach
// InternetGateway" and "CreateNetworkInterface" in the API reference, examples;
// the filter interface-type of "DescribeNetworkInterfaces").
var beside = map[string]bool{
	"AttachmentStatus available":       true,
	"NetworkInterfaceStatus pending":   true,
	"NetworkInterfaceType nat_gateway": true,
}

func note(format string, a ...any) {
	seen.Lock()
	defer seen.Unlock()
	seen.wrong = append(seen.wrong, fmt.Sprintf(format, a...))
}

// hold checks an element against a shape.
func (m *shapes) hold(path, shape string, n *node) {
	s := m.Shapes[shape]
	text := strings.TrimSpace(n.Text)
	switch s.Type {
	case "structure":
		byName := map[string]string{}
		for name, member := range s.Members {
			where := member.LocationName
			if where == "" {
				where = name
			}
			byName[where] = member.Shape
			if slices.Contains(s.Required, name) && !n.has(where) {
				note("%s: %s lacks %s", path, shape, where)
			}
		}
		once := map[string]bool{}
		for i := range n.Kids {
			k := &n.Kids[i]
			name := k.XMLName.Local
			if byName[name] == "" {
				note("%s: %s has no member %s", path, shape, name)
				continue
			}
			if once[name] {
				note("%s: %s is there twice", path, name)
			}
			once[name] = true
			m.hold(path+"/"+name, byName[name], k)
		}
	case "list":
		item := s.Member.LocationName
		if item == "" {
			item = "member"
		}
		for i := range n.Kids {
			if n.Kids[i].XMLName.Local != item {
				note("%s: an item is called %s, not %s", path, n.Kids[i].XMLName.Local, item)
			}
			m.hold(path, s.Member.Shape, &n.Kids[i])
		}
	case "string":
		if len(s.Enum) > 0 && !beside[shape+" "+text] && !slices.Contains(s.Enum, text) && shape != "InstanceType" {
			note("%s: %q is not a word of %s", path, text, shape)
		}
	case "boolean":
		if text != "true" && text != "false" {
			note("%s: %q is not true or false", path, text)
		}
	case "integer", "long", "float", "double":
		if json.Unmarshal([]byte(text), new(float64)) != nil {
			note("%s: %q is not a number", path, text)
		}
	case "timestamp":
		if _, err := time.Parse(time.RFC3339, text); err != nil {
			note("%s: %q is not a time", path, text)
		}
	}
}

func TestMain(m *testing.M) {
	code := m.Run()
	if len(seen.wrong) > 0 {
		slices.Sort(seen.wrong)
		list := slices.Compact(seen.wrong)
		fmt.Printf("--- FAIL: %d replies are not as the API model has them\n    %s\n", len(list), strings.Join(list[:min(len(list), 60)], "\n    "))
		code = max(code, 1)
	}
	whole := commandline.Lookup("test.run").Value.String() == "" && commandline.Lookup("test.skip").Value.String() == "" && commandline.Lookup("test.fuzz").Value.String() == "" && !testing.Short()
	if code == 0 && whole && public() != nil {
		have, err := os.ReadFile(coverageFile)
		want := coverage()
		switch {
		case *rewriteCoverage:
			err = os.WriteFile(coverageFile, []byte(want), 0o644)
		case err == nil && string(have) != want:
			err = fmt.Errorf("it is not what this run saw; run go test ./services/api/ec2 -args -coverage-table")
		}
		if err != nil {
			fmt.Printf("--- FAIL: %s: %v\n", coverageFile, err)
			code = 1
		}
	}
	os.Exit(code)
}

// coverage is the table as this run saw it.
func coverage() string {
	var b strings.Builder
	key, err := seal.New(make([]byte, 32))
	if err != nil {
		panic(err)
	}
	table := New(&fake{tx: state.New()}, key, "").Table()
	missing := table.Missing()
	names := slices.Sorted(slices.Values(append(model.Implemented(reply.EC2), model.Implemented(reply.STS)...)))
	tested := 0
	var rows strings.Builder
	for _, name := range names {
		row := []string{name, "yes", "", strings.Join(slices.Sorted(maps.Keys(seen.refused[name])), " ")}
		if slices.Contains(missing, name) {
			row[1] = "no"
		}
		if seen.answered[name] > 0 {
			row[2] = "yes"
			tested++
		}
		fmt.Fprintf(&rows, "| %s |\n", strings.Join(row, " | "))
	}
	fmt.Fprintf(&b, `# Actions of the API

The tests of the EC2 door make this table. An action that is implemented has
replies that were held against the public API model (members, required ones,
words, forms), and errors of the codes named. What is not here is known by its
name and answers UnsupportedOperation.

%d of %d actions are implemented; replies of %d were held against the model.

| action | implemented | reply validated | errors seen |
|---|---|---|---|
%s`, len(names)-len(missing), len(names), tested, rows.String())
	return b.String()
}
