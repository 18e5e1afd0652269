package ec2

import (
	"bytes"
	"crypto/ed25519"
	"crypto/md5"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"strings"

	"golang.org/x/crypto/ssh"

	"skerry/events"
)

// Limits of key material ("Amazon EC2 key pairs and Amazon EC2 instances").
const (
	rsaBits     = 2048
	minRSABits  = 1024
	maxRSABits  = 8192
	maxMaterial = 16 << 10 // bytes of an imported key
)

// publicKey is what the region keeps of a pair.
type publicKey struct {
	kind        string // rsa or ed25519
	line        string // OpenSSH's form, without a line's end
	fingerprint string
}

// pair is a pair drawn here.
type pair struct {
	publicKey
	private string // PEM
}

// newPair draws a pair. The fingerprint of an RSA key made by EC2 is the SHA-1
// of the private key's PKCS #8 DER, that of an ED25519 key OpenSSH's ("Verify
// the fingerprint of your key pair").
func newPair(kind, name string) (pair, error) {
	switch kind {
	case "rsa":
		k, err := rsa.GenerateKey(rand.Reader, rsaBits)
		if err != nil {
			return pair{}, fmt.Errorf("ec2: key pair: %w", err)
		}
		der, err := x509.MarshalPKCS8PrivateKey(k)
		if err != nil {
			return pair{}, fmt.Errorf("ec2: key pair: %w", err)
		}
		pub, err := ssh.NewPublicKey(&k.PublicKey)
		if err != nil {
			return pair{}, fmt.Errorf("ec2: key pair: %w", err)
		}
		sum := sha1.Sum(der)
		block := &pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(k)}
		return pair{publicKey{kind, line(pub, name), colons(sum[:])}, string(pem.EncodeToMemory(block))}, nil
	case "ed25519":
		p, k, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return pair{}, fmt.Errorf("ec2: key pair: %w", err)
		}
		block, err := ssh.MarshalPrivateKey(k, name)
		if err != nil {
			return pair{}, fmt.Errorf("ec2: key pair: %w", err)
		}
		pub, err := ssh.NewPublicKey(p)
		if err != nil {
			return pair{}, fmt.Errorf("ec2: key pair: %w", err)
		}
		return pair{publicKey{kind, line(pub, name), sha256Print(pub)}, string(pem.EncodeToMemory(block))}, nil
	}
	return pair{}, events.Faultf("InvalidParameterValue", "Value (%s) for parameter KeyType is invalid. Use rsa or ed25519.", kind)
}

// parsePublic reads a public key as ImportKeyPair takes it: an OpenSSH line,
// the SSH2 form (RFC 4716), PEM or DER, any of them once more in base64, since
// some clients encode what is encoded. Options and comment of a line are
// dropped: a key names nobody and orders nothing. Fault: InvalidKey.Format.
func parsePublic(material []byte, name string) (publicKey, error) {
	if len(material) > maxMaterial {
		return publicKey{}, badKey("it has %d bytes, more than %d", len(material), maxMaterial)
	}
	text := bytes.TrimSpace(material)
	pub, err := readPublic(text)
	if err != nil {
		inner, bad := base64.StdEncoding.DecodeString(string(text))
		if bad != nil {
			return publicKey{}, err
		}
		if pub, err = readPublic(bytes.TrimSpace(inner)); err != nil {
			return publicKey{}, err
		}
	}
	crypto, ok := pub.(ssh.CryptoPublicKey)
	if !ok {
		return publicKey{}, badKey("its type is %s; use RSA or ED25519", pub.Type())
	}
	switch k := crypto.CryptoPublicKey().(type) {
	case *rsa.PublicKey:
		if n := k.N.BitLen(); n < minRSABits || n > maxRSABits {
			return publicKey{}, badKey("an RSA key of %d bits; use 1024, 2048 or 4096", n)
		}
		der, err := x509.MarshalPKIXPublicKey(k)
		if err != nil {
			return publicKey{}, badKey("it cannot be written as DER")
		}
		sum := md5.Sum(der)
		return publicKey{"rsa", line(pub, name), colons(sum[:])}, nil
	case ed25519.PublicKey:
		return publicKey{"ed25519", line(pub, name), sha256Print(pub)}, nil
	}
	return publicKey{}, badKey("its type is %s; use RSA or ED25519", pub.Type())
}

func readPublic(text []byte) (ssh.PublicKey, error) {
	switch {
	case len(text) == 0:
		return nil, badKey("there is none")
	case bytes.HasPrefix(text, []byte("---- BEGIN SSH2 PUBLIC KEY")):
		return readSSH2(text)
	case bytes.HasPrefix(text, []byte("-----BEGIN ")):
		block, _ := pem.Decode(text)
		switch {
		case block == nil:
			return nil, badKey("its PEM cannot be read")
		case strings.Contains(block.Type, "PRIVATE KEY"):
			return nil, badKey("it is a private key; import the public one, and consider this one known to others")
		}
		return readDER(block.Bytes)
	case text[0] == 0x30: // an ASN.1 SEQUENCE
		return readDER(text)
	}
	pub, _, _, _, err := ssh.ParseAuthorizedKey(text)
	if err != nil {
		return nil, badKey("it is no OpenSSH line, PEM or DER")
	}
	return pub, nil
}

// readDER reads a SubjectPublicKeyInfo (RFC 5280 section 4.1) or an RSAPublicKey
// (RFC 8017 appendix A.1.1).
func readDER(der []byte) (ssh.PublicKey, error) {
	k, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		if k, err = x509.ParsePKCS1PublicKey(der); err != nil {
			return nil, badKey("its DER holds no public key")
		}
	}
	pub, err := ssh.NewPublicKey(k)
	if err != nil {
		return nil, badKey("its type is not one that SSH knows")
	}
	if _, err := ssh.ParsePublicKey(pub.Marshal()); err != nil { // an even exponent, for one
		return nil, badKey("SSH does not take such a key")
	}
	return pub, nil
}

// readSSH2 reads RFC 4716: header lines, which a backslash may continue, then
// the key's bytes in base64.
func readSSH2(text []byte) (ssh.PublicKey, error) {
	var body strings.Builder
	continued, ended := false, false
	for i, l := range strings.Split(string(text), "\n") {
		l = strings.TrimSpace(l)
		switch {
		case i == 0:
		case strings.HasPrefix(l, "---- END SSH2 PUBLIC KEY"):
			ended = true
		case continued || strings.Contains(l, ":"):
			continued = strings.HasSuffix(l, `\`)
		case !ended:
			body.WriteString(l)
		}
	}
	b, err := base64.StdEncoding.DecodeString(body.String())
	if err != nil || !ended {
		return nil, badKey("its SSH2 form cannot be read")
	}
	pub, err := ssh.ParsePublicKey(b)
	if err != nil {
		return nil, badKey("its SSH2 form holds no public key")
	}
	return pub, nil
}

func badKey(format string, args ...any) error {
	return events.Faultf("InvalidKey.Format", "Key is not in valid OpenSSH public key format: %s.", fmt.Sprintf(format, args...))
}

// line is an OpenSSH line, with the key's name as its comment.
func line(k ssh.PublicKey, name string) string {
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(k))) + " " + name
}

func sha256Print(k ssh.PublicKey) string {
	sum := sha256.Sum256(k.Marshal())
	return base64.StdEncoding.EncodeToString(sum[:])
}

// colons is hex with a colon between the bytes.
func colons(b []byte) string {
	parts := make([]string, len(b))
	for i, x := range b {
		parts[i] = hex.EncodeToString([]byte{x})
	}
	return strings.Join(parts, ":")
}
