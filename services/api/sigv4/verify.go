package sigv4

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"skerry/events"
)

// Limits of a signature's validity.
const (
	MaxSkew    = 15 * time.Minute   // between our clock and the signer's
	MaxExpires = 7 * 24 * time.Hour // of a presigned URL
)

const (
	algorithm  = "AWS4-HMAC-SHA256"
	terminator = "aws4_request"
	dateFormat = "20060102T150405Z"
	maxCred    = 256 // bytes of a credential
	maxSigned  = 64  // names in SignedHeaders
)

// Keys knows the secrets of access keys.
type Keys interface {
	// Secret returns the secret of an access key and who it belongs to. A key
	// that was issued for a while comes with its session token, which is empty
	// for all others. It fails with ErrUnknownKey, or with a fault when it cannot
	// tell.
	Secret(ctx context.Context, accessKeyID, token string) (secret string, who Principal, err error)
}

// ErrUnknownKey says that there is no such access key, or that its token is not
// the one, or is over.
var ErrUnknownKey = errors.New("sigv4: unknown access key")

// Principal is who an access key belongs to.
type Principal struct {
	Account string // 12 digits
	User    string // name of the user, empty for the account's root
}

// Verifier checks signatures for one region.
type Verifier struct {
	Keys     Keys
	Region   string
	Services []string // names that a scope may have, such as ec2 and sts
}

// Identity is who signed a request, and for which service.
type Identity struct {
	Principal
	AccessKey string
	Service   string
	Session   bool // the key was issued for a while
}

// Pending is a request whose claims hold but whose signature is not checked
// yet, because that needs the body.
type Pending struct {
	Identity
	claim  claim
	secret string
	scope  string
	query  string // canonical
	head   string // canonical headers
	method string
	path   string
	digest string // X-Amz-Content-Sha256 as sent, or empty
}

// claim is what a request says about its signature.
type claim struct {
	presigned  bool
	credential string
	signed     string
	signature  string
	date       string
	expires    string
}

// QueryParameters are the names that a presigned URL adds to its query.
var QueryParameters = []string{
	"X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires",
	"X-Amz-SignedHeaders", "X-Amz-Signature", "X-Amz-Content-Sha256", "X-Amz-Security-Token",
}

// Presigned tells that the signature stands in the query.
func (p *Pending) Presigned() bool { return p.claim.presigned }

// Open checks everything about a request's authentication that does not need
// its body. Faults: MissingAuthenticationToken, IncompleteSignature,
// RequestExpired, AuthFailure, and for STS InvalidClientTokenId and
// SignatureDoesNotMatch.
func (v *Verifier) Open(r *http.Request) (*Pending, error) {
	query, params, err := canonicalQuery(r.URL.RawQuery)
	if err != nil {
		return nil, err
	}
	c, err := claimOf(r.Header, params)
	if err != nil {
		return nil, err
	}
	p := &Pending{claim: c, query: query, method: r.Method, path: canonicalPath(r.URL)}

	parts := strings.Split(c.credential, "/")
	if len(c.credential) > maxCred || len(parts) != 5 || parts[0] == "" || parts[4] != terminator {
		return nil, incomplete("Credential must have the form ACCESSKEY/DATE/REGION/SERVICE/%s.", terminator)
	}
	p.AccessKey, p.Service = parts[0], parts[3]
	p.scope = strings.Join(parts[1:], "/")
	if !slices.Contains(v.Services, p.Service) {
		return nil, p.denied("Credential should be scoped to one of the services %s, not '%s'.", strings.Join(v.Services, ", "), shown(p.Service))
	}
	if parts[2] != v.Region {
		return nil, p.denied("Credential should be scoped to a valid region, not '%s': set the client's region to '%s'.", shown(parts[2]), v.Region)
	}
	if err := p.checkDate(r.Header, parts[1]); err != nil {
		return nil, err
	}
	if err := p.checkHeaders(r, params); err != nil {
		return nil, err
	}
	token := r.Header.Get("X-Amz-Security-Token") + params.Get("X-Amz-Security-Token")
	secret, who, err := v.Keys.Secret(r.Context(), p.AccessKey, token)
	switch {
	case errors.Is(err, ErrUnknownKey) && token != "":
		return nil, p.badToken()
	case errors.Is(err, ErrUnknownKey):
		return nil, p.unknownKey()
	case err != nil:
		return nil, err
	}
	p.secret, p.Principal, p.Session = secret, who, token != ""
	return p, nil
}

