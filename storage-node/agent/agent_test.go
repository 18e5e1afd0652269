package agent

import (
	"testing"

	"skerry/internal/node"
)

// A second process on the same directory is refused before it listens.
func TestOneProcess(t *testing.T) {
	o := Options{Options: node.Options{Host: "h1"}, Dir: t.TempDir(), Listen: "127.0.0.1:0"}
	a, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	if a.Portal() == "" {
		t.Error("no portal")
	}
	if _, err := New(o); err == nil {
		t.Error("a directory was taken twice")
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	o.Listen = a.Portal() // the port is the same after a restart
	if a, err = New(o); err != nil {
		t.Fatal(err)
	}
	if err := a.Close(); err != nil {
		t.Error(err)
	}
	if _, err := New(Options{Dir: t.TempDir(), Listen: "300.0.0.1:x"}); err == nil {
		t.Error("a bad address was taken")
	}
}
