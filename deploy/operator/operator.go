// Package operator asks a region over its bus, as the person who runs it: the
// operator's nkey, through the loopback forwarder that leads to a live zone.
//
// Commands are requests on sk.cmd.<region>.<service>.<Verb> to the leader,
// questions are requests on sk.query.<region>.<what> to any voter, and a node
// is asked on sk.node.<region>.<az>.<host>.<kind>.<what>.
package operator
