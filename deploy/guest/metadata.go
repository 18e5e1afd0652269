//go:build linux

package main

import (
	"context"
	"io"
	"net/http"
	"strings"
	"time"
)

// Limits of one metadata answer and of the tries to reach the service.
const (
	maxMetadata  = 1 << 20
	imdsTimeout  = time.Second
	imdsAttempts = 3
)

// imds is a client of the instance metadata service ("Use the Instance Metadata
// Service to access instance metadata"): tokens first (version 2), plain
// requests when the service has no tokens (version 1).
type imds struct {
	base  string // http://169.254.169.254
	token string
	asked bool // whether a token was asked for
	dead  bool // the service did not answer: do not ask again
}

// get returns the value at path below /latest/, and false when there is none.
func (m *imds) get(ctx context.Context, path string) (string, bool) {
	if m.dead {
		return "", false
	}
	if !m.asked {
		m.asked = true
		code, body := m.try(ctx, http.MethodPut, "api/token")
		if code == 0 {
			m.dead = true
			return "", false
		}
		if code == http.StatusOK {
			m.token = strings.TrimSpace(body)
		}
	}
	code, body := m.try(ctx, http.MethodGet, path)
	return body, code == http.StatusOK
}

// try makes a request up to imdsAttempts times until there is any answer; 0 is
// none.
func (m *imds) try(ctx context.Context, method, path string) (int, string) {
	for range imdsAttempts {
		code, body, err := m.once(ctx, method, path)
		if err == nil && code < 500 {
			return code, body
		}
		select {
		case <-ctx.Done():
			return 0, ""
		case <-time.After(200 * time.Millisecond):
		}
	}
	return 0, ""
}

func (m *imds) once(ctx context.Context, method, path string) (int, string, error) {
	ctx, cancel := context.WithTimeout(ctx, imdsTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, m.base+"/latest/"+path, nil)
	if err != nil {
		return 0, "", err
	}
	if method == http.MethodPut {
		r.Header.Set("X-aws-ec2-metadata-token-ttl-seconds", "21600")
	} else if m.token != "" {
		r.Header.Set("X-aws-ec2-metadata-token", m.token)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxMetadata))
	return resp.StatusCode, string(b), err
}

// keys returns the OpenSSH lines of the instance's key pairs. The listing has
// lines "0=name".
func (m *imds) keys(ctx context.Context) []string {
	list, ok := m.get(ctx, "meta-data/public-keys/")
	if !ok {
		return nil
	}
	var out []string
	for _, l := range strings.Fields(list) {
		i, _, _ := strings.Cut(l, "=")
		if k, ok := m.get(ctx, "meta-data/public-keys/"+i+"/openssh-key"); ok {
			out = append(out, strings.TrimSpace(k))
		}
	}
	return out
}

// mapping returns block-device-mapping: ami, root, ephemeralN, ebsN to device
// names.
func (m *imds) mapping(ctx context.Context) map[string]string {
	list, ok := m.get(ctx, "meta-data/block-device-mapping/")
	if !ok {
		return nil
	}
	out := map[string]string{}
	for _, k := range strings.Fields(list) {
		if v, ok := m.get(ctx, "meta-data/block-device-mapping/"+k); ok {
			out[k] = strings.TrimSpace(v)
		}
	}
	return out
}

// serials returns dynamic/skerry/block-devices: the serial of each disk and the
// device that the API calls it. nil means that there is no answer or no such list.
func (m *imds) serials(ctx context.Context) map[string]string {
	list, ok := m.get(ctx, "dynamic/skerry/block-devices")
	if !ok {
		return nil
	}
	return parseSerials(list)
}

// parseSerials reads lines "serial device".
func parseSerials(list string) map[string]string {
	out := map[string]string{}
	for l := range strings.Lines(list) {
		if f := strings.Fields(l); len(f) == 2 {
			out[f[0]] = f[1]
		}
	}
	return out
}
