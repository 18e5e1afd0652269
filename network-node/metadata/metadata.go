// Package metadata is the instance metadata service of EC2 at 169.254.169.254,
// versions 1 and 2, for the guests of one host.
//
//	guest ──▶ data plane: the source becomes an address that names the
//	          interface ──▶ Lookup(source) ─▶ MetadataSpec ─▶ tree ─▶ answer
//
//	/                      1.0 … latest                 the same tree under each
//	/latest/api/token      PUT only: a token for this instance
//	/latest/dynamic/       fws/ instance-identity/document skerry/block-devices
//	/latest/meta-data/     ami-id … tags/instance/KEY   what exists, and only that
//	/latest/user-data      when there is some
//
// Who asks is known by the interface that the packet came in on, never by an
// address that a guest can choose. What is listed is served: a listed category
// that answers 404 costs a booting guest minutes of retries. A token is bound to
// its instance and signed with a key that the caller keeps, so nothing is stored
// and a new process honours the tokens of the one before.
//
// dynamic/skerry/block-devices is not EC2's: each line is the serial of a disk
// and the device that the API calls it, and the guest's links in /dev follow it.
package metadata

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"time"

	"skerry/events"
	"skerry/network-node/fair"
)

// Limits of what one guest can hold.
const (
	connections    = 128 // open at once
	maxHeaderBytes = 16 << 10
	headerTime     = 5 * time.Second
	idleTime       = 60 * time.Second
	answerTime     = 10 * time.Second
)

// Lookup says which interface an address names and what its instance is told;
// false while that is not known.
type Lookup func(netip.Addr) (events.PortSpec, events.MetadataSpec, bool)

// Server is the service of one host.
type Server struct {
	lookup Lookup
	tokens tokens
	log    *slog.Logger
}

// New makes a server. The key signs the tokens: 32 random bytes that the caller
// keeps beside its state.
func New(lookup Lookup, key []byte, log *slog.Logger) (*Server, error) {
	if len(key) < 16 {
		return nil, errors.New("metadata: the key of the tokens has fewer than 16 bytes")
	}
	return &Server{lookup: lookup, tokens: tokens{key: key}, log: log}, nil
}

// Serve answers on l until ctx ends, which is no error. It closes l.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	h := &http.Server{
		Handler:           s,
		ConnContext:       WithConn,
		MaxHeaderBytes:    maxHeaderBytes,
		ReadHeaderTimeout: headerTime,
		ReadTimeout:       answerTime,
		WriteTimeout:      answerTime,
		IdleTimeout:       idleTime,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	defer context.AfterFunc(ctx, func() { h.Close() })()
	err := h.Serve(fair.Listener(l, connections))
	if ctx.Err() != nil {
		return nil
	}
	return err
}

type connKey struct{}

// WithConn is for http.Server.ConnContext: the answer to a token's request has a
// time to live of its own, which is set on the connection.
func WithConn(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, c)
}
