package events

import "strings"

// Subjects of the bus. Words never hold a dot, a space or a wildcard: ids and
// names are checked at the door.

// Subject is where an event is published live, and where the stream shows it.
func (a About) Subject(region string) string { return "sk.ev." + region + "." + a.tail() }

// LogSubject is where the kept cursor publishes an event; the stream captures
// it and shows it under Subject.
func (a About) LogSubject(region string) string { return "sk.log." + region + "." + a.tail() }

func (a About) tail() string {
	zone := string(a.Zone)
	if zone == "" {
		zone = "-"
	}
	return strings.Join([]string{zone, a.Service, a.Kind, a.ID, a.Verb}, ".")
}

// CommandSubject is the endpoint of a command at the leader.
func CommandSubject(region string, c Command) string {
	return "sk.cmd." + region + "." + c.Service() + "." + Name(c)
}

// NodeCommandSubject is the endpoint of a node's own command: the bus lets a
// node publish only where its own host's name stands.
func NodeCommandSubject(region string, c Command, host HostID) string {
	return CommandSubject(region, c) + "." + string(host)
}

// QuerySubject is the endpoint of a question that any voter answers.
func QuerySubject(region, what string) string { return "sk.query." + region + "." + what }

// LeaderSubject is the endpoint of a question that only the leader answers.
func LeaderSubject(region, what string) string { return "sk.lead." + region + "." + what }

// SpecGetSubject is where a node asks a voter for its complete set.
func SpecGetSubject(region string, host HostID, kind string) string {
	return "sk.spec." + region + ".get." + string(host) + "." + kind
}

// SpecSubject is where one changed spec of a node is announced.
func SpecSubject(region string, host HostID, kind string, spec Spec) string {
	return "sk.spec." + region + ".node." + string(host) + "." + kind + "." + string(spec.Kind) + "-" + word(spec.ID)
}

// VPCSubject is where a changed spec is announced that every node with a port in
// the VPC holds.
func VPCSubject(region string, vpc VPCID, spec Spec) string {
	return "sk.spec." + region + ".vpc." + string(vpc) + "." + string(spec.Kind) + "-" + word(spec.ID)
}

// NodeSubject is where a node speaks and is asked: what is heartbeat, have,
// console, ….
func NodeSubject(region string, z Zone, host HostID, kind, what string) string {
	return strings.Join([]string{"sk.node", region, string(z), string(host), kind, what}, ".")
}

// EventStream is the name of the stream that keeps a region's events.
func EventStream(region string) string { return "SK_EV_" + streamName(region) }

// SpecStream is the name of the stream that mirrors specs for operators.
func SpecStream(region string) string { return "SK_SPEC_" + streamName(region) }

func streamName(region string) string { return strings.ToUpper(strings.ReplaceAll(region, "-", "_")) }
