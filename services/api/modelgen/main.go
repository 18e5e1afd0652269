// Modelgen writes package model from the public API models of EC2 and STS, as
// the module github.com/aws/aws-sdk-go publishes them.
//
//	api-2.json ─▶ shapes reachable from the actions in implemented.go
//	           ─▶ shapes_gen.go   Go structs, with encoding/xml tags
//	              decode_gen.go   DecodeQuery: one line per member
//	              encode_gen.go   AppendXML: one line per member
//	              actions_gen.go  the names of all actions, implemented or not
//	              outputs_gen_test.go  one output of each, for the round trip
//
// It runs by `go generate ./services/api/model`, takes the models out of the
// module cache (fetching the pinned module once, checksum verified, without
// touching go.mod) and writes the same bytes for the same models.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	out := flag.String("out", ".", "folder of package model")
	flag.Parse()
	if err := run(*out); err != nil {
		fmt.Fprintln(os.Stderr, "modelgen:", err)
		os.Exit(1)
	}
}

func run(out string) error {
	dir, err := fetch()
	if err != nil {
		return err
	}
	files, err := generate(dir)
	if err != nil {
		return err
	}
	for name, src := range files {
		if err := os.WriteFile(filepath.Join(out, name), src, 0o644); err != nil {
			return err
		}
	}
	return nil
}
