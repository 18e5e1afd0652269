package sigv4

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"skerry/events"
)

type oneKey struct{}

const (
	testKey    = "AKIDEXAMPLE"
	testSecret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
)

func (oneKey) Secret(_ context.Context, id, token string) (string, Principal, error) {
	switch {
	case id == testKey && token == "":
		return testSecret, Principal{Account: "123456789012"}, nil
	case id == "AKIDWHOKNOWS":
		return "", Principal{}, events.Faultf("Unavailable", "Nobody can tell.")
	}
	return "", Principal{}, ErrUnknownKey
}

var verifier = &Verifier{Keys: oneKey{}, Region: "isle-1", Services: []string{"ec2", "sts"}}

// signed makes a request signed by the SDK, as the server would see it.
func signed(t testing.TB, method, target, body, service, region string, at time.Time, change func(*http.Request)) *http.Request {
	t.Helper()
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	}
	if change != nil {
		change(r)
	}
	err := v4.NewSigner().SignHTTP(context.Background(), credentials, r, digest(body), service, region, at)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

var credentials = aws.Credentials{AccessKeyID: testKey, SecretAccessKey: testSecret}

func digest(body string) string {
	sum := sha256.Sum256([]byte(body))
	return hex.EncodeToString(sum[:])
}

func verify(r *http.Request, body string) (Identity, error) {
	p, err := verifier.Open(r)
	if err != nil {
		return Identity{}, err
	}
	return p.Verify([]byte(body))
}

const form = "Action=DescribeInstances&Version=2016-11-15&Filter.1.Name=tag%3AName&Filter.1.Value.1=a+b%20c*~"

func TestAcceptsTheSDK(t *testing.T) {
	for _, service := range []string{"ec2", "sts"} {
		for name, r := range map[string]*http.Request{
			"post": signed(t, "POST", "http://isle.example:8773/", form, service, "isle-1", time.Now(), nil),
			"get":  signed(t, "GET", "http://isle.example:8773/?"+strings.ReplaceAll(form, "+", "%20"), "", service, "isle-1", time.Now(), nil),
			"path": signed(t, "POST", "http://isle.example/a%20b/c%2Fd/", form, service, "isle-1", time.Now(), nil),
			"head": signed(t, "POST", "http://isle.example/", form, service, "isle-1", time.Now(), func(r *http.Request) {
				r.Header.Set("X-Amz-Content-Sha256", digest(form))
				r.Header["X-Two"] = []string{"  a   b ", "c"}
			}),
			"early": signed(t, "POST", "http://isle.example/", form, service, "isle-1", time.Now().Add(14*time.Minute), nil),
			"late":  signed(t, "POST", "http://isle.example/", form, service, "isle-1", time.Now().Add(-14*time.Minute), nil),
		} {
			body, _ := io.ReadAll(r.Body)
			id, err := verify(r, string(body))
			if err != nil || id != (Identity{Principal: Principal{Account: "123456789012"}, AccessKey: testKey, Service: service}) {
				t.Errorf("%s %s: %v %v", service, name, id, err)
			}
		}
	}
}

