// Command skerry-storage-node joins the region for one host's volumes.
package main

import (
	"skerry/internal/config"
	"skerry/internal/idle"
)

func main() { idle.Main(config.Storage) }
