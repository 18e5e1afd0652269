package supervisor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// asked is a request on its way to the loop.
type asked struct {
	Request
	reply chan Reply
}

// maxConns bounds the people and programs that ask at the same time.
const maxConns = 64

// serveControl accepts on the control socket until the listener closes.
func serveControl(ctx context.Context, l net.Listener, ask chan<- asked) {
	var wg sync.WaitGroup
	defer wg.Wait()
	slots := make(chan struct{}, maxConns)
	for {
		c, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue
		}
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			answer(ctx, c, ask)
		})
	}
}

func answer(ctx context.Context, c net.Conn, ask chan<- asked) {
	defer c.Close()
	c.SetReadDeadline(time.Now().Add(5 * time.Second))
	var rep Reply
	req, err := readRequest(c)
	if err != nil {
		rep.Error = err.Error()
	} else {
		a := asked{req, make(chan Reply, 1)}
		select {
		case ask <- a:
			rep = <-a.reply
		case <-ctx.Done():
			rep.Error = "the supervisor is ending"
		}
	}
	c.SetWriteDeadline(time.Now().Add(5 * time.Second))
	json.NewEncoder(c).Encode(rep)
}

// readRequest reads one request, strictly.
func readRequest(r io.Reader) (Request, error) {
	var req Request
	d := json.NewDecoder(io.LimitReader(r, maxMessage))
	d.DisallowUnknownFields()
	if err := d.Decode(&req); err != nil {
		return Request{}, fmt.Errorf("not a request: %w", err)
	}
	return req, nil
}

// listenControl takes the control socket over from whoever left it. The caller
// holds the region's lock.
func listenControl(path string) (net.Listener, error) {
	os.Remove(path)
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("supervisor: control socket: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		l.Close()
		return nil, fmt.Errorf("supervisor: control socket: %w", err)
	}
	return l, nil
}
