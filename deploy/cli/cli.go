// Package cli is the skerry command: it makes a region on this machine, shows
// how it fares, breaks it on purpose, and takes it away without a trace.
//
//	up ── writes files (lab) ── starts `skerry supervise` ── waits until ready
//	status, doctor, account, drain ── over the bus, with the operator's key
//	status, fail, heal, restart ───── over the supervisor's control socket
//	env, logs ─────────────────────── from the data directory
//	down ── asks the supervisor, then removes what remains, with or without it
//
// Standard output carries the answer, as a table or as JSON; progress, warnings
// and errors go to standard error. An error says what, why, and what to do
// next. Exit status: 0 done, 1 not done or something is wrong, 2 wrong usage.
package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"
	"github.com/jedib0t/go-pretty/v6/table"

	"skerry/deploy/lab"
)

// Exit statuses.
const (
	exitDone  = 0
	exitWrong = 1
	exitUsage = 2
)

// commands is the grammar of the command line.
type commands struct {
	Dir    string `help:"Data directory of the region." default:"${dir}" env:"SKERRY_DIR" placeholder:"DIR"`
	Output string `short:"o" help:"How to print: table or json." enum:"table,json" default:"table"`

	Up        upCmd        `cmd:"" help:"Bring a region up, or finish bringing it up."`
	Env       envCmd       `cmd:"" help:"Print exports for a shell: eval \"$(skerry env)\"."`
	AWS       awsCmd       `cmd:"" name:"aws" passthrough:"" help:"Run the AWS CLI against the region."`
	Exec      execCmd      `cmd:"" passthrough:"" help:"Run a program that sees the region: its variables and its names."`
	Status    statusCmd    `cmd:"" help:"Show zones, voters, nodes and faults, or why an instance is where it is."`
	History   historyCmd   `cmd:"" help:"Tell the story of a resource, or what it was at a moment."`
	Logs      logsCmd      `cmd:"" help:"Print the logs of a host."`
	Doctor    doctorCmd    `cmd:"" help:"Compare what should be with what is."`
	Account   accountCmd   `cmd:"" help:"Accounts and their keys."`
	User      userCmd      `cmd:"" help:"Users of an account, their keys and policies."`
	Drain     drainCmd     `cmd:"" help:"Keep new instances off a host, or let them back."`
	Fail      failCmd      `cmd:"" help:"Break something for a while: az, host, link or process."`
	Heal      healCmd      `cmd:"" help:"End faults before their time."`
	Forget    forgetCmd    `cmd:"" help:"Take a region that is no more off the list of those that share the accounts."`
	Restart   restartCmd   `cmd:"" help:"End a program politely; it starts again."`
	Tour      tourCmd      `cmd:"" help:"Walk through the region with the AWS CLI."`
	Down      downCmd      `cmd:"" help:"End the region. Data stays unless --purge."`
	Supervise superviseCmd `cmd:"" hidden:"" help:"Run as the region's supervisor."`
}

// env is what a command runs with.
type env struct {
	ctx    context.Context
	dir    string
	json   bool
	out    io.Writer // answers
	err    io.Writer // progress and complaints
	binary string    // this program's path, as it was called
}

// problem is an error that knows what to do next.
type problem struct {
	err  error
	next string
}

func (p problem) Error() string { return p.err.Error() }
func (p problem) Unwrap() error { return p.err }

// silent ends with a status and says nothing more.
type silent int

func (s silent) Error() string { return fmt.Sprintf("exit status %d", int(s)) }