func TestAcceptsPresigned(t *testing.T) {
	r := httptest.NewRequest("GET", "http://isle.example/?X-Amz-Expires=60&"+strings.ReplaceAll(form, "+", "%20"), nil)
	target, _, err := v4.NewSigner().PresignHTTP(context.Background(), credentials, r, digest(""), "ec2", "isle-1", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if id, err := verify(httptest.NewRequest("GET", target, nil), ""); err != nil || id.Account != "123456789012" {
		t.Fatal(id, err)
	}
	for _, c := range []struct{ from, to, code string }{
		{"X-Amz-Expires=60", "X-Amz-Expires=61", "AuthFailure"},
		{"X-Amz-Expires=60", "X-Amz-Expires=0", "IncompleteSignature"},
		{"X-Amz-Expires=60", "X-Amz-Expires=604801", "IncompleteSignature"},
		{"X-Amz-Expires=60", "X-Amz-Expires=60&X-Amz-Expires=60", "IncompleteSignature"},
		{"X-Amz-Expires=60&", "", "IncompleteSignature"},
		{"DescribeInstances", "TerminateInstances", "AuthFailure"},
		{"X-Amz-Algorithm=AWS4-HMAC-SHA256", "X-Amz-Algorithm=AWS4-HMAC-SHA1", "IncompleteSignature"},
		{"X-Amz-Algorithm=AWS4-HMAC-SHA256", "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Content-Sha256=UNSIGNED-PAYLOAD", "IncompleteSignature"},
	} {
		changed := strings.Replace(target, c.from, c.to, 1)
		if changed == target {
			t.Fatalf("%s does not occur in %s", c.from, target)
		}
		_, err := verify(httptest.NewRequest("GET", changed, nil), "")
		expect(t, c.from+" -> "+c.to, err, c.code)
	}

	r = httptest.NewRequest("GET", "http://isle.example/?X-Amz-Expires=60", nil)
	target, _, _ = v4.NewSigner().PresignHTTP(context.Background(), credentials, r, digest(""), "ec2", "isle-1", time.Now().Add(-2*time.Minute))
	_, err = verify(httptest.NewRequest("GET", target, nil), "")
	expect(t, "expired", err, "RequestExpired")
}

func expect(t *testing.T, what string, err error, code string) {
	t.Helper()
	f, ok := events.AsFault(err)
	if !ok || f.Code() != code {
		t.Errorf("%s: got %v, want %s", what, err, code)
	}
}

func TestRefuses(t *testing.T) {
	now := time.Now()
	for _, c := range []struct {
		what    string
		service string
		region  string
		at      time.Time
		before  func(*http.Request)
		after   func(*http.Request)
		body    string
		code    string
	}{
		{what: "changed body", body: form + "&X=1", code: "AuthFailure"},
		{what: "changed body, sts", service: "sts", body: form + "&X=1", code: "SignatureDoesNotMatch"},
		{what: "changed query", after: func(r *http.Request) { r.URL.RawQuery = "A=1" }, code: "AuthFailure"},
		{what: "changed method", after: func(r *http.Request) { r.Method = "GET" }, code: "AuthFailure"},
		{what: "changed path", after: func(r *http.Request) { r.URL.Path = "/x" }, code: "AuthFailure"},
		{what: "changed host", after: func(r *http.Request) { r.Host = "other" }, code: "AuthFailure"},
		{what: "changed type", after: func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") }, code: "AuthFailure"},
		{what: "signed header removed", after: func(r *http.Request) { r.Header.Del("Content-Type") }, code: "SignatureDoesNotMatch"},
		{what: "other region", region: "us-east-1", code: "AuthFailure"},
		{what: "other service", service: "s3", code: "AuthFailure"},
		{what: "too old", at: now.Add(-16 * time.Minute), code: "RequestExpired"},
		{what: "too new", at: now.Add(16 * time.Minute), code: "RequestExpired"},
		{what: "date moved", after: func(r *http.Request) { r.Header.Set("X-Amz-Date", now.Add(time.Minute).UTC().Format(dateFormat)) }, code: ""},
		{what: "bad date", after: func(r *http.Request) { r.Header.Set("X-Amz-Date", "yesterday") }, code: "IncompleteSignature"},
		{what: "two dates", after: func(r *http.Request) { r.Header.Add("X-Amz-Date", now.UTC().Format(dateFormat)) }, code: "IncompleteSignature"},
		{what: "two authorizations", after: func(r *http.Request) { r.Header.Add("Authorization", r.Header.Get("Authorization")) }, code: "IncompleteSignature"},
		{what: "query as well", after: func(r *http.Request) { r.URL.RawQuery = "X-Amz-Signature=1" }, code: "IncompleteSignature"},
		{what: "unsigned x-amz header", after: func(r *http.Request) { r.Header.Set("X-Amz-Target", "x") }, code: "IncompleteSignature"},
		{what: "wrong digest", before: func(r *http.Request) { r.Header.Set("X-Amz-Content-Sha256", digest("x")) }, code: "SignatureDoesNotMatch"},
		{what: "unsigned payload", before: func(r *http.Request) { r.Header.Set("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD") }, code: "IncompleteSignature"},
		{what: "streaming payload", before: func(r *http.Request) {
			r.Header.Set("X-Amz-Content-Sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD")
		}, code: "IncompleteSignature"},
		{what: "session token", before: func(r *http.Request) { r.Header.Set("X-Amz-Security-Token", "t") }, code: "AuthFailure"},
		{what: "unknown key", after: swap(testKey, "AKIDOTHER"), code: "AuthFailure"},
		{what: "unknown key, sts", service: "sts", after: swap(testKey, "AKIDOTHER"), code: "InvalidClientTokenId"},
		{what: "no signature", after: func(r *http.Request) { r.Header.Del("Authorization") }, code: "MissingAuthenticationToken"},
		{what: "basic", after: func(r *http.Request) { r.SetBasicAuth("a", "b") }, code: "MissingAuthenticationToken"},
		{what: "v2 header", after: func(r *http.Request) { r.Header.Set("Authorization", "AWS AKID:abc") }, code: "AuthFailure"},
		{what: "v2 query", after: func(r *http.Request) {
			r.Header.Del("Authorization")
			r.URL.RawQuery = "AWSAccessKeyId=a&SignatureVersion=2&Signature=x"
		}, code: "AuthFailure"},
		{what: "v4a", after: swap("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256"), code: "IncompleteSignature"},
		{what: "no host", after: swap(";host;", ";"), code: "IncompleteSignature"},
		{what: "no date", after: swap(";x-amz-date", ""), code: "IncompleteSignature"},
		{what: "unsorted", after: swap("content-type;host", "host;content-type"), code: "IncompleteSignature"},
		{what: "repeated", after: swap(";host;", ";host;host;"), code: "IncompleteSignature"},
		{what: "upper case", after: swap(";host;", ";Host;"), code: "IncompleteSignature"},
		{what: "header named twice", after: swap("SignedHeaders=", "SignedHeaders=a, SignedHeaders="), code: "IncompleteSignature"},
		{what: "no credential", after: swap("Credential=", "Kredential="), code: "IncompleteSignature"},
		{what: "short credential", after: swap("/aws4_request", ""), code: "IncompleteSignature"},
		{what: "other day", after: swap("/"+now.UTC().Format("20060102")+"/", "/20200101/"), code: "SignatureDoesNotMatch"},
		{what: "short signature", after: func(r *http.Request) {
			a := r.Header.Get("Authorization")
			r.Header.Set("Authorization", a[:len(a)-2])
		}, code: "AuthFailure"},
		{what: "bad escape", after: func(r *http.Request) { r.URL.RawQuery = "a=%zz" }, code: "MalformedQueryString"},
	} {
		t.Run(c.what, func(t *testing.T) {
			if c.service == "" {
				c.service = "ec2"
			}
			if c.region == "" {
				c.region = "isle-1"
			}
			if c.at.IsZero() {
				c.at = now
			}
			r := signed(t, "POST", "http://isle.example:8773/", form, c.service, c.region, c.at, c.before)
			before := r.Header.Get("Authorization")
			if c.after != nil {
				c.after(r)
			}
			body := form
			if c.body != "" {
				body = c.body
			}
			_, err := verify(r, body)
			if err == nil {
				t.Fatalf("accepted; Authorization was %s", before)
			}
			if c.code != "" {
				expect(t, c.what, err, c.code)
			}
		})
	}
}

func swap(from, to string) func(*http.Request) {
	return func(r *http.Request) {
		r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), from, to, 1))
	}
}

