package api_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"skerry/events"
	"skerry/services/api"
	"skerry/services/api/filter"
	"skerry/services/api/model"
	"skerry/services/api/page"
	"skerry/services/api/query"
	"skerry/services/api/reply"
	"skerry/services/api/sigv4"
	"skerry/services/api/tags"
)

const (
	account = "123456789012"
	keyID   = "AKIDEXAMPLE"
	secret  = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
)

type keys struct{}

func (keys) Secret(_ context.Context, id, token string) (string, sigv4.Principal, error) {
	if id != keyID || token != "" {
		return "", sigv4.Principal{}, sigv4.ErrUnknownKey
	}
	return secret, sigv4.Principal{Account: account}, nil
}

// region is a handful of handlers with a few rows behind them.
type region struct {
	mu       sync.Mutex
	calls    []api.Call
	run      *model.RunInstancesInput
	imported []byte
	rows     int
	block    chan struct{}
	tokens   page.Tokens
}

func (r *region) note(c *api.Call) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls = append(r.calls, *c)
}

func (r *region) last() api.Call {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.calls[len(r.calls)-1]
}

type row struct {
	id   string
	tags []events.Tag
}

var fields = filter.Fields[row]{"instance-id": func(r row) []string { return []string{r.id} }}

func (r *region) describe(_ context.Context, c *api.Call, in *model.DescribeInstancesInput) (*model.DescribeInstancesOutput, error) {
	r.note(c)
	f, err := filter.Compile(in.Filters, fields, func(r row) map[string]string { return tags.Map(r.tags) })
	if err != nil {
		return nil, err
	}
	p, err := r.tokens.Open(page.Listing{Account: c.Account, Action: c.Action}, in.MaxResults, in.NextToken)
	if err != nil {
		return nil, err
	}
	rows, next := page.Cut(p, func(yield func(string, row) bool) {
		for i := range r.rows {
			x := row{fmt.Sprintf("i-%017x", i), []events.Tag{{Key: "Name", Value: fmt.Sprintf("web-%d <&> é", i)}}}
			if f.Match(x) && !yield(x.id, x) {
				return
			}
		}
	})
	out := &model.DescribeInstancesOutput{NextToken: next}
	at := time.Date(2026, 1, 2, 3, 4, 5, 6e6, time.UTC)
	for _, x := range rows {
		out.Reservations = append(out.Reservations, model.Reservation{
			ReservationId: new("r-01234567"), OwnerId: new(c.Account),
			Instances: []model.Instance{{
				InstanceId: &x.id, State: &model.InstanceState{Code: new(int32(16)), Name: new("running")},
				LaunchTime: &at, EbsOptimized: new(false), Tags: tags.Write(x.tags),
				Placement: &model.Placement{AvailabilityZone: new("isle-1a")},
			}},
		})
	}
	return out, nil
}

func (r *region) runInstances(_ context.Context, c *api.Call, in *model.RunInstancesInput) (*model.RunInstancesOutput, error) {
	r.note(c)
	r.mu.Lock()
	r.run = in
	r.mu.Unlock()
	if *in.MinCount > *in.MaxCount {
		return nil, fmt.Errorf("run: %w", events.Faultf("InvalidParameterValue", "MinCount > MaxCount"))
	}
	return &model.RunInstancesOutput{ReservationId: new("r-01234567"), Instances: []model.Instance{{InstanceId: new("i-01234567")}}}, nil
}

type coded struct{}

func (coded) Code() string  { return "Unavailable" }
func (coded) Error() string { return "Unavailable: no leader" }

