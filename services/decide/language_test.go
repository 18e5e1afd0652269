package decide_test

import (
	"fmt"
	"net/netip"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"skerry/events"
)

// names shortens drawn ids: the first instance of a file is i-1.
type names struct {
	short_ map[string]string
	long   map[string]string
	count  map[string]int
}

func newNames() *names {
	return &names{map[string]string{}, map[string]string{}, map[string]int{}}
}

var (
	drawn = regexp.MustCompile(`\b([a-z]+|ec2)-0[0-9a-f]{16}\b`)
	given = regexp.MustCompile(`\b(?:[a-z]+|ec2)-[0-9]+\b`)
)

func (n *names) short(s string) string {
	return drawn.ReplaceAllStringFunc(s, func(id string) string {
		if n.short_[id] == "" {
			prefix, _, _ := strings.Cut(id, "-")
			n.count[prefix]++
			n.short_[id] = fmt.Sprintf("%s-%d", prefix, n.count[prefix])
			n.long[n.short_[id]] = id
		}
		return n.short_[id]
	})
}

func (n *names) full(s string) string {
	return given.ReplaceAllStringFunc(s, func(id string) string {
		if long, ok := n.long[id]; ok {
			return long
		}
		return id
	})
}

var accounts = map[string]events.AccountID{"alice": "111111111111", "bob": "222222222222"}

// parse reads one command.
func (r *region) parse(line string) (events.Stamp, events.Command, error) {
	s := events.Stamp{Actor: "operator"}
	words, err := split(line)
	if err != nil {
		return s, nil, err
	}
	if who, ok := strings.CutPrefix(words[0], "@"); ok {
		if s.Account = events.AccountID(who); accounts[who] != "" {
			s.Account = accounts[who]
		}
		words = words[1:]
	}
	at := slices.IndexFunc(events.Commands(), func(c events.Command) bool { return events.Name(c) == words[0] })
	if at < 0 {
		return s, nil, fmt.Errorf("%s is not a command", words[0])
	}
	c := reflect.New(reflect.TypeOf(events.Commands()[at])).Elem()
	for _, w := range words[1:] {
		key, val, ok := strings.Cut(w, "=")
		if !ok {
			return s, nil, fmt.Errorf("%q is not key=value", w)
		}
		switch key {
		case "token":
			s.ClientToken = val
			continue
		case "version":
			if s.Version, err = strconv.Atoi(val); err != nil {
				return s, nil, err
			}
			continue
		}
		field, err := find(c, key)
		if err == nil {
			err = set(field, r.names.full(val))
		}
		if err != nil {
			return s, nil, fmt.Errorf("%s: %w", w, err)
		}
	}
	return s, c.Interface().(events.Command), nil
}

// split cuts a line at spaces outside of quotes, double or single.
func split(line string) ([]string, error) {
	var out []string
	word, quote, some := "", rune(0), false
	for _, c := range line {
		switch {
		case c == quote:
			quote = 0
		case quote == 0 && (c == '"' || c == '\''):
			quote, some = c, true
		case c == ' ' && quote == 0:
			if some {
				out = append(out, word)
			}
			word, some = "", false
		default:
			word, some = word+string(c), true
		}
	}
	if quote != 0 {
		return nil, fmt.Errorf("a quote is not closed")
	}
	if some {
		out = append(out, word)
	}
	return out, nil
}

// find looks a field up by its JSON name; dots lead inside.
func find(v reflect.Value, key string) (reflect.Value, error) {
	name, rest, inside := strings.Cut(key, ".")
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		v = v.Elem()
	}
	for i := range v.NumField() {
		tag, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
		if tag != name {
			continue
		}
		if inside {
			return find(v.Field(i), rest)
		}
		return v.Field(i), nil
	}
	return v, fmt.Errorf("%s has no %s", v.Type(), name)
}

