package ec2

import (
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"skerry/events"
)

// user makes a user of alice's with one policy, known to the world by its name.
func (w *world) user(name, document string) {
	w.t.Helper()
	w.act(w.t, alice, events.CreateUser{Name: name})
	w.keys[name] = w.act(w.t, alice, events.CreateAccessKey{User: name})[0].Event.(events.AccessKeyCreated).AccessKey
	if document != "" {
		w.act(w.t, alice, events.PutUserPolicy{User: name, Name: "p", Document: document})
	}
}

const denied = "UnauthorizedOperation"

func TestUsersMayWhatPoliciesAllow(t *testing.T) {
	w := newWorld(t)
	mine, other := w.run(alice)[0], w.run(alice)[0]
	w.ok(alice, "CreateTags", "ResourceId.1", mine, "Tag.1.Key", "team", "Tag.1.Value", "red")
	w.user("nobody", "")
	w.user("reader", `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"ec2:Describe*","Resource":"*"}}`)
	w.user("red", `{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Action":["ec2:RebootInstances","ec2:TerminateInstances"],"Resource":"arn:aws:ec2:isle-1:`+alice+`:instance/*","Condition":{"StringEquals":{"ec2:ResourceTag/team":"red"}}},
		{"Effect":"Deny","Action":"ec2:Terminate*","Resource":"*"}]}`)
	w.user("far", `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"IpAddress":{"aws:SourceIp":"203.0.113.0/24"}}}}`)
	w.user("near", `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"IpAddress":{"aws:SourceIp":"127.0.0.0/8"},"StringEquals":{"ec2:Region":"isle-1"}}}}`)

	w.fails(denied, "nobody", "DescribeInstances")
	w.fails(denied, "nobody", "RunInstances", "ImageId", ami, "MinCount", "1", "MaxCount", "1", "DryRun", "true")
	w.fails(denied, "nobody", "GetConsoleOutput", "InstanceId", mine)
	w.ok("reader", "DescribeInstances")
	w.fails(denied, "reader", "RebootInstances", "InstanceId.1", mine)
	w.ok("red", "RebootInstances", "InstanceId.1", mine)
	w.fails(denied, "red", "RebootInstances", "InstanceId.1", other)
	w.fails(denied, "red", "RebootInstances", "InstanceId.1", mine, "InstanceId.2", other)
	w.fails(denied, "red", "TerminateInstances", "InstanceId.1", mine)
	w.fails(denied, "red", "DescribeInstances")
	w.fails(denied, "far", "DescribeInstances")
	w.ok("near", "DescribeInstances")
	w.fails("DryRunOperation", "near", "RebootInstances", "InstanceId.1", mine, "DryRun", "true")

	// What a user did is told of the user, and another account's things are not there.
	w.ok("near", "CreateTags", "ResourceId.1", mine, "Tag.1.Key", "n", "Tag.1.Value", "1")
	if got := w.records[len(w.records)-1].Actor; got != "arn:aws:iam::"+alice+":user/near" {
		t.Errorf("the last event was made by %s", got)
	}
	theirs := w.run(bob)[0]
	w.fails("InvalidInstanceID.NotFound", "near", "RebootInstances", "InstanceId.1", theirs)
}

func TestIdentityOfUsersAndSessions(t *testing.T) {
	w := newWorld(t)
	w.user("jo", `{"Statement":{"Effect":"Allow","Action":["ec2:DescribeVpcs","sts:GetSessionToken"],"Resource":"*"}}`)
	n := w.ok("jo", "GetCallerIdentity").all("GetCallerIdentityResult")[0]
	if n.text("Arn") != "arn:aws:iam::"+alice+":user/jo" || n.text("Account") != alice || !strings.HasPrefix(n.text("UserId"), "AIDA") {
		t.Errorf("%+v", n)
	}

	n = w.ok("jo", "GetSessionToken", "DurationSeconds", "900").all("GetSessionTokenResult/Credentials")[0]
	session := aws.Credentials{AccessKeyID: n.text("AccessKeyId"), SecretAccessKey: n.text("SecretAccessKey"), SessionToken: n.text("SessionToken")}
	ends, err := time.Parse(time.RFC3339, n.text("Expiration"))
	if left := time.Until(ends); err != nil || left < 14*time.Minute || left > 15*time.Minute || !strings.HasPrefix(session.AccessKeyID, "ASIA") {
		t.Errorf("%+v: %v", n, err)
	}
	code := func(who aws.Credentials, action string) string {
		t.Helper()
		_, text := w.callAs(who, action)
		return w.parse(text).text("Errors/Error/Code") + w.parse(text).text("Error/Code")
	}
	if got := code(session, "DescribeVpcs"); got != "" {
		t.Error(got)
	}
	if got := code(session, "DescribeSubnets"); got != denied {
		t.Error(got)
	}
	if got := code(session, "GetSessionToken"); got != "AccessDenied" {
		t.Error(got)
	}
	bare := session
	bare.SessionToken = ""
	forged := session
	other := "A"
	if strings.HasPrefix(session.SessionToken, other) {
		other = "B"
	}
	forged.SessionToken = other + session.SessionToken[1:]
	lasting := aws.Credentials{AccessKeyID: w.keys["jo"], SecretAccessKey: w.key.Secret(w.keys["jo"]), SessionToken: session.SessionToken}
	for _, who := range []aws.Credentials{bare, forged, lasting} {
		if got := code(who, "DescribeVpcs"); got != "AuthFailure" {
			t.Errorf("%+v: %q", who, got)
		}
	}
	// A session ends with the key that asked for it.
	w.act(t, alice, events.DeleteAccessKey{User: "jo", AccessKey: w.keys["jo"]})
	if got := code(session, "DescribeVpcs"); got != "AuthFailure" {
		t.Error(got)
	}
	if _, text := w.call(alice, "GetSessionToken", "DurationSeconds", "10"); w.parse(text).text("Error/Code") != "ValidationError" {
		t.Error(text)
	}
}
