package lab

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// Certificates live this long and are replaced by an `up` in their last month.
const (
	authorityLife = 20 * 365 * 24 * time.Hour
	leafLife      = 2 * 365 * 24 * time.Hour
	leafRenew     = 30 * 24 * time.Hour
)

// authority is the region's certificate authority (RFC 5280), ECDSA P-256.
type authority struct {
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// openAuthority reads the authority of dir, or makes it when there is none.
func openAuthority(dir, region string) (*authority, error) {
	a := &authority{dir: dir}
	certPath, keyPath := filepath.Join(dir, "ca.pem"), filepath.Join(dir, "ca.key")
	pair, err := tls.LoadX509KeyPair(certPath, keyPath)
	if err == nil {
		key, ok := pair.PrivateKey.(*ecdsa.PrivateKey)
		if !ok {
			return nil, fmt.Errorf("%s is not an ECDSA key", keyPath)
		}
		a.cert, a.key = pair.Leaf, key
		return a, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("the certificate authority in %s cannot be used: %w", dir, err)
	}
	if _, err := os.Stat(certPath); err == nil {
		return nil, fmt.Errorf("%s is there but %s is gone: put the key back, or make the region anew", certPath, keyPath)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("lab: %w", err)
	}
	t := template("Skerry region "+region, authorityLife)
	t.IsCA, t.BasicConstraintsValid, t.MaxPathLenZero = true, true, true
	t.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	der, err := x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("lab: %w", err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		return nil, fmt.Errorf("lab: %w", err)
	}
	a.key = key
	return a, writePair(certPath, keyPath, der, key)
}

// issue keeps a certificate for a host with the given addresses: the one on
// disk while it is good for them, else a new one.
func (a *authority) issue(host string, ips []net.IP) error {
	certPath, keyPath := filepath.Join(a.dir, host+".pem"), filepath.Join(a.dir, host+".key")
	if pair, err := tls.LoadX509KeyPair(certPath, keyPath); err == nil && a.good(pair.Leaf, host, ips) {
		return nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("lab: %w", err)
	}
	t := template(host, leafLife)
	t.KeyUsage = x509.KeyUsageDigitalSignature
	t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	t.DNSNames, t.IPAddresses = []string{host, "localhost"}, ips
	der, err := x509.CreateCertificate(rand.Reader, t, a.cert, key.Public(), a.key)
	if err != nil {
		return fmt.Errorf("lab: %w", err)
	}
	return writePair(certPath, keyPath, der, key)
}

func (a *authority) good(leaf *x509.Certificate, host string, ips []net.IP) bool {
	same := slices.EqualFunc(leaf.IPAddresses, ips, func(x, y net.IP) bool { return x.Equal(y) })
	return same && slices.Contains(leaf.DNSNames, host) &&
		time.Until(leaf.NotAfter) > leafRenew && leaf.CheckSignatureFrom(a.cert) == nil
}

func template(name string, life time.Duration) *x509.Certificate {
	serial, _ := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	// The start lies back a day, because the clocks of two machines differ.
	now := time.Now()
	return &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name},
		NotBefore: now.Add(-24 * time.Hour), NotAfter: now.Add(life),
	}
}

func writePair(certPath, keyPath string, der []byte, key *ecdsa.PrivateKey) error {
	kb, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fmt.Errorf("lab: %w", err)
	}
	// The key goes first: a certificate on disk means that its key is there.
	if err := WriteFile(keyPath, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: kb}), 0o600); err != nil {
		return err
	}
	return WriteFile(certPath, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644)
}

// regionKey keeps the 32 bytes that access-key secrets are derived from.
func regionKey(path string) error {
	b, err := os.ReadFile(path)
	if err == nil {
		raw, err := hex.DecodeString(string(bytes.TrimSpace(b)))
		if err != nil || len(raw) != 32 {
			return fmt.Errorf("%s does not hold 32 bytes in hex: put the right file back, or every access key of the region is lost", path)
		}
		return nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("lab: %w", err)
	}
	var raw [32]byte
	rand.Read(raw[:])
	return WriteFile(path, []byte(hex.EncodeToString(raw[:])+"\n"), 0o600)
}