// A Date header may stand for X-Amz-Date; the SDK cannot sign so, our own
// construction of the specification can.
func TestAcceptsDateHeader(t *testing.T) {
	at := time.Now().UTC().Truncate(time.Second)
	r := httptest.NewRequest("POST", "http://isle.example/", strings.NewReader(form))
	r.Header.Set("Date", at.Format(http.TimeFormat))
	scope := at.Format("20060102") + "/isle-1/ec2/aws4_request"
	canonical := "POST\n/\n\ndate:" + at.Format(http.TimeFormat) + "\nhost:isle.example\n\ndate;host\n" + digest(form)
	sig := hex.EncodeToString(sign(testSecret, scope, at.Format(dateFormat), canonical))
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential="+testKey+"/"+scope+",SignedHeaders=date;host,Signature="+sig)
	if _, err := verify(r, form); err != nil {
		t.Fatal(err)
	}
}

// What reaches a real server verifies as well: the server moves Host and
// Content-Length about.
func TestAcceptsOverTheWire(t *testing.T) {
	got := make(chan error, 1)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		_, err := verify(r, string(body))
		got <- err
	}))
	defer s.Close()
	r, _ := http.NewRequest("POST", s.URL+"/", bytes.NewReader([]byte(form)))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if err := v4.NewSigner().SignHTTP(context.Background(), credentials, r, digest(form), "ec2", "isle-1", time.Now()); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(r.Header.Get("Authorization"), "content-length") {
		t.Fatal("the signer does not sign content-length")
	}
	reply, err := s.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	reply.Body.Close()
	if err := <-got; err != nil {
		t.Fatal(err)
	}
}

