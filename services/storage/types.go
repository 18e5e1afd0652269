// Package storage decides about volumes, and holds the catalogue of volume types.
//
// The epoch of a volume says who may write. It rises when an instance is let
// in, when it is shut out, and when the storage node starts anew; a volume is
// free only when its storage node has confirmed the epoch in which nobody is
// in.
package storage

import (
	"skerry/events"
	"skerry/services/state"
)

// Type is a volume type ("Amazon EBS volume types"). Sizes are in GiB.
type Type struct {
	Name           string
	Min, Max       int
	MinIOPS        int // provisioned: 0 means that IOPS cannot be given
	MaxIOPS        int
	PerGiB         int // IOPS that a GiB may have at most, or has with Scales
	BaseIOPS       int // without provisioning
	Scales         bool
	MaxThroughput  int // MiB/s, where it can be given
	BaseThroughput int
	NeedsIOPS      bool
	WriteThrough   bool // each write is on stable storage before its answer
}

// Types are the volume types by name.
var Types = []Type{
	{Name: "standard", Min: 1, Max: 1024},
	{Name: "gp2", Min: 1, Max: 16384, BaseIOPS: 100, PerGiB: 3, MaxIOPS: 16000, Scales: true},
	{Name: "gp3", Min: 1, Max: 16384, MinIOPS: 3000, MaxIOPS: 16000, PerGiB: 500, BaseIOPS: 3000, BaseThroughput: 125, MaxThroughput: 1000},
	{Name: "io1", Min: 4, Max: 16384, MinIOPS: 100, MaxIOPS: 64000, PerGiB: 50, NeedsIOPS: true, WriteThrough: true},
	{Name: "io2", Min: 4, Max: 16384, MinIOPS: 100, MaxIOPS: 64000, PerGiB: 500, NeedsIOPS: true, WriteThrough: true},
	{Name: "st1", Min: 125, Max: 16384},
	{Name: "sc1", Min: 125, Max: 16384},
}

// DefaultType is what CreateVolume makes when no type is given.
const DefaultType = "gp2"

// FindType looks a type up.
func FindType(name string) (Type, bool) {
	for _, t := range Types {
		if t.Name == name {
			return t, true
		}
	}
	return Type{}, false
}

// provision settles what a volume of the type gives, or refuses what it cannot.
func (t Type) provision(c state.Kind) (iops, throughput int, err error) {
	if c.SizeGiB < t.Min || c.SizeGiB > t.Max {
		return 0, 0, events.Faultf("InvalidParameterValue", "Volume of %dGiB is not valid for volume type %s: use %d to %d GiB.", c.SizeGiB, t.Name, t.Min, t.Max)
	}
	switch {
	case c.IOPS == 0 && t.NeedsIOPS:
		return 0, 0, events.Faultf("MissingParameter", "The parameter iops must be specified for %s volumes.", t.Name)
	case c.IOPS == 0 && t.Scales:
		iops = min(max(t.BaseIOPS, t.PerGiB*c.SizeGiB), t.MaxIOPS)
	case c.IOPS == 0:
		iops = t.BaseIOPS
	case t.MinIOPS == 0:
		return 0, 0, events.Faultf("InvalidParameterCombination", "The parameter iops is not supported for %s volumes.", t.Name)
	case c.IOPS < t.MinIOPS || c.IOPS > t.MaxIOPS:
		return 0, 0, events.Faultf("InvalidParameterValue", "Volume iops of %d is not valid for volume type %s: use %d to %d.", c.IOPS, t.Name, t.MinIOPS, t.MaxIOPS)
	case c.IOPS > t.PerGiB*c.SizeGiB && c.IOPS > t.BaseIOPS:
		return 0, 0, events.Faultf("InvalidParameterValue", "Iops to volume size ratio of %d is too high; maximum is %d.", c.IOPS/c.SizeGiB, t.PerGiB)
	default:
		iops = c.IOPS
	}
	switch {
	case c.Throughput == 0:
		throughput = t.BaseThroughput
	case t.MaxThroughput == 0:
		return 0, 0, events.Faultf("InvalidParameterCombination", "The parameter throughput is not supported for %s volumes.", t.Name)
	case c.Throughput < t.BaseThroughput || c.Throughput > t.MaxThroughput:
		return 0, 0, events.Faultf("InvalidParameterValue", "Volume throughput of %d is not valid for volume type %s: use %d to %d MiB/s.", c.Throughput, t.Name, t.BaseThroughput, t.MaxThroughput)
	case 4*c.Throughput > iops:
		return 0, 0, events.Faultf("InvalidParameterValue", "Throughput (MiBps) to iops ratio is too high; the maximum is 0.25.")
	default:
		throughput = c.Throughput
	}
	return iops, throughput, nil
}
