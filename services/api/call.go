package api

import (
	"net/netip"

	"skerry/services/api/reply"
)

// Call is what the door knows about a request beside its parameters.
type Call struct {
	Account     string        // 12 digits: every key and query of the domain begins with it
	AccessKey   string        // id of the key that signed
	SourceIP    netip.Addr    // of the connection
	UserAgent   string        // as sent, at most 256 bytes
	Host        string        // name and port by which the caller reached the door, as signed
	RequestID   string        // a UUID, the correlation id of all that follows
	Service     reply.Service // ec2 or sts
	Action      string
	Version     string // as the request asked
	Region      string
	ClientToken string // idempotency token, or empty
	// DryRun asks the handler to run its checks without effect. What it returns
	// beside an error is ignored: the door answers DryRunOperation.
	DryRun bool
}
