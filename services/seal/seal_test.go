package seal

import (
	"bytes"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func key(t testing.TB, fill byte) *Key {
	t.Helper()
	k, err := New(bytes.Repeat([]byte{fill}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestRoundTrip(t *testing.T) {
	k := key(t, 1)
	for _, plain := range []string{"x", "#!/bin/sh\necho hello\n", strings.Repeat("long ", 4000)} {
		sealed := k.Seal([]byte(plain))
		if bytes.Contains(sealed, []byte(plain)) {
			t.Errorf("%.10q can be read in its sealed form", plain)
		}
		if !bytes.Equal(sealed, key(t, 1).Seal([]byte(plain))) {
			t.Errorf("%.10q sealed twice is two values: a retried command would be another command", plain)
		}
		got, err := k.Open(sealed)
		if err != nil || string(got) != plain {
			t.Errorf("%.10q came back as %.10q, %v", plain, got, err)
		}
	}
	if k.Seal(nil) != nil || k.Seal([]byte{}) != nil {
		t.Error("nothing seals to something")
	}
	if got, err := k.Open(nil); got != nil || err != nil {
		t.Errorf("nothing opens to %q, %v", got, err)
	}
	if bytes.Equal(k.Seal([]byte("a")), k.Seal([]byte("b"))) {
		t.Error("two values seal to one")
	}
}

func TestWrongKeyAndDamage(t *testing.T) {
	sealed := key(t, 1).Seal([]byte("user data"))
	if got, err := key(t, 2).Open(sealed); err == nil {
		t.Errorf("another region's key opened it: %q", got)
	}
	for i := range sealed {
		bad := bytes.Clone(sealed)
		bad[i] ^= 1
		if _, err := key(t, 1).Open(bad); err == nil {
			t.Errorf("byte %d was changed and nobody noticed", i)
		}
	}
	for n := 1; n < len(sealed); n++ {
		if _, err := key(t, 1).Open(sealed[:n]); err == nil {
			t.Errorf("%d of %d bytes were opened", n, len(sealed))
		}
	}
}

// Secrets follow from the region's key and the access key's id, for ever.
func TestSecrets(t *testing.T) {
	k := key(t, 1)
	if got := k.Secret("AKIAIOSFODNN7EXAMPLE"); got != "YA/R04a9y5sPbLJ7k99MSJDo0bqGRT+vLzMP2qIr" {
		t.Errorf("the secret of a known key is %q", got)
	}
	if len(k.Secret("AKIA1")) != 40 || k.Secret("AKIA1") == k.Secret("AKIA2") || k.Secret("AKIA1") == key(t, 2).Secret("AKIA1") {
		t.Error("secrets are not 40 characters of their own")
	}
	if bytes.Equal(k.Derive("a"), k.Derive("b")) || bytes.Equal(k.Derive("x"), key(t, 2).Derive("x")) {
		t.Error("keys for other purposes are the same")
	}
}

// Regions that share accounts agree on secrets and sessions, and on nothing else.
func TestSharing(t *testing.T) {
	accounts := key(t, 9)
	a, b := key(t, 1).Sharing(accounts), key(t, 2).Sharing(accounts)
	if a.Secret("AKIA1") != b.Secret("AKIA1") || a.Secret("AKIA1") != accounts.Secret("AKIA1") || a.Secret("AKIA1") == key(t, 1).Secret("AKIA1") {
		t.Error("the secret of a key is not the same in both")
	}
	token := a.Accounts().Seal([]byte("session"))
	if plain, err := b.Accounts().Open(token); err != nil || string(plain) != "session" {
		t.Errorf("a session of one is %q in the other: %v", plain, err)
	}
	if _, err := b.Open(a.Seal([]byte("user data"))); err == nil || bytes.Equal(a.Derive("x"), b.Derive("x")) {
		t.Error("what one region seals another opens")
	}
}

func TestRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	for _, test := range []struct{ text, want string }{
		{hex.EncodeToString(bytes.Repeat([]byte{1}, 32)) + "\n", ""},
		{"0102", "2 bytes"},
		{"not hex", "key"},
		{"", "0 bytes"},
	} {
		if err := os.WriteFile(path, []byte(test.text), 0o600); err != nil {
			t.Fatal(err)
		}
		k, err := Read(path)
		switch {
		case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
			t.Errorf("%q: %v, want %q named", test.text, err, test.want)
		case test.want == "" && (err != nil || k.Secret("a") != key(t, 1).Secret("a")):
			t.Errorf("a good key: %v", err)
		}
	}
	if _, err := Read(path + ".none"); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("a file that is not there: %v", err)
	}
}

func FuzzOpen(f *testing.F) {
	k := key(f, 1)
	f.Add([]byte{})
	f.Add([]byte("short"))
	f.Add(k.Seal([]byte("x")))
	f.Fuzz(func(t *testing.T, b []byte) {
		plain, err := k.Open(b)
		if err == nil && len(b) > 0 && !bytes.Equal(k.Seal(plain), b) {
			t.Fatalf("%x opens and was never sealed", b)
		}
		if back, err := k.Open(k.Seal(b)); err != nil || !bytes.Equal(back, b) {
			t.Fatalf("%x does not come back: %x, %v", b, back, err)
		}
	})
}