func (r *region) table() *api.Table {
	t := api.NewTable()
	api.Handle(t, r.describe)
	api.Handle(t, r.runInstances)
	api.Handle(t, func(_ context.Context, c *api.Call, in *model.ImportKeyPairInput) (*model.ImportKeyPairOutput, error) {
		r.mu.Lock()
		r.imported = in.PublicKeyMaterial
		r.mu.Unlock()
		return &model.ImportKeyPairOutput{KeyName: in.KeyName}, nil
	})
	api.Handle(t, func(_ context.Context, c *api.Call, _ *model.GetCallerIdentityInput) (*model.GetCallerIdentityOutput, error) {
		return &model.GetCallerIdentityOutput{Account: &c.Account, UserId: &c.Account, Arn: new("arn:aws:iam::" + c.Account + ":root")}, nil
	})
	api.Handle(t, func(context.Context, *api.Call, *model.DescribeVpcsInput) (*model.DescribeVpcsOutput, error) {
		panic("boom")
	})
	api.Handle(t, func(context.Context, *api.Call, *model.DescribeSubnetsInput) (*model.DescribeSubnetsOutput, error) {
		return nil, errors.New("the disk burns")
	})
	api.Handle(t, func(context.Context, *api.Call, *model.DescribeTagsInput) (*model.DescribeTagsOutput, error) {
		return nil, fmt.Errorf("tags: %w", coded{})
	})
	api.Handle(t, func(context.Context, *api.Call, *model.DescribeImagesInput) (*model.DescribeImagesOutput, error) {
		return nil, nil
	})
	api.Handle(t, func(ctx context.Context, _ *api.Call, _ *model.DescribeRegionsInput) (*model.DescribeRegionsOutput, error) {
		<-r.block
		return nil, fmt.Errorf("bus: %w", context.DeadlineExceeded)
	})
	api.Handle(t, func(context.Context, *api.Call, *model.CreateTagsInput) (*model.CreateTagsOutput, error) {
		return new(model.CreateTagsOutput), nil
	})
	return t
}

func serve(t *testing.T) (*region, *httptest.Server, *bytes.Buffer) {
	r := &region{rows: 23, block: make(chan struct{}), tokens: page.New([]byte("0123456789abcdef"))}
	log := new(bytes.Buffer)
	var mu sync.Mutex
	h := slog.NewTextHandler(writer(func(p []byte) (int, error) {
		mu.Lock()
		defer mu.Unlock()
		return log.Write(p)
	}), &slog.HandlerOptions{Level: slog.LevelDebug})
	s := httptest.NewServer(api.New(api.Config{Region: "isle-1", Keys: keys{}, Table: r.table(), Log: slog.New(h)}))
	t.Cleanup(s.Close)
	return r, s, log
}

type writer func([]byte) (int, error)

func (w writer) Write(p []byte) (int, error) { return w(p) }

// post sends a form signed by the SDK.
func post(t testing.TB, url, service, form string) (status int, text string) {
	t.Helper()
	r, err := http.NewRequest("POST", url, strings.NewReader(form))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	return do(t, r, service, form)
}

func do(t testing.TB, r *http.Request, service, body string) (int, string) {
	t.Helper()
	if service != "" {
		sum := sha256.Sum256([]byte(body))
		err := v4.NewSigner().SignHTTP(context.Background(), aws.Credentials{AccessKeyID: keyID, SecretAccessKey: secret}, r, hex.EncodeToString(sum[:]), service, "isle-1", time.Now())
		if err != nil {
			t.Fatal(err)
		}
	}
	reply, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer reply.Body.Close()
	text, err := io.ReadAll(reply.Body)
	if err != nil {
		t.Fatal(err)
	}
	if id := reply.Header.Get("X-Amzn-Requestid"); id != "" && !strings.Contains(string(text), id) {
		t.Errorf("the document lacks the request id %s: %s", id, text)
	}
	return reply.StatusCode, string(text)
}

// fault reads an EC2 error document.
func fault(t testing.TB, text string) (code, message string) {
	t.Helper()
	var doc struct {
		XMLName   xml.Name `xml:"Response"`
		Code      string   `xml:"Errors>Error>Code"`
		Message   string   `xml:"Errors>Error>Message"`
		RequestID string
	}
	if err := xml.Unmarshal([]byte(text), &doc); err != nil || doc.RequestID == "" {
		t.Errorf("%v: %s", err, text)
	}
	return doc.Code, doc.Message
}