// claimOf finds the one place where a request is signed.
func claimOf(h http.Header, params url.Values) (claim, error) {
	auth := h.Values("Authorization")
	inQuery := params.Has("X-Amz-Algorithm") || params.Has("X-Amz-Signature") || params.Has("X-Amz-Credential")
	switch {
	case len(auth) > 1:
		return claim{}, incomplete("The request has %d Authorization headers; send one.", len(auth))
	case len(auth) == 1 && inQuery:
		return claim{}, incomplete("The request is signed both in the Authorization header and in the query; sign it once.")
	case len(auth) == 1:
		c, err := parseAuthorization(auth[0])
		if err != nil {
			return c, err
		}
		name := "X-Amz-Date"
		if h.Get(name) == "" {
			name = "Date"
		}
		if n := len(h.Values(name)); n > 1 {
			return c, incomplete("The request has %d %s headers; send one.", n, name)
		}
		c.date = h.Get(name)
		return c, nil
	case inQuery:
		return parsePresigned(params)
	}
	if err := RefuseV2(params); err != nil {
		return claim{}, err
	}
	return claim{}, events.Faultf("MissingAuthenticationToken", "Request is missing Authentication Token: sign it with AWS Signature Version 4.")
}

// RefuseV2 answers a request signed with Signature Version 2, whose parameters
// stand in the query or in the form of the body; nil when there are none.
func RefuseV2(params url.Values) error {
	if params.Has("AWSAccessKeyId") || params.Get("SignatureVersion") != "" {
		return v2()
	}
	return nil
}

func v2() error {
	return events.Faultf("AuthFailure", "Signature Version 2 is not accepted: configure the client to sign with AWS Signature Version 4 (AWS4-HMAC-SHA256).")
}

// parseAuthorization splits an Authorization header.
func parseAuthorization(s string) (claim, error) {
	var c claim
	scheme, rest, _ := strings.Cut(s, " ")
	switch {
	case scheme == "AWS":
		return c, v2()
	case strings.HasPrefix(scheme, "AWS4-") && scheme != algorithm:
		return c, incomplete("The algorithm %s is not accepted; sign with %s.", shown(scheme), algorithm)
	case scheme != algorithm:
		return c, events.Faultf("MissingAuthenticationToken", "The authentication scheme '%s' is not known; sign with %s.", shown(scheme), algorithm)
	}
	for _, field := range strings.Split(rest, ",") {
		name, value, ok := strings.Cut(strings.TrimSpace(field), "=")
		if !ok || value == "" {
			return c, incomplete("The Authorization header has the field %q, which is not NAME=VALUE.", shown(field))
		}
		var at *string
		switch name {
		case "Credential":
			at = &c.credential
		case "SignedHeaders":
			at = &c.signed
		case "Signature":
			at = &c.signature
		default:
			return c, incomplete("The Authorization header has the unknown field %q.", shown(name))
		}
		if *at != "" {
			return c, incomplete("The Authorization header has %s twice.", name)
		}
		*at = value
	}
	for _, f := range []struct{ name, value string }{{"Credential", c.credential}, {"SignedHeaders", c.signed}, {"Signature", c.signature}} {
		if f.value == "" {
			return c, incomplete("Authorization header requires '%s' parameter.", f.name)
		}
	}
	return c, nil
}

// parsePresigned reads the X-Amz- parameters of a presigned URL.
func parsePresigned(params url.Values) (claim, error) {
	c := claim{presigned: true}
	if a := params.Get("X-Amz-Algorithm"); a != algorithm {
		return c, incomplete("X-Amz-Algorithm is '%s'; sign with %s.", shown(a), algorithm)
	}
	for _, f := range []struct {
		name string
		at   *string
	}{
		{"X-Amz-Credential", &c.credential},
		{"X-Amz-Date", &c.date},
		{"X-Amz-Expires", &c.expires},
		{"X-Amz-SignedHeaders", &c.signed},
		{"X-Amz-Signature", &c.signature},
	} {
		if *f.at = params.Get(f.name); *f.at == "" {
			return c, incomplete("AWS query-string parameters must include '%s'.", f.name)
		}
	}
	return c, nil
}

