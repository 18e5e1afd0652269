package sigv4

import (
	"net/http"
	"net/url"
	"sort"
	"strconv"
	"strings"

	"skerry/events"
)

const maxParams = 20_000 // parameters of a query

// canonicalQuery returns a query with every name and value in one encoding,
// sorted, without X-Amz-Signature, and the parameters that concern the
// signature. A plus is a space, as it is to the reader of the form.
func canonicalQuery(raw string) (string, url.Values, error) {
	if raw == "" {
		return "", nil, nil
	}
	if strings.Count(raw, "&") >= maxParams {
		return "", nil, events.Faultf("MalformedQueryString", "The query has more than %d parameters.", maxParams)
	}
	type pair struct{ name, value string }
	var pairs []pair
	auth := url.Values{}
	for _, field := range strings.Split(raw, "&") {
		if field == "" {
			continue
		}
		rawName, rawValue, _ := strings.Cut(field, "=")
		name, err := url.QueryUnescape(rawName)
		if err != nil {
			return "", nil, events.Faultf("MalformedQueryString", "The query has a bad percent escape in the parameter name %q.", shown(rawName))
		}
		value, err := url.QueryUnescape(rawValue)
		if err != nil {
			return "", nil, events.Faultf("MalformedQueryString", "The query has a bad percent escape in the value of %q.", shown(name))
		}
		if strings.HasPrefix(name, "X-Amz-") || name == "AWSAccessKeyId" || name == "SignatureVersion" {
			if auth.Has(name) {
				return "", nil, incomplete("The query has %s more than once.", shown(name))
			}
			auth.Set(name, value)
		}
		if name == "X-Amz-Signature" {
			continue
		}
		pairs = append(pairs, pair{escape(name, false), escape(value, false)})
	}
	sort.Slice(pairs, func(i, j int) bool {
		if pairs[i].name != pairs[j].name {
			return pairs[i].name < pairs[j].name
		}
		return pairs[i].value < pairs[j].value
	})
	var b strings.Builder
	for i, p := range pairs {
		if i > 0 {
			b.WriteByte('&')
		}
		b.WriteString(p.name)
		b.WriteByte('=')
		b.WriteString(p.value)
	}
	return b.String(), auth, nil
}

// canonicalPath encodes the path as it was sent once more, as every service but
// S3 does.
func canonicalPath(u *url.URL) string {
	path := u.EscapedPath()
	if path == "" {
		return "/"
	}
	return escape(path, true)
}

// canonicalHeaders writes the named headers, one line each, or tells the name
// of one that is absent.
func canonicalHeaders(r *http.Request, names []string) (text, missing string) {
	var b strings.Builder
	for _, name := range names {
		values := r.Header.Values(name)
		switch name {
		case "host":
			values = []string{r.Host}
		case "content-length":
			// The server may have moved it out of the header.
			if len(values) == 0 && r.ContentLength >= 0 {
				values = []string{strconv.FormatInt(r.ContentLength, 10)}
			}
		}
		if len(values) == 0 {
			return "", name
		}
		b.WriteString(name)
		b.WriteByte(':')
		for i, v := range values {
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteString(squeeze(v))
		}
		b.WriteByte('\n')
	}
	return b.String(), ""
}

// squeeze trims a value and turns runs of spaces into one.
func squeeze(s string) string {
	s = strings.TrimSpace(s)
	if !strings.Contains(s, "  ") {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == ' ' && s[i-1] == ' ' {
			continue
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// escape encodes all but the unreserved characters (RFC 3986 section 2.3), and
// a slash where it stays.
func escape(s string, slash bool) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9',
			c == '-', c == '.', c == '_', c == '~', c == '/' && slash:
			b.WriteByte(c)
		default:
			b.WriteByte('%')
			b.WriteByte(hex[c>>4])
			b.WriteByte(hex[c&15])
		}
	}
	return b.String()
}
