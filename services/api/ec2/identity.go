package ec2

import (
	"context"
	"encoding/base64"
	"iter"
	"strings"
	"time"

	"skerry/events"
	"skerry/events/bus"
	"skerry/services/api"
	"skerry/services/api/ids"
	"skerry/services/api/model"
	"skerry/services/api/sigv4"
	"skerry/services/iam/policy"
	"skerry/services/seal"
	"skerry/services/state"
)

// Keys finds who an access key belongs to, and what that one may do. View is the
// voter's own state, which may be a moment behind the leader's. Present, where it
// is set, is the state as of now: it is asked for a key that View does not know.
type Keys struct {
	Region  string
	View    func() *state.View
	Present func(context.Context) (*state.View, error)
	Key     *seal.Key
}

var _ sigv4.Keys = Keys{}

// session is what a session token says, sealed with the accounts' key: no voter
// keeps a list of them.
type session struct {
	AccessKey string    `json:"k"` // ASIA…, that the token goes with
	Of        string    `json:"o"` // the key that asked for it
	Ends      time.Time `json:"e"`
}

// Secret is the secret of an access key, and who it belongs to. A session ends
// with the key that asked for it. Fault: Unavailable, when a key is not known here
// and nobody can tell whether it is known at all.
func (k Keys) Secret(ctx context.Context, accessKeyID, token string) (secret string, who sigv4.Principal, err error) {
	lasting := accessKeyID
	if token != "" {
		s, ok := k.open(token)
		if !ok || s.AccessKey != accessKeyID || !time.Now().Before(s.Ends) {
			return "", who, sigv4.ErrUnknownKey
		}
		lasting = s.Of
	}
	who, ok := owner(k.View(), lasting)
	if !ok && k.Present != nil {
		v, err := k.Present(ctx)
		if err != nil {
			return "", who, err
		}
		who, ok = owner(v, lasting)
	}
	if !ok {
		return "", who, sigv4.ErrUnknownKey
	}
	return k.Key.Secret(accessKeyID), who, nil
}

func owner(v *state.View, accessKeyID string) (sigv4.Principal, bool) {
	if a, ok := v.AccountByKey(accessKeyID); ok {
		return sigv4.Principal{Account: string(a.ID)}, true
	}
	u, ok := v.AccessKeys.Get(accessKeyID)
	if !ok {
		return sigv4.Principal{}, false
	}
	return sigv4.Principal{Account: string(u.Account), User: u.User}, true
}

func (k Keys) open(token string) (s session, ok bool) {
	sealed, err := base64.StdEncoding.DecodeString(token)
	if err != nil {
		return s, false
	}
	plain, err := k.Key.Accounts().Open(sealed)
	return s, err == nil && events.Decode(plain, &s) == nil && s.AccessKey != ""
}

// May refuses what the policies of a user do not allow. An account's root may do
// everything; everybody may ask who they are.
func (k Keys) May(c *api.Call, values iter.Seq[string]) error {
	if c.User == "" || c.Action == "GetCallerIdentity" {
		return nil
	}
	v := k.View()
	u, ok := v.User(events.AccountID(c.Account), c.User)
	if !ok {
		return k.denied(c)
	}
	var policies []*policy.Policy
	for _, p := range u.Policies {
		doc, err := policy.Parse(p.Document)
		if err != nil { // it could be read when it was put
			return k.denied(c)
		}
		policies = append(policies, doc)
	}
	ask := policy.Request{Action: string(c.Service) + ":" + c.Action, Resource: "*"}
	keys := func(resource string) map[string][]string {
		m := map[string][]string{
			"ec2:region": {k.Region}, "aws:requestedregion": {k.Region}, "aws:username": {u.Name}, "aws:userid": {u.ID},
			"aws:principalaccount": {c.Account}, "aws:securetransport": {"false"},
		}
		if c.SourceIP.IsValid() {
			m["aws:sourceip"] = []string{c.SourceIP.String()}
		}
		if resource != "" {
			for _, t := range v.TagsOf(resource) {
				m["ec2:resourcetag/"+strings.ToLower(t.Key)] = []string{t.Value}
				m["aws:resourcetag/"+strings.ToLower(t.Key)] = []string{t.Value}
			}
		}
		return m
	}
	named := false
	for x := range values {
		kind, err := ids.Of(x)
		if err != nil {
			continue
		}
		// Describes cannot be held to resources ("Actions, resources, and condition
		// keys for Amazon EC2"): they are asked about as a whole.
		if strings.HasPrefix(c.Action, "Describe") {
			continue
		}
		named = true
		ask.Resource, ask.Keys = k.resource(c, kind, x), keys(x)
		if policy.Evaluate(policies, ask) != policy.Allowed {
			return k.denied(c)
		}
	}
	if named {
		return nil
	}
	ask.Keys = keys("")
	if policy.Evaluate(policies, ask) != policy.Allowed {
		return k.denied(c)
	}
	return nil
}

