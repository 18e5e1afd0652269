package api

import (
	"net/netip"

	"skerry/services/api/reply"
)

// Call is what the door knows about a request beside its parameters.
type Call struct {
	Account     string        // 12 digits: every key and query of the domain begins with it
	User        string        // name of the user that signed, empty for the account's root
	AccessKey   string        // id of the key that signed
	Session     bool          // the key was issued for a while
	SourceIP    netip.Addr    // of the connection
	UserAgent   string        // as sent, at most 256 bytes
	Host        string        // name and port by which the caller reached the door, as signed
	RequestID   string        // a UUID, the correlation id of all that follows
	Service     reply.Service // ec2, sts or cloudtrail
	Action      string
	Version     string // as the request asked
	Region      string
	ClientToken string // idempotency token, or empty
	Parameters  string // of an action that changes something, as an audit tells them
	// DryRun asks the handler to run its checks without effect. What it returns
	// beside an error is ignored: the door answers DryRunOperation.
	DryRun bool
}
