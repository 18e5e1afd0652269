package metadata

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"strconv"
	"time"

	"skerry/events"
)

// maxTokenTTL is six hours ("Use the Instance Metadata Service to access
// instance metadata").
const maxTokenTTL = 21600

// Layout of a token before base64url:
//
//	0      8                16                    48
//	│ salt │ expiry, s 1970 │ HMAC-SHA256 of both │
//
// and of the instance: another instance's token has the wrong sum.
const (
	saltSize    = 8
	tokenHeader = saltSize + 8
	tokenSize   = tokenHeader + sha256.Size
)

type tokens struct{ key []byte }

func (t tokens) sum(header []byte, id events.InstanceID) []byte {
	h := hmac.New(sha256.New, t.key)
	h.Write(header)
	h.Write([]byte(id))
	return h.Sum(nil)
}

// issue makes a token for an instance that is good until end.
func (t tokens) issue(id events.InstanceID, end time.Time) string {
	b := make([]byte, saltSize, tokenSize)
	rand.Read(b)
	b = binary.BigEndian.AppendUint64(b, uint64(end.Unix()))
	b = append(b, t.sum(b, id)...)
	return base64.URLEncoding.EncodeToString(b)
}

// left is how long a token is still good for an instance; zero or less for one
// that is not.
func (t tokens) left(token string, id events.InstanceID, now time.Time) time.Duration {
	if len(token) != base64.URLEncoding.EncodedLen(tokenSize) {
		return 0
	}
	b, err := base64.URLEncoding.Strict().DecodeString(token)
	if err != nil || len(b) != tokenSize || !hmac.Equal(b[tokenHeader:], t.sum(b[:tokenHeader], id)) {
		return 0
	}
	return time.Unix(int64(binary.BigEndian.Uint64(b[saltSize:])), 0).Sub(now)
}

// parseTTL reads the header of a request for a token.
func parseTTL(s string) (int, bool) {
	n, err := strconv.ParseUint(s, 10, 16)
	return int(n), err == nil && n >= 1 && n <= maxTokenTTL
}