// Main runs one command line and answers the exit status.
func Main(args []string, out, errw io.Writer) int {
	var c commands
	home, _ := os.UserHomeDir()
	helped := false
	parser, err := kong.New(&c, kong.Name("skerry"),
		kong.Description("A cloud on your own machines: an EC2-compatible region of availability zones."),
		kong.Vars{"dir": filepath.Join(home, ".skerry")},
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.Writers(out, errw), kong.Exit(func(int) { helped = true }))
	if err != nil {
		panic(err) // the grammar itself is wrong
	}
	words := args[1:]
	if len(words) == 0 {
		words = []string{"--help"}
	}
	k, err := parser.Parse(hoistDir(words))
	if helped {
		return exitDone
	}
	if err != nil {
		fmt.Fprintf(errw, "skerry: %v\n  next: %s --help\n", err, command(err))
		return exitUsage
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	dir, err := filepath.Abs(c.Dir)
	if err != nil {
		fmt.Fprintf(errw, "skerry: %v\n", err)
		return exitUsage
	}
	e := &env{ctx: ctx, dir: dir, json: c.Output == "json", out: out, err: errw, binary: self(args[0])}
	err = k.Run(e)
	var s silent
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &s):
		return int(s)
	case ctx.Err() != nil:
		fmt.Fprintln(errw, "skerry: interrupted")
		return exitWrong
	}
	fmt.Fprintf(errw, "skerry: %v\n", err)
	var p problem
	if errors.As(err, &p) && p.next != "" {
		fmt.Fprintf(errw, "  next: %s\n", p.next)
	}
	return exitWrong
}

// command is as much of the command line as was understood: where its help is.
func command(err error) string {
	var p *kong.ParseError
	if !errors.As(err, &p) || p.Context == nil {
		return "skerry"
	}
	words := []string{"skerry"}
	for _, at := range p.Context.Path {
		if at.Command != nil {
			words = append(words, at.Command.Name)
		}
	}
	return strings.Join(words, " ")
}

// hoistDir lets `skerry aws --dir D …` name the directory like every other
// subcommand, though all else after the word aws is the AWS CLI's. The same goes
// for exec.
func hoistDir(words []string) []string {
	i := slices.IndexFunc(words, func(w string) bool { return w == "aws" || w == "exec" })
	if i < 0 {
		return words
	}
	verb, rest := words[i:i+1], words[i+1:]
	switch {
	case len(rest) > 0 && strings.HasPrefix(rest[0], "--dir="):
		return slices.Concat(words[:i], rest[:1], verb, rest[1:])
	case len(rest) > 1 && rest[0] == "--dir":
		return slices.Concat(words[:i], rest[:2], verb, rest[2:])
	}
	return words
}

// self is the path of this program as it was called, because the other programs
// lie beside that name.
func self(arg0 string) string {
	if strings.Contains(arg0, "/") {
		if p, err := filepath.Abs(arg0); err == nil {
			return p
		}
	}
	p, err := os.Executable()
	if err != nil {
		return arg0
	}
	return p
}

// region opens the region of the directory.
func (e *env) region() (*lab.Region, error) {
	r, err := lab.Open(e.dir)
	if errors.Is(err, lab.ErrNoRegion) {
		return nil, problem{fmt.Errorf("there is no region in %s", e.dir), "skerry up" + e.dirFlag()}
	}
	return r, err
}

// dirFlag is what a suggested command needs to reach the same directory.
func (e *env) dirFlag() string {
	home, _ := os.UserHomeDir()
	if e.dir == filepath.Join(home, ".skerry") {
		return ""
	}
	return " --dir " + quote(e.dir)
}

// answer prints a value as JSON, or by the table function.
func (e *env) answer(v any, show func()) error {
	if !e.json {
		show()
		return nil
	}
	enc := json.NewEncoder(e.out)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// table prints rows under a head.
func (e *env) table(head []any, rows [][]any) {
	t := table.NewWriter()
	t.SetOutputMirror(e.out)
	s := table.StyleLight
	s.Options = table.OptionsNoBordersAndSeparators
	s.Box.PaddingLeft, s.Box.PaddingRight = "", "  "
	t.SetStyle(s)
	t.SuppressTrailingSpaces()
	t.AppendHeader(head)
	for _, r := range rows {
		t.AppendRow(r)
	}
	t.Render()
}

// say tells the person what is going on.
func (e *env) say(format string, a ...any) { fmt.Fprintf(e.err, format+"\n", a...) }

// quote makes a word safe for sh.
func quote(s string) string {
	plain := func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_-./:=@%+,", r))
	}
	if s != "" && strings.IndexFunc(s, plain) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