func TestAnswers(t *testing.T) {
	r, s, _ := serve(t)
	status, text := post(t, s.URL, "ec2", "Action=DescribeInstances&Version=2014-10-01&Filter.1.Name=tag:Name&Filter.1.Value.1=web-1%3F*")
	var out model.DescribeInstancesOutput
	if err := xml.Unmarshal([]byte(text), &out); err != nil || status != 200 {
		t.Fatal(status, err, text)
	}
	if !strings.Contains(text, `<DescribeInstancesResponse xmlns="http://ec2.amazonaws.com/doc/2014-10-01/"><requestId>`) {
		t.Error(text)
	}
	if len(out.Reservations) != 11 || *out.Reservations[0].Instances[0].Tags[0].Value != "web-1 <&> é" {
		t.Errorf("%d %s", len(out.Reservations), text)
	}
	c := r.last()
	if c.Account != account || c.AccessKey != keyID || c.Action != "DescribeInstances" || c.Version != "2014-10-01" ||
		c.Region != "isle-1" || !c.SourceIP.IsLoopback() || len(c.RequestID) != 36 || c.DryRun {
		t.Errorf("%+v", c)
	}

	status, text = post(t, s.URL, "sts", "Action=GetCallerIdentity&Version=2011-06-15")
	if status != 200 || !strings.Contains(text, `<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>`) || !strings.Contains(text, "<Account>"+account+"</Account>") {
		t.Error(status, text)
	}

	get, _ := http.NewRequest("GET", s.URL+"/?Action=CreateTags&Version=2016-11-15&ResourceId.1=i-1&Tag.1.Key=a%20b&Tag.1.Value=%2B", nil)
	if status, text = do(t, get, "ec2", ""); status != 200 || !strings.Contains(text, "<return>true</return>") {
		t.Error(status, text)
	}

	split, _ := http.NewRequest("POST", s.URL+"/?Version=2016-11-15", strings.NewReader("Action=CreateTags&ResourceId.1=i-1&Tag.1.Key=a"))
	if status, text = do(t, split, "ec2", "Action=CreateTags&ResourceId.1=i-1&Tag.1.Key=a"); status != 200 {
		t.Error(status, text)
	}
}

func TestPresigned(t *testing.T) {
	_, s, _ := serve(t)
	r, _ := http.NewRequest("GET", s.URL+"/?Action=DescribeInstances&Version=2016-11-15&X-Amz-Expires=60", nil)
	sum := sha256.Sum256(nil)
	url, _, err := v4.NewSigner().PresignHTTP(context.Background(), aws.Credentials{AccessKeyID: keyID, SecretAccessKey: secret}, r, hex.EncodeToString(sum[:]), "ec2", "isle-1", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	r, _ = http.NewRequest("GET", url, nil)
	if status, text := do(t, r, "", ""); status != 200 {
		t.Error(status, text)
	}
	r, _ = http.NewRequest("GET", url+"&MaxResults=5", nil)
	if status, text := do(t, r, "", ""); status != 401 {
		t.Error(status, text)
	}
}

func TestDryRunAndTokens(t *testing.T) {
	r, s, _ := serve(t)
	run := "Action=RunInstances&Version=2016-11-15&ImageId=ami-1&MinCount=1&MaxCount=1"
	status, text := post(t, s.URL, "ec2", run+"&DryRun=true&ClientToken=tok")
	if code, message := fault(t, text); status != 412 || code != "DryRunOperation" || message != "Request would have succeeded, but DryRun flag is set." {
		t.Error(status, text)
	}
	if c := r.last(); !c.DryRun || c.ClientToken != "tok" {
		t.Errorf("%+v", c)
	}
	status, text = post(t, s.URL, "ec2", strings.Replace(run, "MinCount=1", "MinCount=2", 1)+"&DryRun=true")
	if code, _ := fault(t, text); status != 400 || code != "InvalidParameterValue" {
		t.Error("the handler's checks come first:", status, text)
	}
	if status, text = post(t, s.URL, "ec2", run+"&DryRun=false"); status != 200 {
		t.Error(status, text)
	}
	for _, token := range []string{strings.Repeat("x", 65), "%C3%A9"} {
		if _, text = post(t, s.URL, "ec2", run+"&ClientToken="+token); !strings.Contains(text, "<Code>InvalidClientToken</Code>") {
			t.Error(text)
		}
	}
}

func TestRefuses(t *testing.T) {
	r, s, log := serve(t)
	close(r.block)
	for _, c := range []struct {
		form   string
		status int
		code   string
		says   string
	}{
		{"Version=2016-11-15", 400, "MissingAction", "Action"},
		{"Action=CreateVpc&Version=2016-11-15", 400, "UnsupportedOperation", "CreateVpc"},
		{"Action=CreateVpx&Version=2016-11-15", 400, "InvalidAction", "The action CreateVpx is not valid for this web service."},
		{"Action=GetCallerIdentity&Version=2011-06-15", 400, "InvalidAction", "GetCallerIdentity"},
		{"Action=DescribeInstances", 400, "MissingParameter", "The request must contain the parameter Version"},
		{"Action=DescribeInstances&Version=2016-11-16", 400, "NoSuchVersion", "2016-11-16"},
		{"Action=DescribeInstances&Version=2016-02-30", 400, "NoSuchVersion", "2016-02-30"},
		{"Action=DescribeInstances&Version=latest", 400, "NoSuchVersion", "latest"},
		{"Action=DescribeInstances&Version=2000-01-01", 400, "NoSuchVersion", "2000-01-01"},
		{"Action=DescribeInstances&Version=2016-11-15&InstanceIds=i-1", 400, "UnknownParameter", "The parameter InstanceIds is not recognized"},
		{"Action=DescribeInstances&Version=2016-11-15&X-Amz-Date=1", 400, "UnknownParameter", "X-Amz-Date"},
		{"Action=DescribeInstances&Version=2016-11-15&MaxResults=4", 400, "InvalidParameterValue", "between 5 and 1000"},
		{"Action=DescribeInstances&Version=2016-11-15&NextToken=x", 400, "InvalidNextToken", "DescribeInstances"},
		{"Action=DescribeInstances&Version=2016-11-15&Filter.1.Name=x&Filter.1.Value.1=y", 400, "InvalidParameterValue", "The filter 'x' is invalid"},
		{"Action=RunInstances&Version=2016-11-15", 400, "MissingParameter", "MaxCount"},
		{"Action=A&Action=B", 400, "MalformedQueryString", "Action"},
		{"%", 400, "MalformedQueryString", "%"},
		{"Action=DescribeVpcs&Version=2016-11-15", 500, "InternalError", "An internal error has occurred."},
		{"Action=DescribeSubnets&Version=2016-11-15", 500, "InternalError", "An internal error has occurred."},
		{"Action=DescribeImages&Version=2016-11-15", 500, "InternalError", "An internal error has occurred."},
		{"Action=DescribeTags&Version=2016-11-15", 503, "Unavailable", "no leader"},
		{"Action=DescribeRegions&Version=2016-11-15", 503, "Unavailable", "in time"},
	} {
		status, text := post(t, s.URL, "ec2", c.form)
		if code, message := fault(t, text); status != c.status || code != c.code || !strings.Contains(message, c.says) || strings.Contains(text, "burns") || strings.Contains(text, "boom") {
			t.Errorf("%s: %d %s", c.form, status, text)
		}
	}
	for _, want := range []string{"the disk burns", "boom", "the handler returned nothing"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %q", want)
		}
	}
	if strings.Contains(log.String(), secret) {
		t.Error("the log has the secret")
	}
}

