package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// settings are the command line.
type settings struct {
	tags   string
	limit  time.Duration // of everything
	most   time.Duration // of one package
	budget time.Duration // of all fuzzing together
	each   time.Duration // of one fuzz target, at most
	short  bool
	cached bool
}

// quickLimit bounds a package of the first stage, so that one that hangs leaves
// time for the others.
const quickLimit = 4 * time.Minute

// inner is the first argument of the process that does the work.
const inner = "-inner"

func main() {
	var s settings
	if len(os.Args) < 2 || os.Args[1] != inner {
		code, err := keep(os.Args[1:])
		if err != nil {
			fmt.Fprintln(os.Stderr, "testreport:", err)
		}
		os.Exit(code)
	}
	flag.StringVar(&s.tags, "tags", "", "build tags")
	flag.DurationVar(&s.limit, "limit", 60*time.Minute, "time for everything")
	flag.DurationVar(&s.most, "package", 25*time.Minute, "time for one package, at most")
	flag.DurationVar(&s.budget, "fuzz", 110*time.Second, "time for all fuzz targets together; 0 for none")
	flag.DurationVar(&s.each, "fuzz-each", 10*time.Second, "time for one fuzz target, at most")
	flag.BoolVar(&s.short, "short", false, "short tests only")
	flag.BoolVar(&s.cached, "cached", false, "believe results of unchanged packages")
	flag.CommandLine.Parse(os.Args[2:])
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, s, &report{out: os.Stdout}))
}

func run(ctx context.Context, s settings, r *report) int {
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, s.limit)
	defer cancel()
	tmp := ""
	if !s.cached { // a kept result is valid for the TMPDIR that the test saw
		var err error
		if tmp, err = os.MkdirTemp("", "skt"); err != nil {
			fmt.Fprintln(r.out, err)
			r.fail("temporary directory")
			return r.finish()
		}
		os.Setenv("TMPDIR", tmp)
	}
	r.all(ctx, s, began)
	r.sweep(tmp)
	fmt.Fprintf(r.out, "\n%.0f s\n", time.Since(began).Seconds())
	return r.finish()
}

func (r *report) all(ctx context.Context, s settings, began time.Time) {
	r.vet(ctx, s)
	packages, err := list(ctx, s)
	if err != nil {
		fmt.Fprintln(r.out, err)
		r.fail("go list")
		return
	}
	var quick, staged, virtual []string
	for _, p := range packages {
		switch {
		case s.short || !p.under("deploy"):
			quick = append(quick, p.path)
		case p.under("deploy/sim"):
			virtual = append(virtual, p.path)
		default:
			staged = append(staged, p.path)
		}
	}
	left := func() time.Duration { return s.limit - time.Since(began) }
	r.test(ctx, s, min(left(), quickLimit), nil, quick)
	var said bytes.Buffer
	beside := report{out: &said}
	var wg sync.WaitGroup
	wg.Go(func() { beside.test(ctx, s, left(), idle, virtual, "-p", "1") })
	r.test(ctx, s, left(), nil, staged, "-p", "1")
	wg.Wait()
	r.add(&beside, said.Bytes())
	if s.budget > 0 {
		r.fuzz(ctx, s, packages)
	}
}

// idle is a prefix of a command that runs in the time which nobody else wants.
// A nice value counts only among the processes of one session where the kernel
// groups them (sched(7), "The autogroup feature"), and each program of a region
// has its own: the session of the command becomes as nice as its processes.
var idle = []string{"setsid", "--wait", "sh", "-c", `echo 19 2>/dev/null >/proc/self/autogroup; exec nice -n 19 "$@"`, "sh"}

// command is the go command, ended politely when the time is over.
func command(ctx context.Context, args ...string) *exec.Cmd {
	return through(ctx, nil, args...)
}

// through is the go command, started by another one.
func through(ctx context.Context, by []string, args ...string) *exec.Cmd {
	all := append(append(slices.Clone(by), "go"), args...)
	cmd := exec.CommandContext(ctx, all[0], all[1:]...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGINT) }
	cmd.WaitDelay = 10 * time.Second
	cmd.Stderr = os.Stderr
	return cmd
}

func (r *report) vet(ctx context.Context, s settings) {
	cmd := command(ctx, "vet", "-tags", s.tags, "./...")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		fmt.Fprintf(r.out, "FAIL  go vet: %v\n%s", err, out.Bytes())
		r.fail("go vet")
		return
	}
	fmt.Fprintln(r.out, "ok    go vet")
	r.pass()
}

func (r *report) test(ctx context.Context, s settings, limit time.Duration, by, packages []string, flags ...string) {
	if len(packages) == 0 {
		return
	}
	args := append([]string{"test", "-json", "-tags", s.tags, "-vet=off"}, flags...)
	if s.cached { // for the same timeout only
		args = append(args, "-timeout", s.most.String())
	} else {
		args = append(args, "-count=1", "-timeout", min(s.most, max(limit-20*time.Second, 10*time.Second)).Round(time.Second).String())
	}
	if s.short {
		args = append(args, "-short")
	}
	cmd := through(ctx, by, append(args, packages...)...)
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		fmt.Fprintln(r.out, err)
		r.fail("go test")
		return
	}
	before := len(r.failed)
	if err := r.read(out); err != nil {
		fmt.Fprintln(r.out, err)
		r.fail("go test")
	}
	if err := cmd.Wait(); err != nil && len(r.failed) == before {
		fmt.Fprintf(r.out, "FAIL  go test: %v\n", err)
		r.fail("go test")
	}
}

// pack is one package with its fuzz targets.
type pack struct {
	path, dir string
	fuzzs     []string
}

func (p pack) under(folder string) bool {
	_, rest, _ := strings.Cut(p.path, "/")
	return rest == folder || strings.HasPrefix(rest, folder+"/")
}

// list finds all packages and, by reading their test files, their fuzz targets.
func list(ctx context.Context, s settings) ([]pack, error) {
	cmd := command(ctx, "list", "-tags", s.tags, "-f", `{{.ImportPath}} {{.Dir}}{{range .TestGoFiles}} {{.}}{{end}}{{range .XTestGoFiles}} {{.}}{{end}}`, "./...")
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	var ps []pack
	for line := range strings.Lines(string(out)) {
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		p := pack{path: f[0], dir: f[1]}
		for _, name := range f[2:] {
			names, err := fuzzTargets(filepath.Join(f[1], name))
			if err != nil {
				return nil, err
			}
			p.fuzzs = append(p.fuzzs, names...)
		}
		ps = append(ps, p)
	}
	return ps, nil
}
