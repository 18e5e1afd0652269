package cli

import (
	"bytes"
	"io"
	"strings"
	"testing"
)

// Wrong usage is told with the help of the command that was meant.
func TestUsage(t *testing.T) {
	for args, next := range map[string]string{
		"nothing":         "skerry --help",
		"--nothing":       "skerry --help",
		"account":         "skerry account --help",
		"account create":  "skerry account create --help",
		"up --nothing":    "skerry up --help",
		"status nothing":  "skerry status --help",
		"user create one": "skerry user create --help",
	} {
		var errw bytes.Buffer
		code := Main(append([]string{"skerry"}, strings.Fields(args)...), io.Discard, &errw)
		if _, got, _ := strings.Cut(errw.String(), "  next: "); code != exitUsage || got != next+"\n" {
			t.Errorf("skerry %s: status %d, next %q, want %q", args, code, got, next)
		}
	}
}
