// Command skerry-network-node joins the region for one host's VPC data plane.
package main

import (
	"skerry/internal/config"
	"skerry/internal/idle"
)

func main() { idle.Main(config.Network) }
