package query_test

import (
	"fmt"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"skerry/events"
	"skerry/services/api/model"
	"skerry/services/api/query"
)

// all has a member of every kind.
type all struct {
	Text   *string
	Word   *string
	Yes    *bool
	Small  *int32
	Large  *int64
	Ratio  *float64
	At     *time.Time
	Blob   []byte
	Names  []string
	Words  []string
	Ints   []int32
	Nested *nested
	List   []nested
}

type nested struct {
	Name *string
	Deep []nested
}

func (v *all) DecodeQuery(d *query.Decoder) {
	d.String("Text", &v.Text)
	d.Enum("Word", &v.Word, []string{"red", "blue"})
	d.Bool("Yes", &v.Yes)
	d.Int32("Small", &v.Small)
	d.Int64("Large", &v.Large)
	d.Float64("Ratio", &v.Ratio)
	d.Time("At", &v.At)
	d.Blob("Blob", &v.Blob)
	d.Strings("Name", &v.Names)
	d.Enums("Words", &v.Words, []string{"red", "blue"})
	d.Int32s("Int", &v.Ints)
	query.Struct(d, "Nested", &v.Nested)
	query.List(d, "List", &v.List)
}

func (v *nested) DecodeQuery(d *query.Decoder) {
	d.Require("Name")
	d.String("Name", &v.Name)
	query.List(d, "Deep", &v.Deep)
}

func decode(text string, into query.Value) error {
	f, err := query.Parse(text)
	if err != nil {
		return err
	}
	return f.Decode(into)
}

func TestDecodes(t *testing.T) {
	at := time.Date(2026, 1, 2, 15, 4, 5, 678e6, time.UTC)
	want := all{
		Text: new("a+b c%é&="), Word: new("red"), Yes: new(true), Small: new(int32(-7)), Large: new(int64(1 << 40)),
		Ratio: new(0.5), At: &at, Blob: []byte("\x00\xff"), Names: []string{"one", "", "three"},
		Words: []string{"blue", "red"}, Ints: []int32{5, 4},
		Nested: &nested{Name: new("n")},
		List:   []nested{{Name: new("a"), Deep: []nested{{Name: new("b")}}}, {Name: new("c")}},
	}
	var got all
	// Numbers order the items, whatever holes they leave: 2 < 9 < 10.
	err := decode("Text=a%2Bb+c%25%C3%A9%26%3D&Word=red&Yes=True&Small=-7&Large=1099511627776&Ratio=0.5"+
		"&At=2026-01-02T15%3A04%3A05.678Z&Blob=AP8%3D&Name.10=three&Name.2=one&Name.9=&Words.1=blue&Words.2=red&Int.1=5&Int.3=4"+
		"&Nested.Name=n&List.7.Name=c&List.3.Name=a&List.3.Deep.1.Name=b&&", &got)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}

	got = all{}
	if err := decode("Name=&Nested=&List=", &got); err != nil || !reflect.DeepEqual(got, all{}) {
		t.Errorf("empty: %+v %v", got, err)
	}
	if err := decode("Text=", &got); err != nil || got.Text == nil || *got.Text != "" {
		t.Errorf("empty text: %+v %v", got, err)
	}
}

