package trail

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"skerry/events"
	"skerry/services/api"
	"skerry/services/api/ids"
	"skerry/services/api/page"
	"skerry/services/api/reply"
	"skerry/services/history"
	"skerry/services/seal"
	"skerry/services/state"
)

// Trail answers from one voter's history.
type Trail struct {
	read    func(context.Context) (*state.View, error)
	history *history.Store
	tokens  page.Tokens
}

// New makes a trail. Read returns a state with every write acknowledged before
// the call, whose events the history holds.
func New(read func(context.Context) (*state.View, error), h *history.Store, key *seal.Key) *Trail {
	return &Trail{read, h, page.New(key.Derive("page tokens"))}
}

// Handle adds the action to a table.
func (t *Trail) Handle(table *api.Table) {
	table.HandleJSON(reply.CloudTrail, "LookupEvents", t.LookupEvents)
}

// source is where all events of this trail come from.
const source = "ec2.amazonaws.com"

// The shapes of the reply ("LookupEvents" in the AWS CloudTrail API Reference).
type (
	found struct {
		Events    []event
		NextToken *string `json:",omitempty"`
	}
	event struct {
		EventId, EventName, ReadOnly string
		AccessKeyId                  string `json:",omitempty"`
		EventTime                    int64
		EventSource, Username        string
		Resources                    []resource
		CloudTrailEvent              string
	}
	resource struct{ ResourceType, ResourceName string }
)

// maxRead bounds the events that one answer is made from.
const maxRead = 20_000

// LookupEvents lists the account's calls that changed something, newest first.
func (t *Trail) LookupEvents(ctx context.Context, c *api.Call, body []byte) (any, error) {
	q, err := parse(body)
	if err != nil {
		return nil, err
	}
	below, next, err := t.position(c, q)
	if err != nil {
		return nil, err
	}
	v, err := t.read(ctx)
	if err != nil {
		return nil, err
	}
	if n, missing, err := t.history.Missing(v.Meta.N + 1); err != nil {
		return nil, err
	} else if missing {
		return nil, events.Faultf("Unavailable", "This zone's history lacks event %d for now. Please try again shortly.", n)
	}
	out := found{Events: []event{}}
	account := events.AccountID(c.Account)
	switch {
	case q.insight, q.attribute == "ReadOnly" && q.value == "true", q.attribute == "EventSource" && q.value != source:
		return out, nil
	case q.attribute == "EventId":
		act, err := t.byID(account, q.value)
		if at := act.First.Time.Truncate(time.Second); err == nil && act.Read > 0 && !at.Before(q.since) && (q.until.IsZero() || !at.After(q.until)) {
			out.Events = append(out.Events, tell(v, act))
		}
		return out, err
	}
	walk := history.Walk{Account: account, Below: below, Since: q.since, Until: q.until}
	if q.attribute == "ResourceName" {
		walk.Resource = q.value
	}
	read, failed := 0, error(nil)
	below, err = t.history.Calls(walk, func(call history.Call) bool {
		if !q.selects(call) {
			return true
		}
		if len(out.Events) == q.limit || read >= maxRead {
			return false
		}
		var act history.Act
		if act, failed = call.Act(); failed != nil {
			return false
		}
		read += act.Read
		if q.attribute != "ResourceType" || slices.ContainsFunc(act.Resources, func(id string) bool { return typeOf(id) == q.value }) {
			out.Events = append(out.Events, tell(v, act))
		}
		return true
	})
	if err := errors.Join(failed, err); err != nil {
		return nil, err
	}
	if below > 0 {
		out.NextToken = next(strconv.FormatUint(below, 10))
	}
	return out, nil
}

// selects says whether a call is wanted, as far as its line in the trail tells.
func (q query) selects(c history.Call) bool {
	switch q.attribute {
	case "EventName":
		return c.Action == q.value
	case "Username":
		return c.User == q.value
	case "AccessKeyId":
		return c.AccessKey == q.value
	}
	return true
}

// position is where a query goes on. Fault: InvalidNextTokenException.
func (t *Trail) position(c *api.Call, q query) (below uint64, next func(string) *string, err error) {
	p, err := t.tokens.Open(page.Listing{Account: c.Account, Action: "LookupEvents " + q.key()}, nil, q.token)
	if err == nil && p.After != "" {
		below, err = strconv.ParseUint(p.After, 10, 64)
	}
	if err != nil {
		err = events.Faultf("InvalidNextTokenException", "The NextToken is not one that LookupEvents returned to this account for these attributes and times: look up from the start.")
	}
	return below, p.Next, err
}

// eventID is a UUID (RFC 9562 section 5.8) that leads back to an event: the
// beginning of its hash, and its number.
//
//	hash(4)-hash(2)-8 hash(12 bits)-8 hash(12 bits)-n(6)
func eventID(r events.Record) string {
	var b [16]byte
	copy(b[:], r.Hash[:10])
	var n [8]byte
	binary.BigEndian.PutUint64(n[:], r.N)
	copy(b[10:], n[2:])
	b[6] = b[6]&0x0f | 0x80
	b[8] = b[8]&0x0f | 0x80
	s := hex.EncodeToString(b[:])
	return s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:]
}

