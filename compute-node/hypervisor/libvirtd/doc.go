// Package libvirtd drives QEMU through libvirt's embedded driver,
// qemu:///embed?root=R. There is no daemon: this process holds the driver, QEMU
// runs in its network namespace, and guests outlive it.
//
//	R/etc/qemu.conf   ours: no virtlogd, no security driver, no ownership games
//	R/run, R/lib      pids, status and monitor sockets: keep R short, a socket's
//	                  path has 108 bytes
//	R/cache/qemu      what this QEMU can do; probing takes seconds, so hosts of
//	                  one machine share it by copy through Config.Cache
//	R/log             QEMU's own words
//
// One root per process and one process per root: libvirt refuses both others,
// which fences a second agent. Domains are defined from the caller's wish at
// each start; what libvirt keeps of them is never read back as a wish. The
// instance id and the boot that runs are in the domain's metadata.
//
// A libvirt call blocks a thread until QEMU answers. Each domain therefore has
// one call at a time, on its own goroutine, and a caller whose deadline passes
// gets its error while the call runs out behind it.
package libvirtd
