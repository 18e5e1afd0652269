package sigv4

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"skerry/events"
)

// notValid is EC2's sentence for an unknown key and for a wrong signature alike.
const notValid = "AWS was not able to validate the provided access credentials"

func incomplete(format string, args ...any) error {
	return events.Faultf("IncompleteSignature", format, args...)
}

// plain says that a service tells an unknown key and a wrong signature apart.
func (p *Pending) plain() bool { return p.Service == "sts" || p.Service == "cloudtrail" }

// denied answers a scope that does not fit here.
func (p *Pending) denied(format string, args ...any) error {
	if p.plain() {
		return events.Faultf("SignatureDoesNotMatch", format, args...)
	}
	return events.Faultf("AuthFailure", format, args...)
}

// mismatch answers a request that contradicts its own signature.
func (p *Pending) mismatch(format string, args ...any) error {
	return events.Faultf("SignatureDoesNotMatch", "%s", fmt.Sprintf(format, args...))
}

func (p *Pending) unknownKey() error {
	if p.plain() {
		return events.Faultf("InvalidClientTokenId", "The security token included in the request is invalid.")
	}
	return events.Faultf("AuthFailure", notValid)
}

func (p *Pending) badToken() error {
	code := "AuthFailure"
	if p.plain() {
		code = "InvalidClientTokenId"
	}
	return events.Faultf(code, "The session token is not valid for this access key, or has expired: get another one, or unset AWS_SESSION_TOKEN (aws_session_token) and sign with the access key alone.")
}

func (p *Pending) badSignature() error {
	if p.plain() {
		return events.Faultf("SignatureDoesNotMatch", "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method.")
	}
	return events.Faultf("AuthFailure", notValid)
}

// ScopeService tells which service a request claims to be signed for, checked
// or not, so that even a refusal has the form its reader expects. It is empty
// when there is no telling.
func ScopeService(r *http.Request) string {
	credential := ""
	if auth := r.Header.Get("Authorization"); auth != "" {
		c, err := parseAuthorization(auth)
		if err != nil {
			return ""
		}
		credential = c.credential
	} else if params, err := url.ParseQuery(r.URL.RawQuery); err == nil {
		credential = params.Get("X-Amz-Credential")
	}
	parts := strings.Split(credential, "/")
	if len(credential) > maxCred || len(parts) != 5 {
		return ""
	}
	return parts[3]
}

// shown cuts a refused text to what an error may repeat.
func shown(s string) string {
	const most = 64
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}