// byID is the account's act with an id, or none.
func (t *Trail) byID(account events.AccountID, id string) (none history.Act, err error) {
	n, err := strconv.ParseUint(id[strings.LastIndexByte(id, '-')+1:], 16, 48)
	if err != nil {
		return none, nil
	}
	act, err := t.history.Act(n)
	switch {
	case errors.Is(err, history.ErrMissing):
		return none, nil
	case err != nil:
		return none, err
	case act.First.Account != account || act.First.Call.Action == "" || eventID(act.First) != id:
		return none, nil
	}
	return act, nil
}

// types are the kinds of resources that CloudTrail has a word for ("Resource
// types supported" in the AWS Config Developer Guide, and AWS::EC2::Ami).
var types = map[string]string{
	"i": "Instance", "ami": "Ami", "aki": "Ami", "ari": "Ami", "vol": "Volume", "snap": "Snapshot", "key": "KeyPair",
	"vpc": "VPC", "subnet": "Subnet", "sg": "SecurityGroup", "eni": "NetworkInterface", "eipalloc": "EIP", "rtb": "RouteTable",
	"igw": "InternetGateway", "eigw": "EgressOnlyInternetGateway", "nat": "NatGateway", "acl": "NetworkAcl", "dopt": "DHCPOptions",
	"pg": "PlacementGroup", "lt": "LaunchTemplate", "pcx": "VPCPeeringConnection", "pl": "PrefixList", "fl": "FlowLog",
	"cgw": "CustomerGateway", "vgw": "VPNGateway", "vpn": "VPNConnection",
}

// typeOf is the type of the resource with an id, or empty.
func typeOf(id string) string {
	kind, err := ids.Of(id)
	if err != nil || types[kind.Prefix] == "" {
		return ""
	}
	return "AWS::EC2::" + types[kind.Prefix]
}

// detail is the CloudTrailEvent ("CloudTrail record contents" in the AWS
// CloudTrail User Guide).
type detail struct {
	EventVersion       string          `json:"eventVersion"`
	UserIdentity       identity        `json:"userIdentity"`
	EventTime          time.Time       `json:"eventTime"`
	EventSource        string          `json:"eventSource"`
	EventName          string          `json:"eventName"`
	AWSRegion          string          `json:"awsRegion"`
	SourceIPAddress    string          `json:"sourceIPAddress,omitempty"`
	UserAgent          string          `json:"userAgent,omitempty"`
	RequestParameters  json.RawMessage `json:"requestParameters"`
	ResponseElements   json.RawMessage `json:"responseElements"`
	AdditionalData     additional      `json:"additionalEventData"`
	RequestID          string          `json:"requestID"`
	EventID            string          `json:"eventID"`
	ReadOnly           bool            `json:"readOnly"`
	EventType          string          `json:"eventType"`
	ManagementEvent    bool            `json:"managementEvent"`
	RecipientAccountID string          `json:"recipientAccountId"`
	EventCategory      string          `json:"eventCategory"`
}

type identity struct {
	Type        string `json:"type"`
	PrincipalID string `json:"principalId,omitempty"`
	ARN         string `json:"arn"`
	AccountID   string `json:"accountId"`
	AccessKeyID string `json:"accessKeyId,omitempty"`
	UserName    string `json:"userName,omitempty"`
}

// additional leads from an event of the trail to those of the region.
type additional struct {
	FirstEvent uint64   `json:"firstEvent"`
	Events     []string `json:"events"`
}

// tell makes the event of an act.
func tell(v *state.View, a history.Act) event {
	r := a.First
	at, user, id := r.Time.UTC().Truncate(time.Second), history.UserOf(r.Actor), eventID(r)
	who := identity{Type: "Root", PrincipalID: string(r.Account), ARN: r.Actor, AccountID: string(r.Account), AccessKeyID: r.Call.AccessKey}
	if strings.Contains(r.Actor, ":user/") {
		who.Type, who.PrincipalID, who.UserName = "IAMUser", "", user
		if u, ok := v.User(r.Account, user); ok {
			who.PrincipalID = u.ID
		}
	}
	parameters := json.RawMessage(nil)
	if json.Valid([]byte(r.Call.Parameters)) {
		parameters = json.RawMessage(r.Call.Parameters)
	}
	text, err := json.Marshal(detail{
		EventVersion: "1.08", UserIdentity: who, EventTime: at, EventSource: source, EventName: r.Call.Action, AWSRegion: v.Meta.Region,
		SourceIPAddress: r.Call.Source, UserAgent: r.Call.Agent, RequestParameters: parameters,
		AdditionalData: additional{r.N, a.Events}, RequestID: r.Request, EventID: id, EventType: "AwsApiCall",
		ManagementEvent: true, RecipientAccountID: string(r.Account), EventCategory: "Management",
	})
	if err != nil {
		panic(err) // its times are told, and its parameters valid
	}
	e := event{EventId: id, EventName: r.Call.Action, ReadOnly: "false", AccessKeyId: r.Call.AccessKey, EventTime: at.Unix(),
		EventSource: source, Username: user, Resources: []resource{}, CloudTrailEvent: string(text)}
	for _, id := range a.Resources {
		if t := typeOf(id); t != "" {
			e.Resources = append(e.Resources, resource{t, id})
		}
	}
	return e
}