// checkDate holds the claimed date against our clock and against the scope.
func (p *Pending) checkDate(h http.Header, scopeDate string) error {
	at, err := time.Parse(dateFormat, p.claim.date)
	if err != nil && !p.claim.presigned && h.Get("X-Amz-Date") == "" {
		if at, err = http.ParseTime(p.claim.date); err == nil {
			at = at.UTC()
			p.claim.date = at.Format(dateFormat)
		}
	}
	if err != nil {
		return incomplete("The date of the request must be in X-Amz-Date, in the form %s; it is '%s'.", dateFormat, shown(p.claim.date))
	}
	if scopeDate != at.Format("20060102") {
		return p.mismatch("Date in Credential scope does not match YYYYMMDD from the date of the request: '%s' and '%s'.", shown(scopeDate), at.Format("20060102"))
	}
	now := time.Now()
	late := now.Sub(at)
	if late < -MaxSkew {
		return events.Faultf("RequestExpired", "Request is dated %s, more than %d minutes after the server's %s: set the client's clock.", p.claim.date, int(MaxSkew.Minutes()), now.UTC().Format(dateFormat))
	}
	limit := MaxSkew
	if p.claim.presigned {
		seconds, err := strconv.ParseUint(p.claim.expires, 10, 32)
		limit = time.Duration(seconds) * time.Second
		if err != nil || seconds == 0 || limit > MaxExpires {
			return incomplete("X-Amz-Expires must be between 1 and %d seconds; it is '%s'.", int(MaxExpires.Seconds()), shown(p.claim.expires))
		}
	}
	if late > limit {
		return events.Faultf("RequestExpired", "Request has expired: it is dated %s, valid for %d seconds, and the server has %s.", p.claim.date, int(limit.Seconds()), now.UTC().Format(dateFormat))
	}
	return nil
}

// checkHeaders canonicalises exactly the headers that are signed and refuses
// what should have been signed but was not.
func (p *Pending) checkHeaders(r *http.Request, params url.Values) error {
	names := strings.Split(p.claim.signed, ";")
	if len(names) > maxSigned {
		return incomplete("SignedHeaders names %d headers; at most %d are accepted.", len(names), maxSigned)
	}
	for i, name := range names {
		if name == "" || name != strings.ToLower(name) {
			return incomplete("SignedHeaders must name headers in lower case; it has %q.", shown(name))
		}
		if i > 0 && names[i-1] >= name {
			return incomplete("SignedHeaders must be sorted and name each header once; %q comes after %q.", shown(name), shown(names[i-1]))
		}
	}
	signed := func(name string) bool { return slices.Contains(names, name) }
	if !signed("host") {
		return incomplete("The Host header must be signed.")
	}
	if !p.claim.presigned {
		date := "x-amz-date"
		if r.Header.Get(date) == "" {
			date = "date"
		}
		if !signed(date) {
			return incomplete("The header %s must be signed.", date)
		}
	}
	for name, values := range r.Header {
		lower := strings.ToLower(name)
		if !strings.HasPrefix(lower, "x-amz-") {
			continue
		}
		if len(values) > 1 {
			return incomplete("The request has %d %s headers; send one.", len(values), lower)
		}
		if !signed(lower) {
			return incomplete("The header %s must be signed.", lower)
		}
	}
	p.digest = r.Header.Get("X-Amz-Content-Sha256")
	if q := params.Get("X-Amz-Content-Sha256"); q != "" {
		p.digest = q
	}
	if up := strings.ToUpper(p.digest); strings.HasPrefix(up, "STREAMING-") || strings.HasPrefix(up, "UNSIGNED-") {
		return incomplete("The payload mode %s is not accepted: sign the hash of the body.", shown(p.digest))
	}
	head, missing := canonicalHeaders(r, names)
	if missing != "" {
		return p.mismatch("SignedHeaders names %s, which the request does not have.", shown(missing))
	}
	p.head = head
	return nil
}

// Verify checks the signature over the request and its whole body.
func (p *Pending) Verify(body []byte) (Identity, error) {
	sum := sha256.Sum256(body)
	digest := hex.EncodeToString(sum[:])
	if p.digest != "" && p.digest != digest {
		return Identity{}, p.mismatch("The body does not have the hash that X-Amz-Content-Sha256 gives.")
	}
	canonical := strings.Join([]string{p.method, p.path, p.query, p.head, p.claim.signed, digest}, "\n")
	want := sign(p.secret, p.scope, p.claim.date, canonical)
	got, err := hex.DecodeString(p.claim.signature)
	if err != nil || !hmac.Equal(got, want) {
		return Identity{}, p.badSignature()
	}
	return p.Identity, nil
}

// sign computes the signature of a canonical request.
func sign(secret, scope, date, canonical string) []byte {
	key := []byte("AWS4" + secret)
	for _, part := range strings.Split(scope, "/") {
		key = mac(key, part)
	}
	sum := sha256.Sum256([]byte(canonical))
	return mac(key, algorithm+"\n"+date+"\n"+scope+"\n"+hex.EncodeToString(sum[:]))
}

func mac(key []byte, s string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(s))
	return h.Sum(nil)
}