func TestRefuses(t *testing.T) {
	for _, c := range []struct{ text, code, message string }{
		{"X=1", "UnknownParameter", "The parameter X is not recognized"},
		{"Z=1&Nested.Name=a&Nested.Nam=b&List.1.Name=x", "UnknownParameter", "The parameter Nested.Nam is not recognized"},
		{"Text.1=a", "UnknownParameter", "The parameter Text.1 is not recognized"},
		{"Name=a", "UnknownParameter", "The parameter Name is not recognized: Name is a list, send Name.1=…"},
		{"Nested=a", "UnknownParameter", "The parameter Nested is not recognized: Nested is a structure, send Nested.Member=…"},
		{"List.1=a", "UnknownParameter", "The parameter List.1 is not recognized: it is a structure, send its members"},
		{"Name.1.X=a", "UnknownParameter", "The parameter Name.1.X is not recognized"},
		{"Name.0=a", "UnknownParameter", "The parameter Name.0 is not recognized: the items of Name are numbered from 1"},
		{"Name.01=a", "UnknownParameter", "The parameter Name.01 is not recognized: the items of Name are numbered from 1"},
		{"Name.-1=a", "UnknownParameter", "The parameter Name.-1 is not recognized: the items of Name are numbered from 1"},
		{"Name.12345678901=a", "UnknownParameter", "The parameter Name.12345678901 is not recognized: the items of Name are numbered from 1"},
		{"Nested.Deep=", "MissingParameter", "The request must contain the parameter Nested.Name"},
		{"Nested.Name=", "MissingParameter", "The request must contain the parameter Nested.Name"},
		{"List.2.Name=a&List.2.Deep.5.X=1", "MissingParameter", "The request must contain the parameter List.2.Deep.5.Name"},
		{"Word=green", "InvalidParameterValue", "Value (green) for parameter Word is invalid. Expected one of: red, blue."},
		{"Words.3=green", "InvalidParameterValue", "Value (green) for parameter Words.3 is invalid. Expected one of: red, blue."},
		{"Yes=yes", "InvalidParameterValue", "Value (yes) for parameter Yes is invalid. Expected true or false."},
		{"Small=2147483648", "InvalidParameterValue", "Value (2147483648) for parameter Small is invalid. Expected a whole number of 32 bits."},
		{"Small=", "InvalidParameterValue", "Value () for parameter Small is invalid. Expected a whole number of 32 bits."},
		{"Small=%2B1", "InvalidParameterValue", "Value (+1) for parameter Small is invalid. Expected a whole number of 32 bits."},
		{"Int.2=x", "InvalidParameterValue", "Value (x) for parameter Int.2 is invalid. Expected a whole number of 32 bits."},
		{"Large=1e3", "InvalidParameterValue", "Value (1e3) for parameter Large is invalid. Expected a whole number of 64 bits."},
		{"Ratio=NaN", "InvalidParameterValue", "Value (NaN) for parameter Ratio is invalid. Expected a number."},
		{"At=today", "InvalidParameterValue", "Value (today) for parameter At is invalid. Expected a time such as 2026-01-02T15:04:05.000Z."},
		{"Blob=%3F", "InvalidParameterValue", "Value (?) for parameter Blob is invalid. Expected base64."},
		{"Word=" + strings.Repeat("é", 100), "InvalidParameterValue", "Value (" + strings.Repeat("é", 32) + "…) for parameter Word is invalid. Expected one of: red, blue."},
		{"Text=a&Text=a", "MalformedQueryString", `The parameter "Text" is given more than once.`},
		{"Text=a&Text.1=a", "MalformedQueryString", `The parameter "Text" is given both as a value and as a structure.`},
		{"Name.1.A=a&Name.1=a", "MalformedQueryString", `The parameter "Name.1" is given both as a value and as a structure.`},
		{"Text=%", "MalformedQueryString", `The value of parameter "Text" has a bad percent escape.`},
		{"Text=%4", "MalformedQueryString", `The value of parameter "Text" has a bad percent escape.`},
		{"%gg=1", "MalformedQueryString", `The parameter name "%gg" has a bad percent escape.`},
		{"=1", "MalformedQueryString", `The request has a parameter without a name (value "1").`},
		{"Text=%FF", "MalformedQueryString", `The value of parameter "Text" is not valid UTF-8.`},
		{"T%FFext=1", "MalformedQueryString", "The parameter name \"T\\xffext\" is not valid UTF-8."},
		{"Text=%00", "InvalidCharacter", `The value of parameter "Text" has the character U+0000, which no reply can carry.`},
		{"A..B=1", "MalformedQueryString", `The parameter name "A..B" has an empty part.`},
		{".=1", "MalformedQueryString", `The parameter name "." has an empty part.`},
		{strings.Repeat("a.", 12) + "a=1", "MalformedQueryString", `The parameter "` + strings.Repeat("a.", 12) + `a" is nested deeper than 12 levels.`},
		{strings.Repeat("a", 513) + "=1", "MalformedQueryString", `A parameter name is longer than 512 bytes: it begins with "` + strings.Repeat("a", 64) + `…".`},
	} {
		var v all
		err := decode(c.text, &v)
		f, ok := events.AsFault(err)
		if !ok || f.Code() != c.code || f.Message != c.message {
			t.Errorf("%s:\n got %v\nwant %s: %s", c.text, err, c.code, c.message)
		}
	}
}

func TestLimits(t *testing.T) {
	var b strings.Builder
	for i := range query.MaxItems + 1 {
		fmt.Fprintf(&b, "Name.%d=x&", i+1)
	}
	var v all
	if f, ok := events.AsFault(decode(b.String(), &v)); !ok || f.Code() != "InvalidParameterValue" {
		t.Error("items", f)
	}
	for i := range query.MaxParameters {
		fmt.Fprintf(&b, "X%d=x&", i)
	}
	if f, ok := events.AsFault(decode(b.String(), &v)); !ok || f.Code() != "MalformedQueryString" {
		t.Error("parameters", f)
	}
}

