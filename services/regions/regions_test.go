package regions

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"skerry/events"
	"skerry/services/seal"
	"skerry/services/state"
)

func key(t testing.TB, fill byte) *seal.Key {
	t.Helper()
	k, err := seal.New(bytes.Repeat([]byte{fill}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

var quiet = slog.New(slog.DiscardHandler)

// alone is a region of which only the desk is asked.
type alone struct {
	view    *state.View
	records []events.Record
	done    []events.Command
	err     error
}

func (a *alone) Do(_ context.Context, _ events.Stamp, c events.Command) (events.Reply, error) {
	a.done = append(a.done, c)
	return events.Reply{}, a.err
}
func (a *alone) Read(context.Context) (*state.View, error) { return a.view, a.err }
func (a *alone) View() *state.View                         { return a.view }
func (a *alone) WaitFor(ctx context.Context, n uint64) (*state.View, error) {
	return nil, errors.New("nothing happens")
}
func (a *alone) Get(n uint64) (events.Record, error) {
	if n == 0 || n > uint64(len(a.records)) {
		return events.Record{}, errors.New("not here")
	}
	return a.records[n-1], nil
}
func (a *alone) Range(first uint64, limit int) ([]events.Record, error) {
	rest := a.records[min(int(first-1), len(a.records)):]
	return rest[:min(limit, len(rest))], nil
}

// happen appends to the history.
func (a *alone) happen(list ...events.Event) {
	tx := state.New()
	if a.view != nil {
		tx = a.view.Fork()
	}
	for _, e := range list {
		r := events.Record{N: tx.Meta.N + 1, Prev: tx.Meta.Last, Time: time.Unix(1, 0).UTC(), Event: e}
		r.Hash = events.Hash{byte(r.N), 1}
		tx.Apply(r)
		a.records = append(a.records, r)
	}
	a.view = tx.Publish()
}

func root() *alone {
	a := new(alone)
	a.happen(events.RegionFormed{Name: "isle-1", ID: "1", Zones: []events.Zone{"isle-1a"}, Level: 1}, events.AccountCreated{ID: "111111111111", Name: "alice", AccessKey: "AKIAALICE"})
	return a
}

func serve(t *testing.T, k *seal.Key, a *alone) string {
	t.Helper()
	s := httptest.NewServer(NewDesk(events.RegionInfo{Name: "isle-1", ID: "1"}, k, a, a, a, quiet))
	t.Cleanup(s.Close)
	return s.URL
}

var two = events.RegionInfo{Name: "isle-2", ID: "2", Endpoint: "127.0.0.1:4567", At: []string{"http://127.0.0.1:4567"}}

// Only who has the accounts' key is answered, and only by who has it.
func TestStrangers(t *testing.T) {
	a := root()
	at := serve(t, key(t, 1).Sharing(key(t, 9)), a)
	var out Happened
	ask := func(k *seal.Key, to, place string) error {
		p := NewPeers("isle-2", k)
		defer p.Close()
		return p.ask(t.Context(), to, []string{place}, askIdentities, Identities{Region: two}, &out)
	}
	if err := ask(key(t, 2).Sharing(key(t, 9)), "isle-1", at); err != nil || len(out.Identities) != 1 || out.To.N != 2 {
		t.Fatalf("%+v: %v", out, err)
	}
	if err := ask(key(t, 2).Sharing(key(t, 8)), "isle-1", at); err == nil || !strings.Contains(err.Error(), "403") {
		t.Errorf("a stranger is answered: %v", err)
	}
	if err := ask(key(t, 2).Sharing(key(t, 9)), "isle-3", at); err == nil || !strings.Contains(err.Error(), "isle-3") {
		t.Errorf("isle-1 answers for isle-3: %v", err)
	}
	// One that repeats what it heard, and one that makes up an answer.
	var heard []byte
	relay := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if heard == nil {
			res, err := http.Post(at+Path, "", r.Body)
			if err != nil {
				t.Error(err)
				return
			}
			defer res.Body.Close()
			heard, _ = io.ReadAll(res.Body)
		}
		w.Write(heard)
	}))
	defer relay.Close()
	if err := ask(key(t, 2).Sharing(key(t, 9)), "isle-1", relay.URL); err != nil {
		t.Fatal(err)
	}
	if err := ask(key(t, 2).Sharing(key(t, 9)), "isle-1", relay.URL); err == nil || !strings.Contains(err.Error(), "another question") {
		t.Errorf("an old answer is taken: %v", err)
	}
	heard = []byte("nonsense")
	if err := ask(key(t, 2).Sharing(key(t, 9)), "isle-1", relay.URL); err == nil {
		t.Error("nonsense is taken")
	}
	old := question{From: "isle-2", To: "isle-1", Nonce: nonce(), Time: time.Now().Add(-time.Hour), What: askIdentities}
	seals := envelopesOf(key(t, 9))
	if _, err := seals.openQuestion(seals.questions.Seal(events.Encode(old)), "isle-1", time.Now()); err == nil || !strings.Contains(err.Error(), "clocks") {
		t.Errorf("an old question is answered: %v", err)
	}
	if _, err := seals.openQuestion(seals.answers.Seal(events.Encode(old)), "isle-1", time.Now()); err == nil {
		t.Error("an answer is taken as a question")
	}
}

