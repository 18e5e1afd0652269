// Package wire is the network that a one-machine region runs on: one network
// namespace for each host, and one, `wire`, with a bridge for each zone and
// the routes between the zones.
//
//	isle-1a-cp   isle-1a-1        isle-1b-cp   isle-1b-1
//	  eth0         eth0             eth0         eth0
//	---|------------|---------------|------------|-------- namespace edge
//	 skT.1.0      skT.1.1         skT.2.0      skT.2.1
//	   +---- zone1 ----+            +---- zone2 ----+       namespace wire
//	     10.77.1.1/24     routing     10.77.2.1/24
//
// Faults act in the wire namespace, where no host can undo them: a host is cut
// by taking its port down, like a pulled cable; a direction between two zones
// is cut by a routing rule that drops what comes from one zone's bridge for
// the other zone's prefix. Nothing of it is visible in the machine's own
// namespace, and nothing connects to it: a program outside reaches a host from
// the wire's namespace (Do), where a cut holds for it as for everybody.
//
// All calls state what should be (Ensure, Cut) and may be repeated.
package wire