// The names that stock clients send land in the members they mean.
func TestRunInstances(t *testing.T) {
	var in model.RunInstancesInput
	err := decode("ImageId=ami-01234567&MinCount=1&MaxCount=2&SecurityGroupId.1=sg-1&SecurityGroup.1=default"+
		"&BlockDeviceMapping.1.DeviceName=%2Fdev%2Fsdb&BlockDeviceMapping.1.VirtualName=ephemeral0&BlockDeviceMapping.2.Ebs.VolumeSize=8"+
		"&Placement.AvailabilityZone=isle-1a&Monitoring.Enabled=true&InstanceType=sk1.tiny"+
		"&NetworkInterface.1.DeviceIndex=0&NetworkInterface.1.SecurityGroupId.1=sg-2&NetworkInterface.1.PrivateIpAddresses.1.PrivateIpAddress=10.0.0.5"+
		"&TagSpecification.1.ResourceType=instance&TagSpecification.1.Tag.1.Key=Name&TagSpecification.1.Tag.1.Value=web", &in)
	if err != nil {
		t.Fatal(err)
	}
	switch {
	case *in.ImageId != "ami-01234567", *in.MaxCount != 2, in.SecurityGroupIds[0] != "sg-1", in.SecurityGroups[0] != "default",
		*in.BlockDeviceMappings[0].VirtualName != "ephemeral0", *in.BlockDeviceMappings[1].Ebs.VolumeSize != 8,
		*in.Placement.AvailabilityZone != "isle-1a", !*in.Monitoring.Enabled, *in.InstanceType != "sk1.tiny",
		in.NetworkInterfaces[0].Groups[0] != "sg-2", *in.NetworkInterfaces[0].PrivateIpAddresses[0].PrivateIpAddress != "10.0.0.5",
		*in.TagSpecifications[0].Tags[0].Value != "web", in.DryRun != nil:
		t.Errorf("%+v", in)
	}
	if f, ok := events.AsFault(decode("ImageId=ami-1", &in)); !ok || f.Message != "The request must contain the parameter MaxCount" {
		t.Error(f)
	}
}

// No text makes the decoder panic, every refusal is a fault, and a form of
// plain text comes back as it was sent.
func FuzzDecode(f *testing.F) {
	f.Add("ImageId=ami-1&MinCount=1&MaxCount=1&Filter.1.Name=a&Filter.1.Value.2=b", "Name", "x y+%")
	f.Add("Tag.1.Key=a&Tag.1.Key=b&Tag.x=1&.=&%=%", "é", "\x00")
	f.Add("NetworkInterface.1.PrivateIpAddresses.1.Primary=maybe", "", "")
	f.Fuzz(func(t *testing.T, text, key, value string) {
		for _, in := range []query.Value{new(all), new(model.RunInstancesInput), new(model.DescribeInstancesInput), new(model.ModifyInstanceAttributeInput)} {
			if err := decode(text, in); err != nil {
				if _, ok := events.AsFault(err); !ok {
					t.Fatal(err)
				}
			}
		}
		var in model.CreateTagsInput
		err := decode("ResourceId.1=i-1&"+url.Values{"Tag.1.Key": {key}, "Tag.1.Value": {value}}.Encode(), &in)
		if err == nil && (*in.Tags[0].Key != key || *in.Tags[0].Value != value) {
			t.Fatalf("%q=%q came back as %q=%q", key, value, *in.Tags[0].Key, *in.Tags[0].Value)
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	text := "Action=RunInstances&Version=2016-11-15&ImageId=ami-01234567&MinCount=1&MaxCount=2&SecurityGroupId.1=sg-1&BlockDeviceMapping.1.DeviceName=%2Fdev%2Fsdb&BlockDeviceMapping.1.Ebs.VolumeSize=8&Placement.AvailabilityZone=isle-1a&InstanceType=sk1.tiny&TagSpecification.1.ResourceType=instance&TagSpecification.1.Tag.1.Key=Name&TagSpecification.1.Tag.1.Value=web"
	b.ReportAllocs()
	for b.Loop() {
		f, err := query.Parse(text)
		if err != nil {
			b.Fatal(err)
		}
		f.Take("Action")
		f.Take("Version")
		if err := f.Decode(new(model.RunInstancesInput)); err != nil {
			b.Fatal(err)
		}
	}
}