func TestRefusesTheWire(t *testing.T) {
	_, s, _ := serve(t)
	form := "Action=DescribeInstances&Version=2016-11-15"
	request := func(method, path, media, body string) *http.Request {
		r, err := http.NewRequest(method, s.URL+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if media != "" {
			r.Header.Set("Content-Type", media)
		}
		return r
	}
	const formMedia = "application/x-www-form-urlencoded"
	for _, c := range []struct {
		what, service string
		r             *http.Request
		body          string
		status        int
		code          string
	}{
		{"no signature", "", request("POST", "/", formMedia, form), form, 403, "MissingAuthenticationToken"},
		{"no signature anywhere else", "", request("GET", "/metrics", "", ""), "", 403, "MissingAuthenticationToken"},
		{"no signature for health by POST", "", request("POST", "/health", "", ""), "", 403, "MissingAuthenticationToken"},
		{"version 2 in the body", "", request("POST", "/", formMedia, form+"&AWSAccessKeyId=x&SignatureVersion=2&Signature=y"), "", 401, "AuthFailure"},
		{"other path", "ec2", request("POST", "/x", formMedia, form), form, 400, "InvalidRequest"},
		{"other method", "ec2", request("PUT", "/", formMedia, form), form, 400, "InvalidRequest"},
		{"json", "ec2", request("POST", "/", "application/json", form), form, 400, "InvalidRequest"},
		{"other service", "s3", request("POST", "/", formMedia, form), form, 401, "AuthFailure"},
		{"wrong hash", "ec2", request("POST", "/", formMedia, form), form + "x", 401, "AuthFailure"},
	} {
		status, text := do(t, c.r, c.service, c.body)
		if code, _ := fault(t, text); status != c.status || code != c.code {
			t.Errorf("%s: %d %s", c.what, status, text)
		}
	}
	status, text := post(t, s.URL, "sts", "Action=GetCallerIdentity&Version=2016-11-15")
	if status != 400 || !strings.Contains(text, "<ErrorResponse") || !strings.Contains(text, "<Code>NoSuchVersion</Code>") {
		t.Error(status, text)
	}
	large := strings.Repeat("a", query.MaxBody+1)
	if status, text := post(t, s.URL, "ec2", large); status != 400 || !strings.Contains(text, "at most 10485760") {
		t.Error(status, text)
	}
	chunked := request("POST", "/", formMedia, "")
	chunked.Body, chunked.ContentLength = io.NopCloser(strings.NewReader(large)), -1
	if status, text := do(t, chunked, "ec2", large); status != 400 || !strings.Contains(text, "larger than 10485760") {
		t.Error(status, text)
	}
}

func TestHealth(t *testing.T) {
	var sick error
	s := httptest.NewServer(api.New(api.Config{Region: "isle-1", Keys: keys{}, Table: api.NewTable(), Health: func(context.Context) error { return sick }}))
	defer s.Close()
	get := func() (int, string) {
		r, _ := http.NewRequest("GET", s.URL+"/health", nil)
		return do(t, r, "", "")
	}
	if status, text := get(); status != 200 || text != "ok\n" {
		t.Error(status, text)
	}
	sick = errors.New("no leader")
	if status, text := get(); status != 503 || text != "no leader\n" {
		t.Error(status, text)
	}
}

// A flood is refused at once, and the door opens again.
func TestFlood(t *testing.T) {
	r, s, _ := serve(t)
	var wg sync.WaitGroup
	answers := make(chan string, api.MaxInFlight+50)
	for range cap(answers) {
		wg.Add(1)
		go func() {
			defer wg.Done()
			_, text := post(t, s.URL, "ec2", "Action=DescribeRegions&Version=2016-11-15")
			code, _ := fault(t, text)
			answers <- code
		}()
	}
	for range 50 { // those beyond the limit are answered while the others wait
		if code := <-answers; code != "RequestLimitExceeded" {
			t.Error(code)
		}
	}
	close(r.block)
	wg.Wait()
	for range api.MaxInFlight {
		if code := <-answers; code != "Unavailable" {
			t.Error(code)
		}
	}
	if status, text := post(t, s.URL, "ec2", "Action=DescribeInstances&Version=2016-11-15"); status != 200 {
		t.Error(status, text)
	}
}

func TestServe(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	r := &region{}
	log := slog.New(slog.DiscardHandler)
	go func() {
		done <- api.Serve(ctx, l, api.New(api.Config{Region: "isle-1", Keys: keys{}, Table: r.table()}), log)
	}()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
	if line, err := bufio.NewReader(c).ReadString('\n'); err != nil || !strings.Contains(line, "200") {
		t.Fatal(line, err)
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestTable(t *testing.T) {
	r := &region{}
	table := r.table()
	missing := table.Missing()
	if all := len(model.Implemented(reply.EC2)) + len(model.Implemented(reply.STS)); len(missing) != all-10 || !slices.Contains(missing, "AllocateAddress") {
		t.Error(len(missing), missing)
	}
	defer func() {
		if p := recover(); p == nil || !strings.Contains(fmt.Sprint(p), "DescribeInstances has two handlers") {
			t.Error(p)
		}
	}()
	api.Handle(table, r.describe)
}

// The stock AWS CLI signs, sends, pages and understands.
func TestStockCLI(t *testing.T) {
	if testing.Short() {
		t.Skip("long: run by make test")
	}
	path, err := exec.LookPath("aws")
	if err != nil {
		t.Skip("the aws command is not installed")
	}
	r, s, _ := serve(t)
	cli := func(t *testing.T, args ...string) (out any, stderr string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), path, append([]string{"--endpoint-url", s.URL, "--region", "isle-1", "--output", "json"}, args...)...)
		cmd.Env = append(cmd.Environ(), "AWS_ACCESS_KEY_ID="+keyID, "AWS_SECRET_ACCESS_KEY="+secret, "AWS_SESSION_TOKEN=", "AWS_PAGER=",
			"AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null", "AWS_MAX_ATTEMPTS=1", "AWS_EC2_METADATA_DISABLED=true")
		var problems bytes.Buffer
		cmd.Stderr = &problems
		text, err := cmd.Output()
		if err == nil && len(text) > 0 {
			if err := json.Unmarshal(text, &out); err != nil {
				t.Errorf("%v: %s", err, text)
			}
		}
		return out, problems.String()
	}
	t.Run("all", func(t *testing.T) {
		t.Run("describe", func(t *testing.T) {
			t.Parallel()
			out, problems := cli(t, "ec2", "describe-instances", "--page-size", "5", "--filters", "Name=tag:Name,Values=web-1*,web-2*",
				"--query", "Reservations[].Instances[].[InstanceId,State.Code,LaunchTime,EbsOptimized,Tags[0].Value]")
			rows, _ := out.([]any)
			if len(rows) != 15 {
				t.Fatal(rows, problems)
			}
			// The time's format differs between the CLI's versions.
			want := regexp.MustCompile(`^\[i-00000000000000001 16 2026-01-02T03:04:05\.006\S+ false web-1 <&> é\]$`)
			if got := fmt.Sprint(rows[0]); !want.MatchString(got) {
				t.Error(got)
			}
		})
		t.Run("run", func(t *testing.T) {
			t.Parallel()
			out, problems := cli(t, "ec2", "run-instances", "--image-id", "ami-01234567", "--count", "2:3", "--instance-type", "sk1.tiny", "--key-name", "tour",
				"--placement", "AvailabilityZone=isle-1b", "--user-data", "#!/bin/sh\necho é", "--security-group-ids", "sg-1", "sg-2", "--client-token", "once",
				"--block-device-mappings", `[{"DeviceName":"/dev/sdb","VirtualName":"ephemeral0"},{"DeviceName":"/dev/sdc","Ebs":{"VolumeSize":8,"DeleteOnTermination":false}}]`,
				"--metadata-options", "HttpTokens=required,HttpPutResponseHopLimit=2", "--tag-specifications", "ResourceType=instance,Tags=[{Key=Name,Value=a b+c%}]",
				"--query", "Instances[].InstanceId")
			if !reflect.DeepEqual(out, []any{"i-01234567"}) {
				t.Fatal(out, problems)
			}
			r.mu.Lock()
			in := r.run
			r.mu.Unlock()
			want := &model.RunInstancesInput{
				ImageId: new("ami-01234567"), MinCount: new(int32(2)), MaxCount: new(int32(3)), InstanceType: new("sk1.tiny"), KeyName: new("tour"),
				Placement: &model.Placement{AvailabilityZone: new("isle-1b")}, UserData: new("IyEvYmluL3NoCmVjaG8gw6k="), SecurityGroupIds: []string{"sg-1", "sg-2"},
				BlockDeviceMappings: []model.BlockDeviceMapping{
					{DeviceName: new("/dev/sdb"), VirtualName: new("ephemeral0")},
					{DeviceName: new("/dev/sdc"), Ebs: &model.EbsBlockDevice{VolumeSize: new(int32(8)), DeleteOnTermination: new(false)}},
				},
				ClientToken: new("once"), MetadataOptions: &model.InstanceMetadataOptionsRequest{HttpTokens: new("required"), HttpPutResponseHopLimit: new(int32(2))},
				TagSpecifications: []model.TagSpecification{{ResourceType: new("instance"), Tags: []model.Tag{{Key: new("Name"), Value: new("a b+c%")}}}},
			}
			if !reflect.DeepEqual(in, want) {
				got, _ := json.Marshal(in)
				t.Errorf("%s", got)
			}
		})
		t.Run("import", func(t *testing.T) {
			t.Parallel()
			_, problems := cli(t, "ec2", "import-key-pair", "--key-name", "k", "--public-key-material", "c3NoLWVkMjU1MTkgQUFBQQ==")
			r.mu.Lock()
			defer r.mu.Unlock()
			// Version 1 of the CLI encodes the text once more, version 2 does not.
			if got := string(r.imported); got != "ssh-ed25519 AAAA" && got != "c3NoLWVkMjU1MTkgQUFBQQ==" {
				t.Errorf("%q %s", got, problems)
			}
		})
		t.Run("identity", func(t *testing.T) {
			t.Parallel()
			out, problems := cli(t, "sts", "get-caller-identity")
			if !reflect.DeepEqual(out, map[string]any{"Account": account, "UserId": account, "Arn": "arn:aws:iam::" + account + ":root"}) {
				t.Error(out, problems)
			}
		})
		t.Run("fault", func(t *testing.T) {
			t.Parallel()
			_, problems := cli(t, "ec2", "create-vpc", "--cidr-block", "10.0.0.0/16")
			if !strings.Contains(problems, "An error occurred (UnsupportedOperation) when calling the CreateVpc operation: The action CreateVpc is known but not implemented in this region.") {
				t.Error(problems)
			}
		})
		t.Run("dry run", func(t *testing.T) {
			t.Parallel()
			_, problems := cli(t, "ec2", "create-tags", "--resources", "i-1", "--tags", "Key=a,Value=", "--dry-run")
			if !strings.Contains(problems, "(DryRunOperation)") {
				t.Error(problems)
			}
		})
	})
}
