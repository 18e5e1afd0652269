// Package supervisor is the one process that stands above all programs of a
// one-machine region: it starts them in their namespaces, reaps what ends,
// restarts what dies, keeps faults to their leases, and leads loopback clients
// to a live zone.
//
//	program:   waiting --start--> running --exit--> waiting (after a backoff)
//	              |                  |
//	              +----- held <------+   while a fault says so
//
// Everything that changes state happens in one loop, so there are no locks:
// the loop forks, reaps, heals, and runs what the control socket asks of it.
//
// It is a subreaper (prctl(2), PR_SET_CHILD_SUBREAPER): guests are orphans of
// the compute node that started them, and libvirt waits long for an orphan
// that nobody reaps. It never kills with its own death: when the supervisor is
// killed everything goes on, and the next one ends the programs it finds, but
// never a guest, and starts them anew.
//
// The control socket speaks JSON: one Request, one Reply, for each connection.
package supervisor
