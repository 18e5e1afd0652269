package ec2

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"skerry/events"
)

const lookUp = "com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101.LookupEvents"

// trailed is a reply of LookupEvents, or an error of the JSON protocol.
type trailed struct {
	Events []struct {
		EventId, EventName, ReadOnly, AccessKeyId, EventSource, Username, CloudTrailEvent string
		EventTime                                                                         int64
		Resources                                                                         []struct{ ResourceType, ResourceName string }
	}
	NextToken string
	Type      string `json:"__type"`
	Message   string
}

func (r trailed) names() string {
	var out []string
	for _, e := range r.Events {
		out = append(out, e.EventName)
	}
	return strings.Join(out, " ")
}

// trail sends a signed request of the JSON protocol.
func (w *world) trail(who aws.Credentials, target, media, body string) (int, trailed) {
	w.t.Helper()
	r, err := http.NewRequest("POST", w.url, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header.Set("Content-Type", media)
	r.Header.Set("X-Amz-Target", target)
	if who.AccessKeyID != "" {
		sum := sha256.Sum256([]byte(body))
		if err := v4.NewSigner().SignHTTP(context.Background(), who, r, hex.EncodeToString(sum[:]), "cloudtrail", "isle-1", time.Now()); err != nil {
			w.t.Fatal(err)
		}
	}
	reply, err := http.DefaultClient.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer reply.Body.Close()
	text, err := io.ReadAll(reply.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	var out trailed
	if err := json.Unmarshal(text, &out); err != nil || reply.Header.Get("Content-Type") != "application/x-amz-json-1.1" || reply.Header.Get("X-Amzn-Requestid") == "" {
		w.t.Fatalf("%d %v %s: %v", reply.StatusCode, reply.Header, text, err)
	}
	return reply.StatusCode, out
}

// signer is who an access key is known under.
func (w *world) signer(account string) aws.Credentials {
	return aws.Credentials{AccessKeyID: w.keys[account], SecretAccessKey: w.key.Secret(w.keys[account])}
}

func (w *world) lookup(account, body string) trailed {
	w.t.Helper()
	status, out := w.trail(w.signer(account), lookUp, "application/x-amz-json-1.1", body)
	if status != 200 {
		w.t.Fatalf("%s: %d %s %s", body, status, out.Type, out.Message)
	}
	return out
}

// Every call that changed something is an event of its own account, with who
// called, from where, and what it touched.
func TestLookupEvents(t *testing.T) {
	w := newWorld(t)
	vpc := w.ok(alice, "CreateVpc", "CidrBlock", "10.9.0.0/16").text("vpc/vpcId")
	w.ok(alice, "DescribeVpcs")
	w.fails("InvalidVpc.Range", alice, "CreateVpc", "CidrBlock", "10.9.0.0/8")
	w.ok(bob, "CreateVpc", "CidrBlock", "10.8.0.0/16")
	id := w.run(alice, "UserData", encode("a secret"), "MaxCount", "2")[0]
	w.place(t)
	w.report(t, id, events.PhaseRunning)
	w.ok(alice, "DeleteVpc", "VpcId", vpc)

	got := w.lookup(alice, `{}`)
	if got.names() != "DeleteVpc RunInstances CreateVpc" || got.NextToken != "" {
		t.Fatalf("%+v", got)
	}
	e := got.Events[2]
	if e.Username != "root" || e.ReadOnly != "false" || e.AccessKeyId != w.keys[alice] || e.EventSource != "ec2.amazonaws.com" {
		t.Errorf("%+v", e)
	}
	var d struct {
		EventVersion, EventTime, EventSource, EventName, AwsRegion, SourceIPAddress, UserAgent, RequestID, EventID, EventType, RecipientAccountId string
		UserIdentity                                                                                                                              struct{ Type, Arn, AccountId, AccessKeyId string }
		RequestParameters                                                                                                                         map[string]string
		AdditionalEventData                                                                                                                       struct{ Events []string }
	}
	if err := json.Unmarshal([]byte(e.CloudTrailEvent), &d); err != nil || d.EventID != e.EventId || d.EventName != "CreateVpc" || d.AwsRegion != "isle-1" ||
		d.SourceIPAddress != "127.0.0.1" || !strings.HasPrefix(d.UserAgent, "Go-http-client") || d.RequestID == "" || d.RecipientAccountId != alice ||
		d.EventTime != time.Unix(e.EventTime, 0).UTC().Format(time.RFC3339) || d.UserIdentity.Type != "Root" || d.UserIdentity.Arn != "arn:aws:iam::"+alice+":root" ||
		d.UserIdentity.AccessKeyId != w.keys[alice] || d.RequestParameters["cidrBlock"] != "10.9.0.0/16" || len(d.RequestParameters) != 1 ||
		d.AdditionalEventData.Events[0] != "VPCCreated" {
		t.Errorf("%v %+v", err, d)
	}
	if text := got.Events[1].CloudTrailEvent; strings.Contains(text, encode("a secret")) || !strings.Contains(text, `"userData":"\u003csensitiveDataRemoved\u003e"`) {
		t.Error(text)
	}
	kinds := map[string]int{}
	for _, r := range got.Events[1].Resources {
		kinds[r.ResourceType]++
	}
	if kinds["AWS::EC2::Instance"] != 2 || kinds["AWS::EC2::NetworkInterface"] != 2 || kinds["AWS::EC2::Ami"] == 0 || kinds["AWS::EC2::Subnet"] == 0 {
		t.Errorf("%v", kinds)
	}
	if got := w.lookup(bob, `{}`); got.names() != "CreateVpc" {
		t.Errorf("%+v", got)
	}

	at := func(name, value string) string {
		return w.lookup(alice, `{"LookupAttributes":[{"AttributeKey":"`+name+`","AttributeValue":"`+value+`"}]}`).names()
	}
	for _, c := range [][3]string{
		{"EventId", e.EventId, "CreateVpc"},
		{"EventId", w.lookup(bob, `{}`).Events[0].EventId, ""},
		{"EventId", "nonsense", ""},
		{"EventName", "RunInstances", "RunInstances"},
		{"EventName", "DescribeVpcs", ""},
		{"ReadOnly", "true", ""},
		{"ReadOnly", "false", "DeleteVpc RunInstances CreateVpc"},
		{"Username", "root", "DeleteVpc RunInstances CreateVpc"},
		{"Username", "jo", ""},
		{"ResourceType", "AWS::EC2::Instance", "RunInstances"},
		{"ResourceType", "AWS::EC2::VPC", "DeleteVpc RunInstances CreateVpc"},
		{"ResourceName", vpc, "DeleteVpc CreateVpc"},
		{"ResourceName", id, "RunInstances"},
		{"ResourceName", ami, "RunInstances"},
		{"EventSource", "ec2.amazonaws.com", "DeleteVpc RunInstances CreateVpc"},
		{"EventSource", "s3.amazonaws.com", ""},
		{"AccessKeyId", w.keys[alice], "DeleteVpc RunInstances CreateVpc"},
		{"AccessKeyId", w.keys[bob], ""},
	} {
		if got := at(c[0], c[1]); got != c[2] {
			t.Errorf("%s %s: %q", c[0], c[1], got)
		}
	}
}

// A user looks up with a policy of CloudTrail's own words; the event tells the user.
func TestLookupEventsOfUser(t *testing.T) {
	w := newWorld(t)
	w.user("jo", `{"Statement": {"Effect": "Allow", "Action": ["ec2:CreateVpc", "cloudtrail:Lookup*"], "Resource": "*"}}`)
	w.user("al", `{"Statement": {"Effect": "Allow", "Action": "ec2:*", "Resource": "*"}}`)
	jo, al := w.signer("jo"), w.signer("al")
	w.ok("jo", "CreateVpc", "CidrBlock", "10.9.0.0/16")
	status, got := w.trail(jo, lookUp, "application/x-amz-json-1.1", `{"LookupAttributes":[{"AttributeKey":"Username","AttributeValue":"jo"}]}`)
	if status != 200 || got.names() != "CreateVpc" || got.Events[0].Username != "jo" || !strings.Contains(got.Events[0].CloudTrailEvent, `"type":"IAMUser"`) || !strings.Contains(got.Events[0].CloudTrailEvent, `"userName":"jo"`) {
		t.Errorf("%d %+v", status, got)
	}
	if status, got := w.trail(al, lookUp, "application/x-amz-json-1.1", `{}`); status != 400 || got.Type != "AccessDeniedException" || !strings.Contains(got.Message, "cloudtrail:LookupEvents") {
		t.Errorf("%d %+v", status, got)
	}
}

// What the JSON protocol refuses it refuses in its own words.
func TestLookupEventsRefused(t *testing.T) {
	w := newWorld(t)
	me, media := w.signer(alice), "application/x-amz-json-1.1"
	wrong := me
	wrong.SecretAccessKey = "another"
	stranger := me
	stranger.AccessKeyID = "AKIA0000000000000000"
	for _, c := range []struct {
		who                       aws.Credentials
		target, media, body, want string
	}{
		{aws.Credentials{}, lookUp, media, `{}`, "MissingAuthenticationTokenException"},
		{wrong, lookUp, media, `{}`, "InvalidSignatureException"},
		{stranger, lookUp, media, `{}`, "UnrecognizedClientException"},
		{me, strings.TrimSuffix(lookUp, "LookupEvents") + "CreateTrail", media, `{}`, "UnknownOperationException"},
		{me, "Other_20131101.LookupEvents", media, `{}`, "UnknownOperationException"},
		{me, "LookupEvents", media, `{}`, "UnknownOperationException"},
		{me, "", media, `{}`, "UnknownOperationException"},
		{me, lookUp, "application/x-www-form-urlencoded", `{}`, "SerializationException"},
		{me, lookUp, media, `{"NextToken":"x"}`, "InvalidNextTokenException"},
		{me, lookUp, media, `{"MaxResults":51}`, "InvalidMaxResultsException"},
	} {
		if status, got := w.trail(c.who, c.target, c.media, c.body); status != 400 || got.Type != c.want || got.Message == "" {
			t.Errorf("%s %s: want %s, got %d %s %s", c.target, c.body, c.want, status, got.Type, got.Message)
		}
	}
	if status, got := w.trail(me, "CloudTrail_20131101.LookupEvents", media, ``); status != 200 || got.Type != "" {
		t.Errorf("%d %+v", status, got)
	}
	throttled := 0
	for range 40 {
		if _, got := w.trail(me, lookUp, media, `{}`); got.Type == "ThrottlingException" {
			throttled++
		}
	}
	if throttled == 0 {
		t.Error("nothing was throttled")
	}
}

// The stock CLI looks up, pages, and prints what it understood.
func TestTrailByCLI(t *testing.T) {
	if testing.Short() {
		t.Skip("long: run by make test")
	}
	path, err := exec.LookPath("aws")
	if err != nil {
		t.Skip("the aws command is not installed")
	}
	t.Parallel() // each call starts an interpreter
	w := newWorld(t)
	cli := w.cli(path)
	began := w.now
	vpc := cli("ec2", "create-vpc", "--cidr-block", "10.9.0.0/16", "--query", "Vpc.VpcId")
	id := cli("ec2", "run-instances", "--image-id", ami, "--query", "Instances[].InstanceId")
	group := cli("ec2", "create-security-group", "--group-name", "web", "--description", "mine", "--vpc-id", vpc, "--query", "GroupId")
	cli("ec2", "delete-security-group", "--group-id", group)
	cli("ec2", "delete-vpc", "--vpc-id", vpc)
	const all = `DeleteVpc\tDeleteSecurityGroup\tCreateSecurityGroup\tRunInstances\tCreateVpc`
	for _, c := range []step{
		{[]string{"--query", "Events[].EventName"}, all},
		{[]string{"--page-size", "2", "--query", "Events[].EventName"}, strings.NewReplacer(`Group\tCreate`, `Group\nCreate`, `Instances\t`, `Instances\n`).Replace(all)},
		{[]string{"--max-items", "1", "--query", "Events[].[EventName,Username,EventSource,ReadOnly,AccessKeyId]"}, `DeleteVpc\troot\tec2.amazonaws.com\tfalse\t` + w.keys[alice] + `(\n.*)?`},
		{[]string{"--lookup-attributes", "AttributeKey=ResourceName,AttributeValue=" + id, "--query", "Events[].EventName"}, `RunInstances`},
		{[]string{"--lookup-attributes", "AttributeKey=ResourceName,AttributeValue=" + vpc, "--query", "Events[].EventName"}, `DeleteVpc\tDeleteSecurityGroup\tCreateSecurityGroup\tCreateVpc`},
		{[]string{"--lookup-attributes", "AttributeKey=ResourceName,AttributeValue=" + group, "--query", "Events[0].Resources[?ResourceType=='AWS::EC2::SecurityGroup'].ResourceName"}, group},
		{[]string{"--lookup-attributes", "AttributeKey=EventName,AttributeValue=CreateVpc", "--query", "Events[0].CloudTrailEvent"}, `\{"eventVersion":.*"userAgent":"aws-cli/.*"cidrBlock":"10\.9\.0\.0/16".*`},
		{[]string{"--lookup-attributes", "AttributeKey=ReadOnly,AttributeValue=true", "--query", "length(Events)"}, `0`},
		{[]string{"--start-time", began.Format(time.RFC3339), "--query", "length(Events)"}, `5`},
		{[]string{"--end-time", began.Add(-time.Hour).Format(time.RFC3339), "--query", "length(Events)"}, `0`},
		{[]string{"--start-time", "2026-11-21", "--end-time", "2026-11-20"}, `.*\(InvalidTimeRangeException\).*`},
		{[]string{"--lookup-attributes", "AttributeKey=EventName,AttributeValue=a", "AttributeKey=EventName,AttributeValue=b"}, `.*\(InvalidLookupAttributesException\).*`},
		{[]string{"--max-results", "51"}, `.*(InvalidMaxResultsException|valid max value: 50).*`},
		{[]string{"--no-paginate", "--next-token", "forged"}, `.*\(InvalidNextTokenException\).*`},
	} {
		if got := cli(append([]string{"cloudtrail", "lookup-events"}, c.args...)...); !regexp.MustCompile(`^(?s:` + c.want + `)$`).MatchString(got) {
			t.Errorf("%v: %q", c.args, got)
		}
	}
}
