package door

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"skerry/events"
	"skerry/events/bus"
	"skerry/services/specs"
	"skerry/services/voter"
)

// maxAnswering bounds the questions and commands of the bus in work at once.
const maxAnswering = 1024

// desk answers a set of endpoints until it is closed.
type desk struct {
	places chan struct{}
	svcs   []micro.Service
}

// serve adds an endpoint. Handlers run beside each other; when all places are
// taken the caller is told to ask again.
func (k *desk) serve(s micro.Service, name, subject, queue string, handle func(micro.Request)) error {
	opts := []micro.EndpointOpt{micro.WithEndpointSubject(subject)}
	if queue == "" {
		opts = append(opts, micro.WithEndpointQueueGroupDisabled())
	} else {
		opts = append(opts, micro.WithEndpointQueueGroup(queue))
	}
	return s.AddEndpoint(name, micro.HandlerFunc(func(r micro.Request) {
		select {
		case k.places <- struct{}{}:
			go func() {
				defer func() { <-k.places }()
				handle(r)
			}()
		default:
			again(r)
		}
	}), opts...)
}

func (k *desk) service(conn *nats.Conn, name, az, role, about string) (micro.Service, error) {
	s, err := micro.AddService(conn, micro.Config{Name: name, Version: Version, Description: about, Metadata: map[string]string{"az": az, "role": role}})
	if err == nil {
		k.svcs = append(k.svcs, s)
	}
	return s, err
}

func (k *desk) close() {
	for _, s := range k.svcs {
		s.Stop() // an unsubscribe that fails belongs to a connection that is gone
	}
}

// again tells a caller to ask again: another may answer.
func again(r micro.Request) {
	r.Respond(nil, micro.WithHeaders(micro.Headers{bus.HeaderRetry: {"1"}}))
}

// answer sends a value, or an error as what is wrong with the question.
func answer(r micro.Request, v any, err error) {
	switch f, isFault := events.AsFault(err); {
	case err == nil:
		r.RespondJSON(v)
	case errors.Is(err, voter.ErrNotLeader):
		again(r)
	case isFault:
		r.Error(f.FaultCode, f.Message, nil)
	default:
		r.Error("500", err.Error(), nil)
	}
}

// Serve answers questions until ctx ends: any voter does.
func (d *Door) Serve(ctx context.Context) error {
	k := &desk{places: make(chan struct{}, maxAnswering)}
	defer k.close()
	s, err := k.service(d.Bus.Conn(), "skerry-voter", d.Voter.AZ(), "voter", "Questions about the region, answered by any voter.")
	if err != nil {
		return fmt.Errorf("door: %w", err)
	}
	for what, handle := range d.questions() {
		if err := k.serve(s, strings.ReplaceAll(what, ".", "-"), events.QuerySubject(d.Region, what), "voters", handle); err != nil {
			return fmt.Errorf("door: %s: %w", what, err)
		}
	}
	if err := k.serve(s, "history-self", events.QuerySubject(d.Region, "history."+d.Voter.AZ()), "", d.history); err != nil {
		return fmt.Errorf("door: %w", err)
	}
	own := events.QuerySubject(d.Region, "voter."+d.Voter.AZ())
	if err := k.serve(s, "voter-self", own, "", func(r micro.Request) {
		var q events.VoterQuery
		err := decode(r, &q)
		answer(r, d.self(q), err)
	}); err != nil {
		return fmt.Errorf("door: %w", err)
	}
	if err := k.serve(s, "spec-get", events.SpecGetSubject(d.Region, "*", "*"), "voters", d.specGet); err != nil {
		return fmt.Errorf("door: %w", err)
	}
	<-ctx.Done()
	return nil
}

func (d *Door) specGet(r micro.Request) {
	words := strings.Split(r.Subject(), ".")
	host, kind := events.HostID(words[len(words)-2]), words[len(words)-1]
	var q events.SpecGet
	if err := decode(r, &q); err != nil {
		answer(r, nil, err)
		return
	}
	v := d.Voter.View()
	// A voter that has not caught up, or does not know the node, may be the
	// one that is behind.
	if _, joined := v.Nodes.Get(string(host) + "/" + kind); !joined || v.Meta.N < q.AtLeast {
		again(r)
		return
	}
	set, err := specs.Set(v, host, kind, q.Only, d.Key)
	answer(r, set, err)
}

