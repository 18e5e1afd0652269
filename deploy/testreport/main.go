package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// settings are the command line.
type settings struct {
	tags   string
	limit  time.Duration // of everything
	budget time.Duration // of all fuzzing together
	each   time.Duration // of one fuzz target, at most
	short  bool
	cached bool
}

func main() {
	var s settings
	flag.StringVar(&s.tags, "tags", "", "build tags")
	flag.DurationVar(&s.limit, "limit", 24*time.Minute, "time for everything")
	flag.DurationVar(&s.budget, "fuzz", 4*time.Minute, "time for all fuzz targets together; 0 for none")
	flag.DurationVar(&s.each, "fuzz-each", 10*time.Second, "time for one fuzz target, at most")
	flag.BoolVar(&s.short, "short", false, "short tests only")
	flag.BoolVar(&s.cached, "cached", false, "believe results of unchanged packages")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, s, &report{out: os.Stdout}))
}

func run(ctx context.Context, s settings, r *report) int {
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, s.limit)
	defer cancel()
	r.vet(ctx, s)
	packages, err := list(ctx, s)
	if err != nil {
		fmt.Fprintln(r.out, err)
		r.fail("go list")
		return r.finish()
	}
	var quick, staged []string
	for _, p := range packages {
		if p.under("deploy") {
			staged = append(staged, p.path)
		} else {
			quick = append(quick, p.path)
		}
	}
	left := func() time.Duration { return s.limit - time.Since(began) }
	r.test(ctx, s, left(), quick)
	r.test(ctx, s, left(), staged, "-p", "1")
	if s.budget > 0 {
		r.fuzz(ctx, s, packages)
	}
	fmt.Fprintf(r.out, "\n%.0f s\n", time.Since(began).Seconds())
	return r.finish()
}

// command is the go command, ended politely when the time is over.
func command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "go", args...)
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

func (r *report) test(ctx context.Context, s settings, limit time.Duration, packages []string, flags ...string) {
	if len(packages) == 0 {
		return
	}
	args := append([]string{"test", "-json", "-tags", s.tags, "-timeout", max(limit-20*time.Second, 10*time.Second).Round(time.Second).String()}, flags...)
	if !s.cached {
		args = append(args, "-count=1")
	}
	if s.short {
		args = append(args, "-short")
	}
	cmd := command(ctx, append(args, packages...)...)
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
	path  string
	fuzzs []string
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
		p := pack{path: f[0]}
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

func fuzzTargets(path string) ([]string, error) {
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, d := range file.Decls {
		if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && strings.HasPrefix(f.Name.Name, "Fuzz") {
			out = append(out, f.Name.Name)
		}
	}
	return out, nil
}

// fuzz shares the budget between all targets. A target for which no time is
// left is skipped and says so; its seeds ran with the tests.
func (r *report) fuzz(ctx context.Context, s settings, packages []pack) {
	n := 0
	for _, p := range packages {
		n += len(p.fuzzs)
	}
	if n == 0 {
		return
	}
	each := max(time.Second, min(s.each, s.budget/time.Duration(n)))
	fmt.Fprintf(r.out, "fuzzing %d targets, %v each\n", n, each.Round(100*time.Millisecond))
	// Building and minimising take time too.
	end := time.Now().Add(2 * s.budget)
	for _, p := range packages {
		for _, name := range p.fuzzs {
			check := p.path + " " + name + " (fuzzing)"
			if time.Now().After(end) || ctx.Err() != nil {
				r.skip(check, "no time was left for fuzzing")
				continue
			}
			cmd := command(ctx, "test", "-tags", s.tags, "-run", "^$", "-fuzz", "^"+name+"$", "-fuzztime", each.String(), p.path)
			out, err := cmd.Output()
			if ctx.Err() != nil {
				r.skip(check, "the time for everything was over")
				continue
			}
			if err != nil {
				fmt.Fprintf(r.out, "FAIL  %s\n%s", check, out)
				r.fail(check)
				continue
			}
			r.pass()
		}
	}
}
