package bench

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"skerry/events"
	"skerry/events/bus"
	"skerry/services/server"
)

// lead waits for the leader of a formed region.
func lead(zones []*server.Server) *server.Server {
	for {
		for _, z := range zones {
			if z.Door.Voter.Leading() && z.Door.Voter.View().Meta.Region != "" {
				return z
			}
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// BenchmarkOverload: what the leader's door acknowledges when four times as many
// commands come as it can take, each with a second to live, against what it
// acknowledges at its best, in the same run.
func BenchmarkOverload(b *testing.B) {
	leader := lead(region(b))
	ctx := b.Context()
	reply, err := leader.Door.Do(ctx, bus.NewStamp("bench"), events.CreateAccount{Name: "bench"})
	if err != nil {
		b.Fatal(err)
	}
	account := reply.Events[0].Event.(events.AccountCreated).ID
	vpc := string(reply.Events[1].Event.(events.VPCCreated).ID)
	command := func(ctx context.Context, id, n int) error {
		s := bus.NewStamp("bench")
		s.Account = account
		_, err := leader.Door.Do(ctx, s, events.TagResources{Resources: []string{vpc}, Tags: []events.Tag{{Key: fmt.Sprintf("client-%d", id%32), Value: fmt.Sprint(n)}}})
		return err
	}
	for b.Loop() {
		peak := 0.0
		for _, callers := range []int{clients, 8 * clients} {
			rate, _, err := load(callers, func(id, n int) error { return command(ctx, id, n) })
			if err != nil {
				b.Fatal(err)
			}
			peak = max(peak, rate)
		}
		var done, refused, late atomic.Int64
		var slowest atomic.Int64 // refusal, in ns
		var wg sync.WaitGroup
		const factor = 4
		began := time.Now()
		sent := 0
		for time.Since(began) < measure {
			// As many as are due by now: a generator that was late catches up.
			for due := int(factor * peak * time.Since(began).Seconds()); sent < due; sent++ {
				n := sent
				wg.Go(func() {
					at := time.Now()
					ctx, cancel := context.WithTimeout(ctx, time.Second)
					defer cancel()
					err := command(ctx, n, n)
					f, fault := events.AsFault(err)
					switch {
					case err == nil && time.Since(began) < measure:
						done.Add(1)
					case fault && f.FaultCode == "RequestLimitExceeded":
						refused.Add(1)
						for took := int64(time.Since(at)); ; {
							if old := slowest.Load(); took <= old || slowest.CompareAndSwap(old, took) {
								break
							}
						}
					case err != nil:
						late.Add(1)
					}
				})
			}
			time.Sleep(time.Millisecond)
		}
		wg.Wait()
		rate := float64(done.Load()) / measure.Seconds()
		b.Logf("at its best %.0f commands/s; of %.0f a second offered %.0f were acknowledged, %d refused (the slowest after %v), %d not answered in time",
			peak, float64(sent)/measure.Seconds(), rate, refused.Load(), time.Duration(slowest.Load()).Round(time.Millisecond), late.Load())
		b.ReportMetric(rate/peak, "x-peak")
		b.ReportMetric(float64(sent)/measure.Seconds()/peak, "x-offered")
	}
}
