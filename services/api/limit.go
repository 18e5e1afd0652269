package api

import (
	"strings"
	"sync"

	"golang.org/x/time/rate"

	"skerry/events"
)

// The buckets of an account, one for each action ("Request throttling for the
// Amazon EC2 API"): so many calls at once, so many more each second. They are
// ten times EC2's, since a region's machines are its users' own.
const (
	readBurst, readRate   = 1000, 200
	writeBurst, writeRate = 500, 50
	lookBurst, lookRate   = 20, 20 // LookupEvents, as the AWS CloudTrail API Reference has it

	maxBuckets = 100_000 // of one door; beyond it all are forgotten, and full again
)

// Limiter holds accounts to a rate of calls. A nil one does not.
type Limiter struct {
	Factor float64 // of the rates above

	mu      sync.Mutex
	buckets map[string]*rate.Limiter
}

// Take takes a token of the caller's bucket. Fault: RequestLimitExceeded.
func (l *Limiter) Take(c *Call) error {
	if l == nil {
		return nil
	}
	key := c.Account + "/" + c.Action
	l.mu.Lock()
	b := l.buckets[key]
	if b == nil {
		if l.buckets == nil || len(l.buckets) >= maxBuckets {
			l.buckets = make(map[string]*rate.Limiter)
		}
		burst, each := writeBurst, writeRate
		switch {
		case c.Action == "LookupEvents":
			burst, each = lookBurst, lookRate
		case reads(c.Action):
			burst, each = readBurst, readRate
		}
		b = rate.NewLimiter(rate.Limit(float64(each)*l.Factor), max(1, int(float64(burst)*l.Factor)))
		l.buckets[key] = b
	}
	l.mu.Unlock()
	if !b.Allow() {
		return events.Faultf("RequestLimitExceeded", "Request limit exceeded: account %s calls %s more often than %.0f times a second; retry with a growing delay.", c.Account, c.Action, float64(b.Limit()))
	}
	return nil
}

// reads says that an action changes nothing.
func reads(action string) bool {
	return strings.HasPrefix(action, "Describe") || strings.HasPrefix(action, "Get") || strings.HasPrefix(action, "Lookup")
}