func (k Keys) denied(c *api.Call) error {
	return events.Faultf("UnauthorizedOperation", "You are not authorized to perform this operation. User: %s is not authorized to perform: %s:%s.", arn(c), c.Service, c.Action)
}

// types are the words for kinds of resources in ARNs.
var types = map[string]string{
	"i": "instance", "ami": "image", "aki": "image", "ari": "image", "r": "reservation", "key": "key-pair", "vol": "volume", "snap": "snapshot",
	"vpc": "vpc", "subnet": "subnet", "sg": "security-group", "sgr": "security-group-rule", "eni": "network-interface",
	"eipalloc": "elastic-ip", "rtb": "route-table", "igw": "internet-gateway", "eigw": "egress-only-internet-gateway",
	"nat": "natgateway", "acl": "network-acl", "dopt": "dhcp-options", "pg": "placement-group", "lt": "launch-template",
	"pcx": "vpc-peering-connection", "pl": "prefix-list", "fl": "vpc-flow-log", "cgw": "customer-gateway",
	"vgw": "vpn-gateway", "vpn": "vpn-connection", "ipv4pool-ec2": "ipv4pool-ec2", "ipv6pool-ec2": "ipv6pool-ec2",
}

func (k Keys) resource(c *api.Call, kind ids.Kind, id string) string {
	word := types[kind.Prefix]
	if word == "" {
		word = kind.Prefix
	}
	account := c.Account
	if word == "image" || word == "snapshot" {
		account = ""
	}
	return "arn:aws:ec2:" + k.Region + ":" + account + ":" + word + "/" + id
}

// arn is who calls.
func arn(c *api.Call) string {
	if c.User == "" {
		return "arn:aws:iam::" + c.Account + ":root"
	}
	return "arn:aws:iam::" + c.Account + ":user/" + c.User
}

// GetCallerIdentity tells the caller who it is ("GetCallerIdentity" in the STS
// API reference).
func (h *Handlers) GetCallerIdentity(ctx context.Context, c *api.Call, _ *model.GetCallerIdentityInput) (*model.GetCallerIdentityOutput, error) {
	id := c.Account
	if c.User != "" {
		v, err := h.read(ctx)
		if err != nil {
			return nil, err
		}
		u, ok := v.User(events.AccountID(c.Account), c.User)
		if !ok {
			return nil, events.Faultf("InvalidClientTokenId", "The user %s does not exist any more.", c.User)
		}
		id = u.ID
	}
	return &model.GetCallerIdentityOutput{Account: &c.Account, UserId: &id, Arn: new(arn(c))}, nil
}

// How long a session lasts, in seconds ("GetSessionToken" in the STS API reference).
const (
	shortSession   = 900
	longSession    = 129_600
	longRoot       = 3600 // for an account's root
	defaultSession = 43_200
)

// GetSessionToken issues a key for a while, which may do what its owner may.
// Faults: ValidationError, AccessDenied.
func (h *Handlers) GetSessionToken(_ context.Context, c *api.Call, in *model.GetSessionTokenInput) (*model.GetSessionTokenOutput, error) {
	if c.Session {
		return nil, events.Faultf("AccessDenied", "Cannot call GetSessionToken with session credentials")
	}
	if in.SerialNumber != nil || in.TokenCode != nil {
		return nil, events.Faultf("ValidationError", "There are no MFA devices in this region: send the request without SerialNumber and TokenCode.")
	}
	seconds := int32(defaultSession)
	if in.DurationSeconds != nil {
		if seconds = *in.DurationSeconds; seconds < shortSession || seconds > longSession {
			return nil, events.Faultf("ValidationError", "1 validation error detected: Value '%d' at 'durationSeconds' failed to satisfy constraint: Member must be between %d and %d", seconds, shortSession, longSession)
		}
	}
	if c.User == "" {
		seconds = min(seconds, longRoot)
	}
	key := "ASIA" + bus.NewStamp("").Seed.Base32("session", 16)
	ends := time.Now().UTC().Truncate(time.Second).Add(time.Duration(seconds) * time.Second)
	token := base64.StdEncoding.EncodeToString(h.key.Accounts().Seal(events.Encode(session{key, c.AccessKey, ends})))
	return &model.GetSessionTokenOutput{Credentials: &model.Credentials{AccessKeyId: &key, SecretAccessKey: new(h.key.Secret(key)), SessionToken: &token, Expiration: &ends}}, nil
}
