package metadata

import (
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Headers of the token flow.
const (
	ttlHeader   = "X-Aws-Ec2-Metadata-Token-Ttl-Seconds"
	tokenHead   = "X-Aws-Ec2-Metadata-Token"
	forwardHead = "X-Forwarded-For"
)

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Server", "EC2ws")
	w.Header().Set("Accept-Ranges", "none")
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		refuse(w, http.StatusForbidden)
		return
	}
	_, m, ok := s.lookup(from.Addr().Unmap())
	if !ok {
		// Its specs may be on their way: clients try this again.
		w.Header().Set("Retry-After", "1")
		refuse(w, http.StatusServiceUnavailable)
		return
	}
	if m.Options.Endpoint == "disabled" {
		refuse(w, http.StatusForbidden)
		return
	}
	version, path, err := clean(r.URL.Path)
	if err != nil || version != "" && !slices.Contains(versions, version) {
		refuse(w, http.StatusNotFound)
		return
	}
	if path == "api/token" {
		if r.Method != http.MethodPut {
			w.Header().Set("Allow", "OPTIONS, PUT")
			refuse(w, http.StatusMethodNotAllowed)
			return
		}
		// A proxy adds this header; one that can be talked into a PUT must not
		// get a token.
		if _, ok := r.Header[forwardHead]; ok {
			refuse(w, http.StatusForbidden)
			return
		}
		ttl, ok := parseTTL(r.Header.Get(ttlHeader))
		if !ok {
			refuse(w, http.StatusBadRequest)
			return
		}
		if err := limitHops(r.Context(), min(max(m.Options.HopLimit, 1), 64)); err != nil {
			s.log.Error("metadata: token refused", "kind", "instance", "id", m.Instance, "err", err)
			refuse(w, http.StatusInternalServerError)
			return
		}
		w.Header().Set(ttlHeader, strconv.Itoa(ttl))
		answer(w, s.tokens.issue(m.Instance, time.Now().Add(time.Duration(ttl)*time.Second)), "text/plain")
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "OPTIONS, GET, HEAD")
		refuse(w, http.StatusMethodNotAllowed)
		return
	}
	// A token that is sent must be good even where none is needed.
	if token, sent := r.Header[tokenHead]; sent {
		left := s.tokens.left(token[0], m.Instance, time.Now())
		if left <= 0 {
			refuse(w, http.StatusUnauthorized)
			return
		}
		w.Header().Set(ttlHeader, strconv.Itoa(int(left.Round(time.Second)/time.Second)))
	} else if m.Options.HTTPTokens == "required" {
		refuse(w, http.StatusUnauthorized)
		return
	}
	if version == "" {
		answer(w, strings.Join(versions, "\n"), "text/plain")
		return
	}
	v, ok := grow(m).find(path, m)
	if !ok {
		refuse(w, http.StatusNotFound)
		return
	}
	kind := "text/plain"
	if path == "user-data" {
		kind = "application/octet-stream"
	}
	answer(w, v, kind)
}

func answer(w http.ResponseWriter, body, kind string) {
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.Write([]byte(body)) // nobody is left to tell when it fails
}

// refuse answers with EC2's page for a status.
func refuse(w http.ResponseWriter, code int) {
	title := fmt.Sprintf("%d - %s", code, http.StatusText(code))
	body := `<?xml version="1.0" encoding="iso-8859-1"?>
<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Transitional//EN"
	"http://www.w3.org/TR/xhtml1/DTD/xhtml1-transitional.dtd">
<html xmlns="http://www.w3.org/1999/xhtml" xml:lang="en" lang="en">
 <head>
  <title>` + title + `</title>
 </head>
 <body>
  <h1>` + title + `</h1>
 </body>
</html>
`
	w.Header().Set("Content-Type", "text/html")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(code)
	w.Write([]byte(body))
}