// What the desk refuses, and what it tells.
func TestDesk(t *testing.T) {
	k := key(t, 9)
	a := root()
	at := serve(t, k, a)
	ask := func(who events.RegionInfo, after events.Point) (out Happened, err error) {
		p := NewPeers("isle-2", k)
		defer p.Close()
		return out, p.ask(t.Context(), "isle-1", []string{at}, askIdentities, Identities{who, after}, &out)
	}
	wants := func(want string, err error) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
	if _, err := ask(two, events.Point{}); err != nil || len(a.done) != 2 {
		t.Errorf("told of %v: %v", a.done, err)
	}
	a.happen(events.RegionTold{Region: two}, events.RegionTold{Region: events.RegionInfo{Name: "isle-1", ID: "1"}})
	a.done = nil
	if _, err := ask(two, events.Point{}); err != nil || len(a.done) != 0 {
		t.Errorf("told again of %v: %v", a.done, err)
	}
	last := events.Point{N: 4, Hash: a.records[3].Hash}
	if out, err := ask(two, last); err != nil || out.To != last || len(out.Identities) != 0 {
		t.Errorf("%+v: %v", out, err)
	}
	_, err := ask(two, events.Point{N: 4})
	wants("is another one than was followed", err)
	_, err = ask(two, events.Point{N: 5})
	wants("no event 5 yet", err)
	_, err = ask(events.RegionInfo{Name: "isle-3"}, events.Point{})
	wants("in the name of", err)
	a.err = events.Faultf("EntityAlreadyExists", "There is another isle-2.")
	_, err = ask(events.RegionInfo{Name: "isle-2", ID: "other"}, events.Point{})
	wants("another isle-2", err)
	a.err = nil

	// Many events are told in parts, in order.
	for range 3 * maxIdentities {
		a.happen(events.FeatureLevelRaised{Level: 2}, events.RegionTold{Region: two})
	}
	seen, p := 0, last
	for p.N < a.view.Meta.N {
		out, err := ask(two, p)
		if err != nil || out.To.N <= p.N || len(out.Identities) > maxIdentities {
			t.Fatalf("%d after %d: %v", out.To.N, p.N, err)
		}
		seen, p = seen+len(out.Identities), out.To
	}
	if seen != 3*maxIdentities {
		t.Errorf("%d were told", seen)
	}

	peers := NewPeers("isle-2", k)
	defer peers.Close()
	here := events.RegionInfo{Name: "isle-1", At: []string{at}}
	_, err = peers.Snapshot(t.Context(), here, "111111111111", "snap-1")
	wants("does not exist", err)
	_, err = peers.Image(t.Context(), here, "999999999999", "ami-1")
	wants("does not exist", err)
	a.err = errors.New("no leader")
	_, err = peers.Image(t.Context(), here, "111111111111", "ami-1")
	if f, ok := events.AsFault(err); !ok || f.Code() != "Unavailable" || !strings.Contains(f.Message, "isle-1") {
		t.Errorf("a region without a leader: %v", err)
	}
	here.At = []string{"unix:" + filepath.Join(t.TempDir(), "none")}
	_, err = peers.Snapshot(t.Context(), here, "111111111111", "snap-1")
	if f, ok := events.AsFault(err); !ok || f.Code() != "Unavailable" {
		t.Errorf("a region that is not there: %v", err)
	}
	err = peers.ask(t.Context(), "isle-1", []string{at}, "weather", struct{}{}, nil)
	wants("weather", err)

	trusting := new(alone)
	trusting.happen(events.RegionFormed{Name: "isle-1", ID: "1", Zones: []events.Zone{"isle-1a"}, Level: 1, Root: "isle-0"})
	at = serve(t, k, trusting)
	_, err = ask(two, events.Point{})
	wants("no root of accounts: it has those of 'isle-0'", err)
}

// Whatever comes, nothing is opened that was not sealed, and nothing breaks.
func FuzzMessages(f *testing.F) {
	k := key(f, 9)
	seals := envelopesOf(k)
	q := question{From: "isle-2", To: "isle-1", Nonce: []byte("n"), Time: time.Unix(1, 0), What: askIdentities, Body: events.Encode(Identities{Region: two})}
	f.Add(events.Encode(q))
	f.Add(events.Encode(answer{From: "isle-1", Nonce: []byte("n"), Fault: events.Faultf("a", "b")}))
	f.Add([]byte{})
	f.Add(seals.questions.Seal(events.Encode(q)))
	a := root()
	d := NewDesk(events.RegionInfo{Name: "isle-1", ID: "1"}, k, a, a, a, quiet)
	f.Fuzz(func(t *testing.T, b []byte) {
		if got, err := seals.openQuestion(b, "isle-1", time.Unix(1, 0)); err == nil && !bytes.Equal(seals.questions.Seal(events.Encode(got)), b) {
			t.Fatalf("%x opens and was never sealed", b)
		}
		// What another region's program has sealed, whatever that is.
		if got, err := seals.openQuestion(seals.questions.Seal(b), "isle-1", time.Unix(1, 0)); err == nil {
			d.answer(t.Context(), got)
		}
		seals.openAnswer(seals.answers.Seal(b), q)
		for _, what := range []string{askIdentities, askSnapshot, askImage} {
			d.answer(t.Context(), question{From: "isle-2", To: "isle-1", What: what, Body: b})
		}
	})
}