// set reads a value: lists by commas, tags as key:value (the last colon
// counts), DHCP options as key@value@value, placements as instance@host, nodes as host/kind, rules as
// protocol@from..to@peer, interfaces of a launch as index@interface-or-subnet,
// block devices as device@what, identities as number@event@field. x*300 is 300 times
// x, "50 keys" is key1 to key50.
func set(f reflect.Value, s string) error {
	if f.Kind() == reflect.Pointer {
		p := reflect.New(f.Type().Elem())
		if err := set(p.Elem(), s); err != nil {
			return err
		}
		f.Set(p)
		return nil
	}
	if x, n, ok := strings.Cut(s, "*"); ok {
		if count, err := strconv.Atoi(n); err == nil {
			s = strings.Repeat(x, count)
		}
	}
	switch f.Interface().(type) {
	case []byte:
		f.SetBytes([]byte(s))
		return nil
	case events.Tag:
		t := events.Tag{Key: s}
		if at := strings.LastIndexByte(s, ':'); at >= 0 {
			t = events.Tag{Key: s[:at], Value: s[at+1:]}
		}
		f.Set(reflect.ValueOf(t))
		return nil
	case events.UntagTag:
		u := events.UntagTag{Key: s}
		if k, v, ok := strings.Cut(s, ":"); ok {
			u = events.UntagTag{Key: k, Value: &v}
		}
		f.Set(reflect.ValueOf(u))
		return nil
	case events.DHCPOption:
		w := strings.Split(s, "@") // key@value@value
		f.Set(reflect.ValueOf(events.DHCPOption{Key: w[0], Values: w[1:]}))
		return nil
	case events.PrefixEntry:
		block, description, _ := strings.Cut(s, "@")
		p, err := netip.ParsePrefix(block)
		f.Set(reflect.ValueOf(events.PrefixEntry{CIDR: p, Description: description}))
		return err
	case events.FarSnapshot: // GiB@state
		gib, state, _ := strings.Cut(s, "@")
		n, err := strconv.Atoi(gib)
		f.Set(reflect.ValueOf(events.FarSnapshot{SizeGiB: n, State: state}))
		return err
	case events.Identity:
		// number@event@field@field…, the fields of the event in their order
		w := strings.Split(s, "@")
		n, err := strconv.ParseUint(w[0], 10, 64)
		if err != nil || len(w) < 2 {
			return fmt.Errorf("%q is not number@event@field…: %v", s, err)
		}
		f.Field(0).SetUint(n)
		e := f.FieldByName(w[1])
		if !e.IsValid() {
			return fmt.Errorf("%s is no event of identities", w[1])
		}
		e.Set(reflect.New(e.Type().Elem()))
		for i, x := range w[2:] {
			into := e.Elem().Field(i)
			if into.Type() == reflect.TypeFor[events.RegionInfo]() {
				into = into.Field(0)
			}
			if err := set(into, x); err != nil {
				return err
			}
		}
		return nil
	case events.NodeKey:
		h, k, _ := strings.Cut(s, "/")
		f.Set(reflect.ValueOf(events.NodeKey{Host: events.HostID(h), Kind: k}))
		return nil
	case events.Rule:
		// [id=]protocol@from..to@peer, or id=description
		var r events.Rule
		if id, rest, ok := strings.Cut(s, "="); ok {
			r.ID, s = events.RuleID(id), rest
		}
		w := strings.Split(s, "@")
		if r.ID != "" && len(w) == 1 {
			r.Description = s
			f.Set(reflect.ValueOf(r))
			return nil
		}
		if len(w) != 3 {
			return fmt.Errorf("%q is not protocol@from..to@peer", s)
		}
		r.Protocol = w[0]
		if strings.HasPrefix(w[2], "sg-") {
			r.Group = events.GroupID(w[2])
		} else if strings.HasPrefix(w[2], "pl-") {
			r.PrefixList = events.PrefixListID(w[2])
		} else if w[2] != "" {
			p, err := netip.ParsePrefix(w[2])
			if err != nil {
				return err
			}
			r.CIDR = p
		}
		if _, err := fmt.Sscanf(w[1], "%d..%d", &r.From, &r.To); err != nil {
			return err
		}
		f.Set(reflect.ValueOf(r))
		return nil
	case netip.Prefix:
		p, err := netip.ParsePrefix(s)
		f.Set(reflect.ValueOf(p))
		return err
	case events.VolumePlacement:
		i, h, _ := strings.Cut(s, "@")
		f.Set(reflect.ValueOf(events.VolumePlacement{Volume: events.VolumeID(i), Host: events.HostID(h)}))
		return nil
	case events.BlockDevice:
		// device@what…: a snapshot, GiB, a type, ephemeralN, none, keep or drop
		w := strings.Split(s, "@")
		b := events.BlockDevice{Device: w[0]}
		for _, x := range w[1:] {
			gib, err := strconv.Atoi(x)
			switch {
			case err == nil:
				b.SizeGiB = gib
			case strings.HasPrefix(x, "snap-"):
				b.Snapshot = events.SnapshotID(x)
			case strings.HasPrefix(x, "ephemeral"):
				b.Virtual = x
			case x == "none":
				b.NoDevice = true
			case x == "keep" || x == "drop":
				b.Keep = new(x == "keep")
			default:
				b.Type = x
			}
		}
		f.Set(reflect.ValueOf(b))
		return nil
	case events.LaunchInterface:
		// index@what, with what it is or where it is made, and @keep
		w := strings.Split(s, "@")
		index, err := strconv.Atoi(w[0])
		if err != nil {
			return err
		}
		l := events.LaunchInterface{DeviceIndex: index}
		for _, x := range w[1:] {
			switch {
			case strings.HasPrefix(x, "eni-"):
				l.Interface = events.InterfaceID(x)
			case strings.HasPrefix(x, "subnet-"):
				l.Subnet = events.SubnetID(x)
			case strings.HasPrefix(x, "+"):
				if l.Addresses.SecondaryCount, err = strconv.Atoi(x[1:]); err != nil {
					return err
				}
			default:
				l.Keep = x == "keep"
			}
		}
		f.Set(reflect.ValueOf(l))
		return nil
	case events.Tunnel: // inside@key@options, each may be empty
		w := append(strings.Split(s, "@"), "", "")
		t := events.Tunnel{Inside: w[0], Options: w[2]}
		if w[1] != "" {
			t.Key = []byte(w[1])
		}
		f.Set(reflect.ValueOf(t))
		return nil
	case events.Placement:
		i, h, _ := strings.Cut(s, "@")
		f.Set(reflect.ValueOf(events.Placement{Instance: events.InstanceID(i), Host: events.HostID(h)}))
		return nil
	}
	switch f.Kind() {
	case reflect.String:
		f.SetString(s)
	case reflect.Bool:
		b, err := strconv.ParseBool(s)
		if err != nil {
			return err
		}
		f.SetBool(b)
	case reflect.Int, reflect.Int64:
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			return err
		}
		f.SetInt(n)
	case reflect.Uint32, reflect.Uint64:
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			return err
		}
		f.SetUint(n)
	case reflect.Slice:
		if s == "" {
			return nil
		}
		if n, what, ok := strings.Cut(s, " "); ok {
			count, err := strconv.Atoi(n)
			if err != nil {
				return err
			}
			var items []string
			for i := range count {
				items = append(items, strings.TrimSuffix(what, "s")+strconv.Itoa(i+1))
			}
			s = strings.Join(items, ",")
		}
		for _, item := range strings.Split(s, ",") {
			e := reflect.New(f.Type().Elem()).Elem()
			if err := set(e, item); err != nil {
				return err
			}
			f.Set(reflect.Append(f, e))
		}
	default:
		return fmt.Errorf("a %s cannot be written here", f.Type())
	}
	return nil
}

