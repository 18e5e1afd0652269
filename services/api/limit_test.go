package api_test

import (
	"testing"
	"testing/synctest"
	"time"

	"skerry/events"
	"skerry/services/api"
)

// Each account and action has a bucket of its own, which fills again with time.
func TestLimiter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &api.Limiter{Factor: 0.01} // 5 writes at once, then one in two seconds
		run := &api.Call{Account: "1", Action: "RunInstances"}
		for i := range 5 {
			if err := l.Take(run); err != nil {
				t.Fatal(i, err)
			}
		}
		if f, ok := events.AsFault(l.Take(run)); !ok || f.Code() != "RequestLimitExceeded" {
			t.Error(f)
		}
		for _, c := range []*api.Call{{Account: "2", Action: "RunInstances"}, {Account: "1", Action: "StopInstances"}, {Account: "1", Action: "DescribeInstances"}} {
			if err := l.Take(c); err != nil {
				t.Error(c, err)
			}
		}
		time.Sleep(2 * time.Second)
		if err := l.Take(run); err != nil {
			t.Error(err)
		}
		if l.Take(run) == nil {
			t.Error("one token came twice")
		}
	})
	var none *api.Limiter
	if err := none.Take(&api.Call{}); err != nil {
		t.Error(err)
	}
}
