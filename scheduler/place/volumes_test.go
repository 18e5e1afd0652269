package place

import (
	"testing"

	"skerry/events"
)

func TestVolumes(t *testing.T) {
	s := Stores{{Host: "a", Zone: "z1", FreeGiB: 10}, {Host: "b", Zone: "z1", FreeGiB: 12}, {Host: "c", Zone: "z2", FreeGiB: 99}, {Host: "d", Zone: "z1", FreeGiB: 50, Closed: "lost"}}
	var got []events.HostID
	for _, size := range []int{4, 4, 4, 4, 5, 2} {
		got = append(got, s.Place(7, events.WaitingVolume{Volume: "v", Zone: "z1", SizeGiB: size}).Host)
	}
	want := []events.HostID{"b", "a", "b", "a", "", "b"}
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("%v, want %v", got, want)
		}
	}
	p := s.Place(7, events.WaitingVolume{Volume: "v", Zone: "z1", SizeGiB: 5})
	if p.Host != "" || len(p.Why.Rejected) != 3 || p.Why.Rejected[0].Reason != "2 GiB free, 5 needed" || p.Why.Rejected[2].Reason != "lost" || p.Why.Basis != 7 {
		t.Errorf("%+v", p)
	}
}
