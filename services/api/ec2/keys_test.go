package ec2

import (
	"crypto"
	"crypto/ed25519"
	"crypto/md5"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"skerry/events"
)

// sshLine is a key that somebody made with ssh-keygen.
const sshLine = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIYoPgIUQBUcdF/HLMEL0pB8eGjeMSTzdrNJbO9WFMVe somebody@somewhere"

// The pair that CreateKeyPair draws fits together, by its fingerprint as the
// EC2 user guide computes it.
func TestCreateKeyPair(t *testing.T) {
	w := newWorld(t)
	n := w.ok(alice, "CreateKeyPair", "KeyName", "r", "TagSpecification.1.ResourceType", "key-pair", "TagSpecification.1.Tag.1.Key", "a", "TagSpecification.1.Tag.1.Value", "b")
	block, _ := pem.Decode([]byte(n.text("keyMaterial")))
	if block == nil || block.Type != "RSA PRIVATE KEY" || n.text("tagSet/item/value") != "b" {
		t.Fatalf("%+v", n)
	}
	k, err := x509.ParsePKCS1PrivateKey(block.Bytes)
	if err != nil || k.N.BitLen() != 2048 {
		t.Fatal(err)
	}
	der, _ := x509.MarshalPKCS8PrivateKey(k)
	if got, want := n.text("keyFingerprint"), strings.ReplaceAll(fmt.Sprintf("% x", sha1.Sum(der)), " ", ":"); got != want {
		t.Error(got, want)
	}
	sameKey(t, w, "r", &k.PublicKey)

	n = w.ok(alice, "CreateKeyPair", "KeyName", "e", "KeyType", "ed25519", "KeyFormat", "pem")
	raw, err := ssh.ParseRawPrivateKey([]byte(n.text("keyMaterial")))
	if err != nil || !strings.HasPrefix(n.text("keyMaterial"), "-----BEGIN OPENSSH PRIVATE KEY-----") {
		t.Fatal(err)
	}
	pub := raw.(*ed25519.PrivateKey).Public()
	wire, _ := ssh.NewPublicKey(pub)
	sum := sha256.Sum256(wire.Marshal())
	if got := n.text("keyFingerprint"); got != base64.StdEncoding.EncodeToString(sum[:]) || "SHA256:"+strings.TrimRight(got, "=") != ssh.FingerprintSHA256(wire) {
		t.Error(got)
	}
	sameKey(t, w, "e", pub)

	for _, s := range w.stamps {
		if strings.Contains(string(s.Encode()), "PRIVATE KEY") {
			t.Error("the region saw a private key")
		}
	}
	w.fails("InvalidKeyPair.Duplicate", alice, "CreateKeyPair", "KeyName", "r")
	w.fails("InvalidParameterValue", alice, "CreateKeyPair", "KeyName", " r")
	w.fails("InvalidParameterValue", alice, "CreateKeyPair", "KeyName", "x", "KeyType", "dsa")
	w.fails("UnsupportedOperation", alice, "CreateKeyPair", "KeyName", "x", "KeyFormat", "ppk")
	w.fails("MissingParameter", alice, "CreateKeyPair")
}

func sameKey(t *testing.T, w *world, name string, want crypto.PublicKey) {
	t.Helper()
	k, ok := w.view().KeyPair(alice, name)
	if !ok {
		t.Fatal("no key", name)
	}
	pub, comment, _, rest, err := ssh.ParseAuthorizedKey([]byte(k.PublicKey))
	if err != nil || len(rest) > 0 || strings.Contains(k.PublicKey, "\n") || comment != name {
		t.Fatal(err, k.PublicKey)
	}
	if got := pub.(ssh.CryptoPublicKey).CryptoPublicKey(); !got.(interface{ Equal(crypto.PublicKey) bool }).Equal(want) {
		t.Error("another key")
	}
}

// An imported key is the same key in whatever form it comes.
func TestImportKeyPair(t *testing.T) {
	w := newWorld(t)
	made, err := newPair("rsa", "x")
	if err != nil {
		t.Fatal(err)
	}
	pub, _, _, _, err := ssh.ParseAuthorizedKey([]byte(made.line))
	if err != nil {
		t.Fatal(err)
	}
	k := pub.(ssh.CryptoPublicKey).CryptoPublicKey().(*rsa.PublicKey)
	der, _ := x509.MarshalPKIXPublicKey(k)
	fingerprint := strings.ReplaceAll(fmt.Sprintf("% x", md5.Sum(der)), " ", ":")
	ssh2 := "---- BEGIN SSH2 PUBLIC KEY ----\r\nComment: \"a long\\\r\n comment\"\r\n" + base64.StdEncoding.EncodeToString(pub.Marshal())[:70] + "\r\n" +
		base64.StdEncoding.EncodeToString(pub.Marshal())[70:] + "\r\n---- END SSH2 PUBLIC KEY ----\r\n"
	for i, form := range []string{
		made.line,
		`command="rm -rf /",no-pty ` + made.line + " comment\n",
		encode(made.line),
		string(der),
		encode(string(der)),
		string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})),
		string(pem.EncodeToMemory(&pem.Block{Type: "RSA PUBLIC KEY", Bytes: x509.MarshalPKCS1PublicKey(k)})),
		ssh2,
	} {
		name := fmt.Sprint("form ", i)
		n := w.ok(alice, "ImportKeyPair", "KeyName", name, "PublicKeyMaterial", encode(form))
		if n.text("keyFingerprint") != fingerprint || n.text("keyName") != name || !strings.HasPrefix(n.text("keyPairId"), "key-") {
			t.Errorf("%d: %+v", i, n)
		}
		sameKey(t, w, name, k)
	}
	n := w.ok(alice, "ImportKeyPair", "KeyName", "e", "PublicKeyMaterial", encode(sshLine))
	if n.text("keyFingerprint") == "" || strings.Contains(n.text("keyFingerprint"), ":") {
		t.Errorf("%+v", n)
	}
	ecdsa := "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBEmKSENjQEezOmxkZMy7opKgwFB9nkt5YRrYMjNuG5N87uRgg6CLrbo5wAdT/y6v0mKV0U2w0WZ2YB/++Tpockg="
	private := string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: []byte("x")}))
	for _, bad := range []string{" ", "hello", "ssh-rsa AAAA", ecdsa, private, "-----BEGIN PUBLIC KEY-----\nx", "---- BEGIN SSH2 PUBLIC KEY ----\nx", "\x30\x03\x02\x01\x01", strings.Repeat("a", 20<<10)} {
		if m := w.fails("InvalidKey.Format", alice, "ImportKeyPair", "KeyName", "bad", "PublicKeyMaterial", encode(bad)); strings.Contains(m, "%!") {
			t.Error(m)
		}
	}
	w.fails("MissingParameter", alice, "ImportKeyPair", "KeyName", "x")
}

