package network

import (
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"skerry/events"
	"skerry/services/state"
	"skerry/services/tagging"
)

// maxDHCPOptions bounds an account's sets of DHCP options, and maxServers the
// servers of a kind that one has ("DHCP option sets in Amazon VPC").
const (
	maxDHCPOptions = 100
	maxServers     = 4
)

// domainText is what completes a guest's names: one domain, or several with
// spaces between.
var domainText = regexp.MustCompile(`^[a-zA-Z0-9._ -]{1,253}$`)

// CreateDHCPOptions makes a set that no VPC uses yet.
func CreateDHCPOptions(v *state.View, s events.Stamp, c events.CreateDHCPOptions) ([]events.Event, error) {
	if len(c.Options) == 0 {
		return nil, events.Faultf("MissingParameter", "The request must contain the parameter dhcpConfiguration")
	}
	if err := tagging.Check(c.Tags); err != nil {
		return nil, err
	}
	var list []events.DHCPOption
	for _, o := range c.Options {
		o, err := optionOf(o)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(list, func(x events.DHCPOption) bool { return x.Key == o.Key }) {
			return nil, events.Faultf("InvalidParameterValue", "The DHCP option '%s' is given twice.", o.Key)
		}
		list = append(list, o)
	}
	count := 0
	for range v.DHCPOptionsOf(s.Account) {
		count++
	}
	if count >= maxDHCPOptions {
		return nil, events.Faultf("ResourceLimitExceeded", "The maximum number of DHCP options sets has been reached: %d.", maxDHCPOptions)
	}
	id := events.DHCPOptionsID("dopt-" + s.Seed.Hex("dopt", 0))
	out := []events.Event{events.DHCPOptionsCreated{ID: id, Account: s.Account, Options: list}}
	return append(out, tagging.New(s, string(id), c.Tags)...), nil
}

// optionOf checks an option and brings it into the one form in which it is kept:
// one value may hold several servers, with commas between.
func optionOf(o events.DHCPOption) (events.DHCPOption, error) {
	var values []string
	for _, v := range o.Values {
		for _, x := range strings.Split(v, ",") {
			values = append(values, strings.TrimSpace(x))
		}
	}
	o.Values = values
	bad := func(value, why string) error {
		return events.Faultf("InvalidParameterValue", "Value (%s) for DHCP option %s is invalid. %s", value, o.Key, why)
	}
	if len(values) == 0 {
		return o, events.Faultf("MissingParameter", "The DHCP option '%s' has no value.", o.Key)
	}
	single := func(ok bool, why string) error {
		if len(values) > 1 || !ok {
			return bad(strings.Join(values, ","), why)
		}
		return nil
	}
	switch o.Key {
	case events.DHCPDomainName:
		return o, single(domainText.MatchString(values[0]), "It is one text of at most 253 letters, digits, dots, dashes and spaces.")
	case events.DHCPNetBIOSNode:
		return o, single(slices.Contains([]string{"1", "2", "4", "8"}, values[0]), "The node type is 1, 2, 4 or 8.")
	case events.DHCPPreferredIPv6:
		n, err := strconv.Atoi(values[0])
		return o, single(err == nil && n >= 140 && n <= 2147483647, "It is a number of seconds from 140 to 2147483647.")
	case events.DHCPDomainNameServers, events.DHCPNTPServers, events.DHCPNetBIOSServers:
	case "":
		return o, events.Faultf("MissingParameter", "The request must contain the key of each DHCP option")
	default:
		return o, events.Faultf("InvalidParameterValue", "Value (%s) for parameter key is invalid. Unknown DHCP option.", o.Key)
	}
	four, six := 0, 0
	for i, x := range values {
		if x == events.ProvidedDNS && o.Key == events.DHCPDomainNameServers {
			four++
			continue
		}
		a, err := netip.ParseAddr(x)
		switch {
		case err != nil || a.Zone() != "" || a.Is4In6() || a.IsUnspecified():
			return o, bad(x, "This is not a valid IP address.")
		case a.Is4():
			four++
		case o.Key == events.DHCPNetBIOSServers:
			return o, bad(x, "NetBIOS name servers have IPv4 addresses.")
		default:
			six++
		}
		values[i] = a.String()
	}
	for i, x := range values {
		if slices.Contains(values[:i], x) {
			return o, bad(x, "It is given twice.")
		}
	}
	if o.Key == events.DHCPNTPServers && (four > maxServers || six > maxServers) || o.Key != events.DHCPNTPServers && four+six > maxServers {
		return o, bad(strings.Join(values, ","), "There are at most four servers of a kind.")
	}
	return o, nil
}

