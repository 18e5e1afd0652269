// Command skerry brings up a region on one machine and looks after it.
package main

import (
	"os"

	"skerry/deploy/cli"
)

func main() { os.Exit(cli.Main(os.Args, os.Stdout, os.Stderr)) }
