package policy

import (
	"strings"
	"testing"
)

func TestEvaluate(t *testing.T) {
	const arn = "arn:aws:ec2:isle-1:111111111111:instance/i-0123456789abcdef0"
	keys := map[string][]string{"ec2:region": {"isle-1"}, "aws:sourceip": {"10.1.2.3"}, "ec2:resourcetag/team": {"red"}}
	one := func(s string) string { return `{"Version":"2012-10-17","Statement":` + s + `}` }
	for doc, want := range map[string]Verdict{
		one(`{"Effect":"Allow","Action":"*","Resource":"*"}`):                                                                          Allowed,
		one(`[{"Effect":"Allow","Action":"ec2:reboot*","Resource":"*"}]`):                                                              Allowed,
		one(`{"Effect":"Allow","Action":"ec2:Describe*","Resource":"*"}`):                                                              Unsaid,
		one(`{"Effect":"Allow","NotAction":"ec2:RunInstances","Resource":"*"}`):                                                        Allowed,
		one(`{"Effect":"Allow","NotAction":"ec2:*","Resource":"*"}`):                                                                   Unsaid,
		one(`{"Effect":"Allow","Action":"ec2:*","Resource":"arn:aws:ec2:*:*:instance/i-0*"}`):                                          Allowed,
		one(`{"Effect":"Allow","Action":"ec2:*","Resource":"arn:aws:ec2:*:*:volume/*"}`):                                               Unsaid,
		one(`{"Effect":"Allow","Action":"ec2:*","NotResource":"arn:aws:ec2:*:*:volume/*"}`):                                            Allowed,
		one(`[{"Effect":"Allow","Action":"*","Resource":"*"},{"Effect":"Deny","Action":"ec2:R*","Resource":"*"}]`):                     Denied,
		one(`{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"StringEquals":{"ec2:Region":["isle-2","isle-1"]}}}`):          Allowed,
		one(`{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"StringEquals":{"ec2:Region":"isle-2"}}}`):                     Unsaid,
		one(`{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"StringNotEquals":{"ec2:Region":"isle-2"}}}`):                  Allowed,
		one(`{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"StringNotEquals":{"ec2:Region":["isle-2","isle-1"]}}}`):       Unsaid,
		one(`{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}}}`):                  Allowed,
		one(`{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"NotIpAddress":{"aws:SourceIp":["10.0.0.0/8","1.2.3.4"]}}}`):   Unsaid,
		one(`{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"StringLike":{"ec2:ResourceTag/Team":"r?d"}}}`):                Allowed,
		one(`{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"StringEquals":{"ec2:ResourceTag/none":"x"}}}`):                Unsaid,
		one(`{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"StringEqualsIfExists":{"ec2:ResourceTag/none":"x"}}}`):        Allowed,
		one(`{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"Null":{"ec2:ResourceTag/team":false}}}`):                      Allowed,
		one(`{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"Null":{"ec2:ResourceTag/team":"true"}}}`):                     Unsaid,
		one(`{"Effect":"Deny","Action":"*","Resource":"*","Condition":{"StringNotEquals":{"ec2:ResourceTag/none":"x"}}}`):              Denied,
		one(`{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"StringEquals":{"ec2:Region":"isle-1","aws:username":"jo"}}}`): Unsaid,
	} {
		p, err := Parse(doc)
		if err != nil {
			t.Errorf("%s: %v", doc, err)
			continue
		}
		if got := Evaluate([]*Policy{p}, Request{"ec2:RebootInstances", arn, keys}); got != want {
			t.Errorf("%s: %v, want %v", doc, got, want)
		}
	}
	if Evaluate(nil, Request{Action: "ec2:RunInstances", Resource: "*"}) != Unsaid {
		t.Error("no policy says something")
	}
}

func TestParseRefuses(t *testing.T) {
	for doc, want := range map[string]string{
		``:                 "EOF",
		`{}`:               "no Statement",
		`{"Statement":[]}`: "0 statements",
		`{"Version":"2020-01-01","Statement":{}}`:                                                                               "Version",
		`{"Statement":{"Effect":"Perhaps","Action":"*","Resource":"*"}}`:                                                        "Effect",
		`{"Statement":{"Effect":"Allow","Resource":"*"}}`:                                                                       "no Action",
		`{"Statement":{"Effect":"Allow","Action":"*"}}`:                                                                         "no Resource",
		`{"Statement":{"Effect":"Allow","Action":"*","NotAction":"*","Resource":"*"}}`:                                          "both Action",
		`{"Statement":{"Effect":"Allow","Action":"Run","Resource":"*"}}`:                                                        "SERVICE:ACTION",
		`{"Statement":{"Effect":"Allow","Action":"*","Resource":"i-1"}}`:                                                        "ARN",
		`{"Statement":{"Effect":"Allow","Action":"*","Resource":"*","Principal":"*"}}`:                                          "Principal",
		`{"Statement":{"Effect":"Allow","Action":"*","Resource":"arn:aws:s3:::${aws:username}"}}`:                               "variables",
		`{"Statement":{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"DateLessThan":{"aws:CurrentTime":"x"}}}}`:     "DateLessThan",
		`{"Statement":{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"Bool":{"aws:MultiFactorAuthPresent":true}}}}`: "MultiFactor",
		`{"Statement":{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"IpAddress":{"aws:SourceIp":"home"}}}}`:        "not an address",
		`{"Statement":{"Effect":"Allow","Action":"*","Resource":"*"}} x`:                                                        "behind",
		strings.Repeat(" ", MaxBytes+1):                                                                                         "at most",
	} {
		if _, err := Parse(doc); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", doc, err, want)
		}
	}
}

// Whatever is read can be evaluated, and what is allowed is not allowed any more
// behind a denial of everything.
func FuzzParse(f *testing.F) {
	f.Add(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["ec2:*"],"Resource":"arn:aws:ec2:*:*:*/*","Condition":{"StringLike":{"ec2:ResourceTag/a":"*b?"}}}]}`, "ec2:RunInstances", "arn:aws:ec2:isle-1:1:instance/i-1")
	f.Add(`{"Statement":{"Effect":"Deny","NotAction":"*","NotResource":"*","Condition":{"Null":{"aws:username":"true"},"NotIpAddress":{"aws:SourceIp":"::/0"}}}}`, "x", "*")
	all, err := Parse(`{"Statement":{"Effect":"Deny","Action":"*","Resource":"*"}}`)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, doc, action, resource string) {
		p, err := Parse(doc)
		if err != nil {
			return
		}
		r := Request{action, resource, map[string][]string{"aws:sourceip": {"10.0.0.1"}, "aws:username": {action}}}
		Evaluate([]*Policy{p}, r)
		if Evaluate([]*Policy{p, all}, r) != Denied {
			t.Errorf("%s allows what is denied", doc)
		}
	})
}
