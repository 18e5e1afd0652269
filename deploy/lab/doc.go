// Package lab lays out a whole region on one machine: which hosts and programs
// it has, which addresses and ports they use, which certificates and keys they
// carry, and the one config file each program runs from. It only writes files;
// package wire makes the network and package stage starts the programs, so
// nothing a program sees assumes one machine.
//
// The data directory, which survives `down`:
//
//	region.json                     name, id, format, zones, hosts, ports
//	ca/ca.pem, ca/ca.key            the region's certificate authority
//	ca/<host>.pem, ca/<host>.key    the TLS certificate of a control plane
//	ca/region.key                   32 bytes in hex: what the region seals follows from it
//	ca/accounts.key                 32 bytes in hex: secrets of access keys follow from it
//	ca/users/<host>-<kind>.nk       nkey seed of one process, operator.nk a person's
//	nodes/<host>/<kind>/config.toml what the program runs from
//	nodes/<host>/<kind>/data/       what the program keeps
//	nodes/<host>/<kind>/log         what the program says
//	credentials.json                keys of the first account
//	faults.json                     faults in force and when each one ends
//
// The run directory holds sockets and pins and is short, because a socket path
// may have 108 bytes: /run/skerry/<tag> for root, else under $XDG_RUNTIME_DIR
// or /tmp/skerry-<uid>. The tag is a hash of directory and region name; names
// of namespaces and links begin with it too, so two regions never meet.
//
// With the qemu hypervisor each control plane and each host is a network
// namespace with an address of 10.77.<zone>.0/24. With the memory hypervisor
// everything listens on 127.0.0.1, on ports chosen once and kept in
// region.json, because a Raft group remembers the addresses of its members.
//
// A region may have the accounts of another one, its root: it gets a copy of the
// root's accounts.key when it is made. Regions ask each other through a socket in
// their run directories, which their supervisors lead to a live zone.
//
// Writing a region twice changes nothing; what exists is kept, so keys and
// certificates stay what they were.
package lab
