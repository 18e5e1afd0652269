// Package peers carries Raft between voters: TCP with mutual TLS. Both ends
// hold a certificate of the region's CA; whoever has none is not heard.
package peers

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"time"

	"github.com/hashicorp/raft"
)

// Layer is a raft.StreamLayer.
type Layer struct {
	net.Listener
	dial func(addr string, timeout time.Duration) (net.Conn, error)
}

// Listen opens the voter's Raft port. Without a certificate it is plain TCP,
// for regions on loopback.
func Listen(addr string, cert *tls.Certificate, ca *x509.CertPool) (*Layer, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("peers: %w", err)
	}
	if cert == nil {
		return &Layer{l, func(addr string, timeout time.Duration) (net.Conn, error) {
			return net.DialTimeout("tcp", addr, timeout)
		}}, nil
	}
	client := &tls.Config{Certificates: []tls.Certificate{*cert}, RootCAs: ca, MinVersion: tls.VersionTLS13}
	server := &tls.Config{Certificates: []tls.Certificate{*cert}, ClientCAs: ca, ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS13}
	return &Layer{tls.NewListener(l, server), func(addr string, timeout time.Duration) (net.Conn, error) {
		return tls.DialWithDialer(&net.Dialer{Timeout: timeout}, "tcp", addr, client)
	}}, nil
}

// Dial opens a connection to another voter.
func (l *Layer) Dial(addr raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	return l.dial(string(addr), timeout)
}