// OpenSSL and OpenSSH agree with the fingerprints, where they are installed.
func TestFingerprintsByTools(t *testing.T) {
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("openssl is not installed")
	}
	p, err := newPair("rsa", "x")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "k.pem")
	if err := os.WriteFile(file, []byte(p.private), 0o600); err != nil {
		t.Fatal(err)
	}
	sh := func(command string) string {
		out, err := exec.CommandContext(t.Context(), "sh", "-c", command).Output()
		if err != nil {
			t.Fatal(command, err)
		}
		_, sum, _ := strings.Cut(strings.TrimSpace(string(out)), "= ")
		return sum
	}
	if got := sh(openssl + " pkcs8 -in " + file + " -inform PEM -outform DER -topk8 -nocrypt | " + openssl + " sha1 -c"); got != p.fingerprint {
		t.Error(got, p.fingerprint)
	}
	imported, err := parsePublic([]byte(p.line), "x")
	if err != nil {
		t.Fatal(err)
	}
	if got := sh(openssl + " rsa -in " + file + " -pubout -outform DER 2>/dev/null | " + openssl + " md5 -c"); got != imported.fingerprint {
		t.Error(got, imported.fingerprint)
	}
}

func TestDescribeKeyPairs(t *testing.T) {
	w := newWorld(t)
	id := w.ok(alice, "ImportKeyPair", "KeyName", "b", "PublicKeyMaterial", encode(sshLine)).text("keyPairId")
	w.ok(alice, "ImportKeyPair", "KeyName", "a", "PublicKeyMaterial", encode(sshLine))
	n := w.ok(alice, "DescribeKeyPairs")
	if n.text("keySet/item/keyName") != "a b" || n.has("keySet/item/publicKey") || n.text("keySet/item/keyType") != "ed25519 ed25519" || !n.has("keySet/item/createTime") {
		t.Errorf("%+v", n)
	}
	n = w.ok(alice, "DescribeKeyPairs", "KeyPairId.1", id, "KeyName.1", "b", "IncludePublicKey", "true")
	if n.text("keySet/item/keyName") != "b" || !strings.HasPrefix(n.text("keySet/item/publicKey"), "ssh-ed25519 ") {
		t.Errorf("%+v", n)
	}
	n = w.ok(alice, "DeleteKeyPair", "KeyPairId", id)
	if n.text("keyPairId") != id || n.text("return") != "true" {
		t.Errorf("%+v", n)
	}
	w.fails("InvalidKeyPair.NotFound", alice, "DescribeKeyPairs", "KeyName.1", "b")
	w.fails("MissingParameter", alice, "DeleteKeyPair")
}

// Whatever is sent as a key ends in a key that OpenSSH reads, or in a fault.
func FuzzPublicKey(f *testing.F) {
	p, err := newPair("rsa", "x")
	if err != nil {
		f.Fatal(err)
	}
	pub, _, _, _, _ := ssh.ParseAuthorizedKey([]byte(p.line))
	der, _ := x509.MarshalPKIXPublicKey(pub.(ssh.CryptoPublicKey).CryptoPublicKey())
	for _, s := range []string{sshLine, p.line, encode(p.line), string(der), encode(string(der)), p.private, "---- BEGIN SSH2 PUBLIC KEY ----\nA: b\nAAAA\n---- END SSH2 PUBLIC KEY ----",
		string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})), "", "0", "-----BEGIN ", "ssh-rsa"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		k, err := parsePublic(b, "name")
		if err != nil {
			if fault, ok := events.AsFault(err); !ok || fault.Code() != "InvalidKey.Format" {
				t.Fatal(err)
			}
			return
		}
		if strings.ContainsAny(k.line, "\r\n") {
			t.Fatalf("%q is not one line", k.line)
		}
		again, err := parsePublic([]byte(k.line), "name")
		if err != nil || again != k {
			t.Fatal(err, again, k)
		}
	})
}