func dhcpOptions(v *state.View, a events.AccountID, id events.DHCPOptionsID) (*state.DHCPOptions, error) {
	if id == "" {
		return nil, events.Faultf("MissingParameter", "The request must contain the parameter dhcpOptionsId")
	}
	o, ok := v.DHCPOptions.Get(string(id))
	if !ok || o.Account != a {
		return nil, events.Faultf("InvalidDhcpOptionID.NotFound", "The dhcpOption ID '%s' does not exist", id)
	}
	return o, nil
}

// DeleteDHCPOptions ends a set that no VPC uses. The one that networks start with
// stays.
func DeleteDHCPOptions(v *state.View, s events.Stamp, c events.DeleteDHCPOptions) ([]events.Event, error) {
	o, err := dhcpOptions(v, s.Account, c.Options)
	if err != nil {
		return nil, err
	}
	for n := range v.VPCsOf(s.Account) {
		if n.DHCPOptions() == o.ID {
			return nil, events.Faultf("DependencyViolation", "The dhcpOptions '%s' has dependencies and cannot be deleted.", o.ID)
		}
	}
	if o.ID == events.DefaultDHCPOptions(s.Account) {
		return nil, events.Faultf("OperationNotPermitted", "The dhcpOptions '%s' are what networks start with and cannot be deleted.", o.ID)
	}
	return []events.Event{events.DHCPOptionsDeleted{ID: o.ID, Account: o.Account}}, nil
}

// AssociateDHCPOptions has a VPC use another set, or none. Guests learn it when
// they ask for their lease again.
func AssociateDHCPOptions(v *state.View, s events.Stamp, c events.AssociateDHCPOptions) ([]events.Event, error) {
	vpc, err := named(v, s.Account, c.VPC)
	if err != nil {
		return nil, err
	}
	if c.Options != events.NoDHCPOptions {
		if _, err := dhcpOptions(v, s.Account, c.Options); err != nil {
			return nil, err
		}
	}
	if vpc.DHCPOptions() == c.Options {
		return nil, nil
	}
	return []events.Event{events.DHCPOptionsAssociated{VPC: vpc.ID, Account: vpc.Account, Options: c.Options}}, nil
}

// Leased is what DHCP tells the guests of a VPC beside their addresses. The
// VPC's own resolver is named by its word, and has no address where there is no
// IPv4.
func Leased(v *state.View, vpc *state.VPC, resolver netip.Addr) (out events.DHCPPart) {
	set, ok := v.DHCPOptions.Get(string(vpc.DHCPOptions()))
	if !ok {
		return out
	}
	for _, o := range set.Options {
		var servers []netip.Addr
		for _, x := range o.Values {
			if a, err := netip.ParseAddr(x); err == nil {
				servers = append(servers, a)
			} else if x == events.ProvidedDNS && resolver.IsValid() {
				servers = append(servers, resolver)
			}
		}
		switch o.Key {
		case events.DHCPDomainName:
			out.Domain = o.Values[0]
		case events.DHCPDomainNameServers:
			out.NameServers = servers
		case events.DHCPNTPServers:
			out.TimeServers = servers
		case events.DHCPNetBIOSServers:
			out.NetBIOSServers = servers
		case events.DHCPNetBIOSNode:
			out.NetBIOSNode, _ = strconv.Atoi(o.Values[0]) // checked when the set was made
		case events.DHCPPreferredIPv6:
			out.PreferredIPv6, _ = strconv.Atoi(o.Values[0])
		}
	}
	return out
}