// The other direction: what this package signs is what the SDK signs.
func TestSignsLikeTheSDK(t *testing.T) {
	at := time.Now().UTC()
	r := signed(t, "POST", "http://isle.example/", form, "ec2", "isle-1", at, nil)
	p, err := verifier.Open(r)
	if err != nil {
		t.Fatal(err)
	}
	canonical := strings.Join([]string{p.method, p.path, p.query, p.head, p.claim.signed, digest(form)}, "\n")
	ours := hex.EncodeToString(sign(testSecret, p.scope, at.Format(dateFormat), canonical))
	if ours != p.claim.signature {
		t.Fatalf("ours %s, the SDK's %s, of\n%s", ours, p.claim.signature, canonical)
	}
}

// Any name and value of a query is canonicalised as the SDK does it, and a
// canonical query is its own canonical form.
func FuzzCanonicalQuery(f *testing.F) {
	f.Add("Action=DescribeInstances&Version=2016-11-15", "Filter.1.Value.1", "a b+c%/~*é")
	f.Add("a=1&a=0&b", "b", "")
	f.Add("%zz=%", "X-Amz-Date", "1")
	f.Add("X-Amz-Signature=1&;=&==&&", "=", "&")
	f.Fuzz(func(t *testing.T, raw, name, value string) {
		if once, _, err := canonicalQuery(raw); err == nil && !strings.Contains(once, "X-Amz-") {
			twice, _, err := canonicalQuery(once)
			if err != nil || twice != once {
				t.Fatalf("%q -> %q -> %q, %v", raw, once, twice, err)
			}
		}
		if strings.HasPrefix(name, "X-Amz-") || name == "AWSAccessKeyId" || name == "SignatureVersion" {
			return
		}
		q := url.Values{name: {value}}.Encode()
		r := httptest.NewRequest("GET", "http://isle.example/", nil)
		r.URL.RawQuery = q
		if err := v4.NewSigner().SignHTTP(context.Background(), credentials, r, digest(""), "ec2", "isle-1", time.Now()); err != nil {
			t.Fatal(err)
		}
		if _, err := verify(r, ""); err != nil {
			t.Fatalf("%q: %v", r.URL.RawQuery, err)
		}
	})
}

// No header makes the verifier panic, and none that was not signed verifies.
func FuzzAuthorization(f *testing.F) {
	f.Add("AWS4-HMAC-SHA256 Credential=A/20260101/isle-1/ec2/aws4_request, SignedHeaders=host;x-amz-date, Signature=00", "20260101T000000Z")
	f.Add("AWS4-HMAC-SHA256 Credential=", "")
	f.Add("AWS a:b", "Thu, 01 Jan 1970 00:00:00 GMT")
	f.Fuzz(func(t *testing.T, auth, date string) {
		r := httptest.NewRequest("POST", "http://isle.example/", nil)
		r.Header["Authorization"] = []string{auth}
		r.Header["X-Amz-Date"] = []string{date}
		ScopeService(r)
		if _, err := verify(r, ""); err == nil {
			t.Fatal("accepted")
		} else if _, ok := events.AsFault(err); !ok {
			t.Fatal(err)
		}
	})
}

// A key of which nobody can tell is not called unknown.
func TestNobodyCanTell(t *testing.T) {
	r := signed(t, "GET", "http://127.0.0.1/?Action=DescribeRegions", "", "ec2", "isle-1", time.Now(), nil)
	r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), testKey, "AKIDWHOKNOWS", 1))
	_, err := verifier.Open(r)
	if f, ok := events.AsFault(err); !ok || f.FaultCode != "Unavailable" {
		t.Error(err)
	}
}
