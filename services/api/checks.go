package api

import (
	"mime"
	"net/http"
	"time"

	"skerry/events"
	"skerry/services/api/reply"
)

// The range of API versions that are answered. EC2's clients name the date of
// the model they were made from; the shapes only ever grew.
const (
	firstVersion = "2006-06-26"
	lastVersion  = "2016-11-15"
	stsVersion   = "2011-06-15"

	maxClientToken = 64  // ASCII characters ("Ensuring idempotency in Amazon EC2 API requests")
	maxUserAgent   = 256 // bytes kept of the header
	maxShown       = 64  // bytes of a refused value that an error repeats
)

var dryRun = events.Faultf("DryRunOperation", "Request would have succeeded, but DryRun flag is set.")

// checkVersion refuses a version that the service never had.
func checkVersion(s reply.Service, v string) error {
	if v == "" {
		return events.Faultf("MissingParameter", "The request must contain the parameter Version")
	}
	if s == reply.STS {
		if v != stsVersion {
			return events.Faultf("NoSuchVersion", "The requested version (%s) of service STS does not exist; it is %s.", shown(v), stsVersion)
		}
		return nil
	}
	if _, err := time.Parse(time.DateOnly, v); err != nil || v < firstVersion || v > lastVersion {
		return events.Faultf("NoSuchVersion", "The requested version (%s) of service AmazonEC2 does not exist; use %s or an older one.", shown(v), lastVersion)
	}
	return nil
}

// What bodies are.
const (
	formMedia = "application/x-www-form-urlencoded"
	jsonMedia = "application/x-amz-json-1.1"
)

// checkMedia refuses a body that is something else.
func checkMedia(r *http.Request, want string) error {
	if e := r.Header.Get("Content-Encoding"); e != "" && e != "identity" {
		return events.Faultf("InvalidRequest", "The body has the encoding '%s'; send it plain.", shown(e))
	}
	t := r.Header.Get("Content-Type")
	if t == "" {
		return nil
	}
	media, _, err := mime.ParseMediaType(t)
	if err != nil || media != want {
		return events.Faultf("InvalidRequest", "The body has the type '%s'; the API takes %s.", shown(t), want)
	}
	return nil
}

func (c *Call) setClientToken(token *string) error {
	if token == nil {
		return nil
	}
	if len(*token) > maxClientToken {
		return events.Faultf("InvalidClientToken", "The ClientToken has %d characters; at most %d are allowed.", len(*token), maxClientToken)
	}
	for _, b := range []byte(*token) {
		if b < 0x20 || b > 0x7e {
			return events.Faultf("InvalidClientToken", "The ClientToken '%s' may hold ASCII characters only.", shown(*token))
		}
	}
	c.ClientToken = *token
	return nil
}
