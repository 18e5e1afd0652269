package busd

import (
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"skerry/events/bus"
	"skerry/internal/config"
)

// Permissions are the subject allow lists of a process. What is not named is
// refused. A node may speak for its own host only, hears only its own specs,
// and has no way to change streams.
//
//	services   everything
//	operator   commands, questions, streams; hears everything
//	scheduler  placements, and the questions it has; hears events
//	a node     its join, reports and specs; hears its own specs and questions,
//	           a network node those of VPCs besides
func Permissions(region string, u config.User) *server.Permissions {
	inbox := bus.InboxPrefix(u.Host, u.Kind) + ".>"
	micro := []string{"$SRV.PING", "$SRV.PING.>", "$SRV.INFO", "$SRV.INFO.>", "$SRV.STATS", "$SRV.STATS.>"}
	allow := func(pub, sub []string) *server.Permissions {
		return &server.Permissions{
			Publish:   &server.SubjectPermission{Allow: pub},
			Subscribe: &server.SubjectPermission{Allow: append(sub, inbox)},
			// Answers to requests, those of the CLI's many-answer questions included.
			Response: &server.ResponsePermission{MaxMsgs: 64, Expires: 10 * time.Second},
		}
	}
	switch u.Kind {
	case config.Services:
		return allow([]string{">"}, []string{">"})
	case config.Operator:
		return allow([]string{"sk.cmd." + region + ".>", "sk.query." + region + ".>", "sk.lead." + region + ".>",
			"sk.node." + region + ".*.*.*.have", "sk.node." + region + ".*.*.*.console", "$SRV.>", "$JS.API.>", "$JS.ACK.>", "$JS.FC.>"},
			[]string{">"})
	case config.Scheduler:
		return allow([]string{"sk.cmd." + region + ".compute.PlaceInstances", "sk.cmd." + region + ".storage.PlaceVolumes", "sk.lead." + region + ".scheduling",
			"sk.query." + region + ".status", "sk.query." + region + ".history"}, // not accounts: the answer holds secrets
			append(micro, "sk.ev."+region+".>", "sk.live."+region))
	case config.Compute, config.Network, config.Gateway, config.Storage:
		me := u.Host + "." + u.Kind
		pub := []string{"sk.cmd." + region + ".region.JoinNode." + u.Host, "sk.spec." + region + ".get." + me,
			"sk.node." + region + "." + u.AZ + "." + me + ".>"}
		sub := append(micro, "sk.spec."+region+".node."+me+".>", "sk.node."+region+"."+u.AZ+"."+me+".>")
		switch u.Kind {
		case config.Compute:
			pub = append(pub, "sk.cmd."+region+".compute.ReportInstance."+u.Host, "sk.cmd."+region+".storage.ReportDisk."+u.Host)
		case config.Network:
			pub = append(pub, "sk.cmd."+region+".network.ReportRemoved."+u.Host)
			sub = append(sub, "sk.spec."+region+".vpc.>")
		case config.Gateway:
			pub = append(pub, "sk.cmd."+region+".network.ReportRemoved."+u.Host, "sk.cmd."+region+".network.ReportNATGateway."+u.Host)
			sub = append(sub, "sk.spec."+region+".vpc.>")
		case config.Storage:
			pub = append(pub, "sk.cmd."+region+".storage.ReportVolume."+u.Host, "sk.cmd."+region+".storage.ReportSnapshot."+u.Host)
		}
		return allow(pub, sub)
	}
	return &server.Permissions{Publish: &server.SubjectPermission{Deny: []string{">"}}, Subscribe: &server.SubjectPermission{Deny: []string{">"}}}
}
