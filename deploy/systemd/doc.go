// Package systemd holds one unit template for each kind of program, for machines that
// are a region's hosts rather than the stage of a whole one. The programs are
// the same and run from the same kind of file:
//
//	/etc/skerry/isle-1/compute.toml
//	systemctl enable --now skerry-compute-node@isle-1
//
// The instance is the region's name. Everything restarts by itself; a compute
// node's guests outlive it (KillMode=process).
package systemd