// quiet are fields that would drown a line; `show` and the golden files of
// package events tell them.
var quiet = map[string][]string{
	"InstanceRequested": {"kernel", "ramdisk", "account", "kernelFile", "ramdiskFile", "rootFile", "cmdline", "rootDevice", "rootDeviceType", "architecture",
		"virtualization", "shape", "need", "reservation", "interfaces", "at"},
	"InterfaceCreated": {"at"},
	"GroupCreated":     {"rules"},
}

// usual are values that are left out.
var usual = map[string]string{
	"metadata": "{httpTokens=optional hopLimit=1 endpoint=enabled instanceTags=disabled}",
	"shutdown": "terminate",
}

// line prints an event: its name, then its fields that are not zero.
func line(e events.Event) string {
	out := events.Name(e)
	v := reflect.ValueOf(e)
	for i := range v.NumField() {
		name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
		if v.Field(i).IsZero() || slices.Contains(quiet[events.Name(e)], name) || usual[name] == value(v.Field(i).Interface()) {
			continue
		}
		out += " " + name + "=" + value(v.Field(i).Interface())
	}
	if i, ok := e.(events.InstanceRequested); ok {
		out += " type=" + i.Shape.Type
	}
	return out
}

// value prints a field. MACs are drawn and stay out.
func value(x any) string {
	switch x := x.(type) {
	case time.Time:
		return "+" + x.Sub(start).Truncate(time.Second).String()
	case netip.Prefix:
		return x.String()
	case netip.Addr:
		return x.String()
	case []byte:
		return strconv.Quote(string(x))
	case events.Tag:
		return x.Key + ":" + x.Value
	case events.Interface:
		out := fmt.Sprintf("{%s %s %s groups=%s", x.ID, x.Subnet, x.PrivateIP, value(x.Groups))
		if x.DeviceIndex != 0 {
			out += fmt.Sprintf(" at %d", x.DeviceIndex)
		}
		for _, more := range []any{x.Secondary, x.Prefixes, x.IPv6, x.IPv6Prefixes} {
			if reflect.ValueOf(more).Len() > 0 {
				out += " " + value(more)
			}
		}
		return out + "}"
	case events.Reason:
		return x.Code
	case events.Image:
		return fmt.Sprintf("{%s %q of %s %s kernel=%s ramdisk=%s public=%v}", x.ID, x.Name, x.Account, x.Location, x.Kernel, x.Ramdisk, x.Public)
	}
	v := reflect.ValueOf(x)
	switch v.Kind() {
	case reflect.Pointer:
		return value(v.Elem().Interface())
	case reflect.String:
		if s := v.String(); s == "" || strings.ContainsAny(s, " \"") {
			return strconv.Quote(v.String())
		}
		return v.String()
	case reflect.Slice:
		var out []string
		for i := range v.Len() {
			out = append(out, value(v.Index(i).Interface()))
		}
		if len(out) > 8 {
			out = append(out[:8], fmt.Sprintf("… %d in all", len(out)))
		}
		return "[" + strings.Join(out, " ") + "]"
	case reflect.Struct:
		var out []string
		for i := range v.NumField() {
			if !v.Field(i).IsZero() {
				name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
				out = append(out, name+"="+value(v.Field(i).Interface()))
			}
		}
		return "{" + strings.Join(out, " ") + "}"
	}
	return fmt.Sprint(x)
}
