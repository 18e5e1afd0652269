package model

import (
	"encoding/xml"
	"math/rand/v2"
	"os/exec"
	"reflect"
	"strings"
	"testing"
	"time"

	"skerry/services/api/reply"
)

// fill sets members at random; now and then it leaves one out.
func fill(v reflect.Value, r *rand.Rand, depth int) {
	switch v.Kind() {
	case reflect.Pointer:
		if depth > 0 && r.IntN(4) == 0 {
			return
		}
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), r, depth+1)
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(time.UnixMilli(r.Int64N(4e12)).UTC()))
			return
		}
		for i := range v.NumField() {
			fill(v.Field(i), r, depth+1)
		}
	case reflect.Slice:
		for range r.IntN(3) {
			e := reflect.New(v.Type().Elem()).Elem()
			fill(e, r, depth+1)
			v.Set(reflect.Append(v, e))
		}
	case reflect.String:
		words := []string{"web-1", "", " a  b ", "<&>\"'", "é漢字🙂", "line\nline\ttab\rreturn", "]]>", "\u0085\u2028"}
		v.SetString(words[r.IntN(len(words))])
	case reflect.Bool:
		v.SetBool(r.IntN(2) == 0)
	case reflect.Int32:
		v.SetInt(int64(int32(r.Uint32())))
	case reflect.Int64:
		v.SetInt(int64(r.Uint64()))
	case reflect.Float64:
		v.SetFloat(float64(r.IntN(1e6)) / 8)
	default:
		panic(v.Type())
	}
}

// What AppendXML writes, encoding/xml reads back by the tags of the shapes,
// which come from the same models but take another path.
func TestRoundTrip(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for action, make := range outputs {
		for range 20 {
			out := make()
			fill(reflect.ValueOf(out).Elem(), r, 0)
			text := reply.Result(nil, reply.EC2, action, "2016-11-15", "req", out)
			back := make()
			if err := xml.Unmarshal(text, back); err != nil {
				t.Fatalf("%s: %v\n%s", action, err, text)
			}
			if !reflect.DeepEqual(out, back) {
				t.Fatalf("%s: came back otherwise from\n%s", action, text)
			}
		}
	}
}

// The lists at the top of a describe are there even when nothing is listed.
func TestEmptyLists(t *testing.T) {
	got := string(new(DescribeInstancesOutput).AppendXML(nil))
	if got != "<reservationSet/>" {
		t.Error(got)
	}
	got = string(new(RunInstancesOutput).AppendXML(nil))
	if got != "" {
		t.Error(got)
	}
	got = string(new(CreateTagsOutput).AppendXML(nil))
	if got != "<return>true</return>" {
		t.Error(got)
	}
}

func TestNames(t *testing.T) {
	if n := len(actions[reply.EC2]); n != 625 {
		t.Errorf("EC2 has %d actions", n)
	}
	if !Known(reply.EC2, "CreateVpc") || Known(reply.EC2, "GetCallerIdentity") || !Known(reply.STS, "GetCallerIdentity") || Known(reply.EC2, "Describe") {
		t.Error("known")
	}
}

// The generated files are what modelgen writes today.
func TestGenerated(t *testing.T) {
	if testing.Short() {
		t.Skip("long: run by make test")
	}
	dir := t.TempDir()
	out, err := exec.Command("go", "run", "../modelgen", "-out", dir).CombinedOutput()
	if err != nil {
		if strings.Contains(string(out), "fetch ") {
			t.Skipf("the model's module is not to be had: %s", out)
		}
		t.Fatalf("%v: %s", err, out)
	}
	for _, name := range []string{"shapes_gen.go", "decode_gen.go", "encode_gen.go", "actions_gen.go", "outputs_gen_test.go"} {
		if out, err := exec.Command("cmp", name, dir+"/"+name).CombinedOutput(); err != nil {
			t.Errorf("run go generate: %s", out)
		}
	}
}

// thousand is a region's worth of instances as a describe shows them.
func thousand() *DescribeInstancesOutput {
	out := new(DescribeInstancesOutput)
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for range 1000 {
		out.Reservations = append(out.Reservations, Reservation{
			ReservationId: new("r-0123456789abcdef0"), OwnerId: new("123456789012"), Groups: []GroupIdentifier{},
			Instances: []Instance{{
				InstanceId: new("i-0123456789abcdef0"), ImageId: new("ami-0123456789abcdef0"), InstanceType: new("t3.micro"),
				State: &InstanceState{Code: new(int32(16)), Name: new("running")}, LaunchTime: &at, KeyName: new("tour"),
				PrivateDnsName: new("ip-172-31-0-10.isle-1.compute.internal"), PrivateIpAddress: new("172.31.0.10"),
				SubnetId: new("subnet-0123456789abcdef0"), VpcId: new("vpc-0123456789abcdef0"), Architecture: new("x86_64"),
				AmiLaunchIndex: new(int32(0)), Hypervisor: new("xen"), VirtualizationType: new("hvm"), EbsOptimized: new(false),
				RootDeviceName: new("/dev/xvda"), RootDeviceType: new("instance-store"), SourceDestCheck: new(true), ClientToken: new(""),
				Monitoring: &Monitoring{State: new("disabled")}, Placement: &Placement{AvailabilityZone: new("isle-1a"), Tenancy: new("default"), GroupName: new("")},
				SecurityGroups: []GroupIdentifier{{GroupId: new("sg-0123456789abcdef0"), GroupName: new("default")}},
				Tags:           []Tag{{Key: new("Name"), Value: new("web & more")}, {Key: new("Stack"), Value: new("prod")}},
				NetworkInterfaces: []InstanceNetworkInterface{{
					NetworkInterfaceId: new("eni-0123456789abcdef0"), MacAddress: new("0a:00:00:00:00:01"), Status: new("in-use"),
					Attachment: &InstanceNetworkInterfaceAttachment{AttachTime: &at, AttachmentId: new("eni-attach-01234567"), DeviceIndex: new(int32(0)), Status: new("attached")},
				}},
				MetadataOptions: &InstanceMetadataOptionsResponse{State: new("applied"), HttpTokens: new("optional"), HttpPutResponseHopLimit: new(int32(1)), HttpEndpoint: new("enabled")},
			}},
		})
	}
	return out
}

func BenchmarkEncodeThousand(b *testing.B) {
	out := thousand()
	b.Run("ours", func(b *testing.B) {
		b.ReportAllocs()
		var buf []byte
		for b.Loop() {
			buf = reply.Result(buf[:0], reply.EC2, "DescribeInstances", "2016-11-15", "req", out)
		}
		b.SetBytes(int64(len(buf)))
	})
	b.Run("encoding-xml", func(b *testing.B) {
		b.ReportAllocs()
		var n int64
		for b.Loop() {
			text, err := xml.Marshal(out)
			if err != nil {
				b.Fatal(err)
			}
			n = int64(len(text))
		}
		b.SetBytes(n)
	})
}
