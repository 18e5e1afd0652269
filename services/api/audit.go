package api

import (
	"encoding/json"
	"strings"

	"skerry/services/api/query"
)

const (
	// maxParameters is how many bytes of parameters an audit keeps. Longer ones
	// are left out, as CloudTrail does above 100 kB: every voter keeps them for ever.
	maxParameters = 2048
	removed       = "<sensitiveDataRemoved>" // as CloudTrail writes it
)

// parameters are those of a call as an audit tells them: a JSON object, names as
// they were sent but for a small first letter, without user data and keys.
func parameters(f *query.Form) string {
	all, size := map[string]string{}, 0
	for name, value := range f.Left() {
		parts := strings.Split(name, ".")
		for i, p := range parts {
			if p == "UserData" || p == "PreSharedKey" {
				value = removed
			}
			if p[0] >= 'A' && p[0] <= 'Z' {
				parts[i] = string(p[0]|0x20) + p[1:]
			}
		}
		if size += len(name) + len(value); size > maxParameters {
			return ""
		}
		all[strings.Join(parts, ".")] = value
	}
	b, err := json.Marshal(all)
	if err != nil {
		panic(err) // strings can always be told
	}
	if len(b) > maxParameters {
		return ""
	}
	return string(b)
}
