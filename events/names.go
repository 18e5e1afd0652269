package events

// PrivateDomain is the domain of private names: isle-1.compute.internal ("EC2
// instance hostnames and domains").
func PrivateDomain(region string) string { return region + ".compute.internal" }

// PublicDomain is the domain of public names: isle-1.compute.skerry.internal.
func PublicDomain(region string) string { return region + ".compute.skerry.internal" }
