// Package seal keeps secrets out of the log. The region's key, 32 bytes that
// each voter reads from its own disk, is never sent anywhere; from it come
//
//	the secret of an access key   HMAC-SHA-256(key, "access-key" | key id)
//	sealed values                 AES-256-GCM, nonce = HMAC(key, plaintext)
//
// Regions that share accounts have the accounts' key in common, and each one a
// key of its own: what one of them seals no other opens.
//
// The nonce follows the plaintext, so that equal values seal to equal bytes and
// a retried command is the same command; equality is all it tells.
package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strings"
)

// Key is the region's key.
type Key struct {
	key      []byte
	aead     cipher.AEAD
	accounts *Key // nil: this one
}

// New makes a key of 32 bytes.
func New(key []byte) (*Key, error) {
	if len(key) != 32 {
		return nil, fmt.Errorf("seal: the region's key has %d bytes, not 32", len(key))
	}
	k := &Key{key: key}
	block, err := aes.NewCipher(k.mac("seal", nil))
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	if k.aead, err = cipher.NewGCM(block); err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	return k, nil
}

// Read reads the key from a file of hex digits.
func Read(path string) (*Key, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	raw, err := hex.DecodeString(strings.TrimSpace(string(b)))
	if err != nil {
		return nil, fmt.Errorf("seal: %s: %w", path, err)
	}
	return New(raw)
}

func (k *Key) mac(purpose string, b []byte) []byte {
	h := hmac.New(sha256.New, k.key)
	h.Write([]byte(purpose))
	h.Write([]byte{0})
	h.Write(b)
	return h.Sum(nil)
}

// Secret is the secret access key of an access key id: 40 characters.
func (k *Key) Secret(accessKey string) string {
	return base64.StdEncoding.EncodeToString(k.Accounts().mac("access-key", []byte(accessKey)))[:40]
}

// Derive is a key for another purpose, such as signing page tokens.
func (k *Key) Derive(purpose string) []byte { return k.mac("derive", []byte(purpose)) }

// Seal encrypts a value. Nothing seals to nothing.
func (k *Key) Seal(plain []byte) []byte {
	if len(plain) == 0 {
		return nil
	}
	nonce := k.mac("nonce", plain)[:k.aead.NonceSize()]
	return k.aead.Seal(nonce, nonce, plain, nil)
}

// Open decrypts a sealed value.
func (k *Key) Open(sealed []byte) ([]byte, error) {
	if len(sealed) == 0 {
		return nil, nil
	}
	n := k.aead.NonceSize()
	if len(sealed) < n {
		return nil, errors.New("seal: the value is too short to be sealed")
	}
	plain, err := k.aead.Open(nil, sealed[:n], sealed[n:], nil)
	if err != nil {
		return nil, errors.New("seal: the value was not sealed with this region's key")
	}
	return plain, nil
}