// Lead answers commands until ctx ends: only the leader does.
func (d *Door) Lead(ctx context.Context) error {
	k := &desk{places: make(chan struct{}, maxAnswering)}
	defer k.close()
	services := map[string]micro.Service{}
	for _, c := range events.Commands() {
		name := c.Service()
		s := services[name]
		if s == nil {
			var err error
			if s, err = k.service(d.Bus.Conn(), "skerry-"+name, d.Voter.AZ(), "leader", "Commands of the region's "+name+" service."); err != nil {
				return fmt.Errorf("door: %w", err)
			}
			services[name] = s
		}
		verb := events.Name(c)
		if err := k.serve(s, verb, events.CommandSubject(d.Region, c), "", func(r micro.Request) { d.command(r, verb, "") }); err != nil {
			return fmt.Errorf("door: %s: %w", verb, err)
		}
		if !nodeVerbs[verb] {
			continue
		}
		if err := k.serve(s, "node-"+verb, events.NodeCommandSubject(d.Region, c, "*"), "", func(r micro.Request) {
			d.command(r, verb, events.HostID(r.Subject()[strings.LastIndexByte(r.Subject(), '.')+1:]))
		}); err != nil {
			return fmt.Errorf("door: %s: %w", verb, err)
		}
	}
	for what, handle := range d.leaderQuestions() {
		if err := k.serve(services["region"], "lead-"+what, events.LeaderSubject(d.Region, what), "", handle); err != nil {
			return fmt.Errorf("door: %s: %w", what, err)
		}
	}
	<-ctx.Done()
	return nil
}

// nodeVerbs are the commands that nodes send for themselves.
var nodeVerbs = map[string]bool{"JoinNode": true, "ReportInstance": true, "ReportDisk": true, "ReportVolume": true, "ReportSnapshot": true,
	"ReportRemoved": true, "ReportNATGateway": true}

// command decodes, checks and proposes a command of the bus. From names the
// host that the bus let publish on a node's subject.
func (d *Door) command(r micro.Request, verb string, from events.HostID) {
	c, err := events.DecodeCommandJSON(verb, r.Data())
	if err != nil {
		r.Error("400", err.Error(), nil)
		return
	}
	stamp := bus.NewStamp("operator")
	if h := r.Headers().Get(bus.HeaderStamp); h != "" {
		if err := json.Unmarshal([]byte(h), &stamp); err != nil {
			r.Error("400", bus.HeaderStamp+": "+err.Error(), nil)
			return
		}
	} else if a := r.Headers().Get("Skerry-Account"); a != "" {
		stamp.Account = events.AccountID(a)
	}
	if stamp.ID == "" || stamp.Version < 1 {
		r.Error("400", "a command's stamp needs an id and a version", nil)
		return
	}
	if from != "" {
		host, kind := speaker(c)
		if host != from {
			r.Error("403", fmt.Sprintf("host %s may not speak for %s", from, host), nil)
			return
		}
		stamp.Actor, stamp.Account, stamp.Call = "node:"+string(host)+"/"+kind, "", events.Call{}
	}
	reply, err := d.propose(events.Stamped{Stamp: stamp, Command: c})
	answer(r, reply, err)
}

func speaker(c events.Command) (events.HostID, string) {
	switch c := c.(type) {
	case events.JoinNode:
		return c.Host, c.Kind
	case events.ReportInstance:
		return c.Host, "compute"
	case events.ReportDisk:
		return c.Host, "compute"
	case events.ReportVolume:
		return c.Host, "storage"
	case events.ReportSnapshot:
		return c.Host, "storage"
	case events.ReportNATGateway:
		return c.Host, "gateway"
	case events.ReportRemoved:
		if c.Kind == events.SpecPublic {
			return c.Host, "gateway"
		}
		return c.Host, "network"
	}
	return "", ""
}

func decode(r micro.Request, v any) error {
	if len(r.Data()) == 0 {
		return nil
	}
	if err := json.Unmarshal(r.Data(), v); err != nil {
		return events.Faultf("400", "The question cannot be read: %v", err)
	}
	return nil
}
