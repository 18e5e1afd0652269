package node

import "skerry/events"

// Merge is what a keeper holds after it was given specs: per object a lower N is
// dropped, and a part of the set takes nothing away. Key says under what a spec
// is held, and whether the keeper is for its kind.
func Merge[K comparable](held map[K]events.Spec, given []events.Spec, complete bool, key func(events.Spec) (K, bool)) map[K]events.Spec {
	next := make(map[K]events.Spec, max(len(held), len(given)))
	if !complete {
		for k, s := range held {
			next[k] = s
		}
	}
	for _, s := range given {
		k, ours := key(s)
		if !ours {
			continue
		}
		if old, ok := held[k]; ok && old.N > s.N {
			s = old
		}
		next[k] = s
	}
	return next
}
