package tags

import (
	"reflect"
	"testing"

	"skerry/events"
	"skerry/services/api/model"
)

func TestSpecs(t *testing.T) {
	tag := func(k, v string) model.Tag { return model.Tag{Key: &k, Value: &v} }
	spec := func(kind string, tags ...model.Tag) model.TagSpecification {
		return model.TagSpecification{ResourceType: &kind, Tags: tags}
	}
	got, err := Specs([]model.TagSpecification{spec("instance", tag("Name", "web"), model.Tag{Key: new("x")}), spec("volume", tag("a", "b"))}, "instance", "volume")
	want := map[string][]events.Tag{"instance": {{Key: "Name", Value: "web"}, {Key: "x"}}, "volume": {{Key: "a", Value: "b"}}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Error(got, err)
	}
	for _, c := range []struct {
		specs []model.TagSpecification
		code  string
	}{
		{[]model.TagSpecification{{Tags: []model.Tag{tag("a", "b")}}}, "MissingParameter"},
		{[]model.TagSpecification{spec("vpc", tag("a", "b"))}, "InvalidParameterValue"},
		{[]model.TagSpecification{spec("instance")}, "InvalidParameterValue"},
		{[]model.TagSpecification{spec("instance", tag("a", "b")), spec("instance", tag("c", "d"))}, "InvalidParameterValue"},
		{[]model.TagSpecification{spec("instance", tag("a", "b"), tag("a", "d"))}, "InvalidParameterValue"},
		{[]model.TagSpecification{spec("instance", model.Tag{Value: new("v")})}, "MissingParameter"},
	} {
		_, err := Specs(c.specs, "instance")
		if f, ok := events.AsFault(err); !ok || f.Code() != c.code {
			t.Errorf("%+v: %v", c.specs, err)
		}
	}
	back := Write(want["instance"])
	again, err := Read(back)
	if err != nil || !reflect.DeepEqual(again, want["instance"]) {
		t.Error(again, err)
	}
	if m := Map(again); m["Name"] != "web" || len(m) != 2 {
		t.Error(m)
	}
}
