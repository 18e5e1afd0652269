package api

import (
	"context"
	"fmt"
	"sort"

	"skerry/services/api/model"
	"skerry/services/api/query"
	"skerry/services/api/reply"
)

// Table has the handler of each action.
type Table struct {
	routes map[key]route
	json   map[key]jsonRoute
}

type key struct {
	service reply.Service
	action  string
}

// route decodes the form, fills in what the call takes from it, and runs the
// handler.
type route func(ctx context.Context, c *Call, f *query.Form) (reply.Body, error)

// jsonRoute answers an action of the JSON protocol: it reads the body itself.
type jsonRoute func(ctx context.Context, c *Call, body []byte) (any, error)

// NewTable returns a table without handlers.
func NewTable() *Table {
	return &Table{routes: make(map[key]route), json: make(map[key]jsonRoute)}
}

// HandleJSON registers the handler of an action of the JSON protocol. What it
// answers is marshalled.
func (t *Table) HandleJSON(s reply.Service, action string, fn func(ctx context.Context, c *Call, body []byte) (any, error)) {
	t.json[key{s, action}] = fn
}

// Handle registers a handler. The action is known by the input's type:
//
//	api.Handle(t, s.RunInstances) // func(context.Context, *api.Call, *model.RunInstancesInput) (*model.RunInstancesOutput, error)
//
// Registering an action twice is a mistake of the program, and panics.
func Handle[I, O any, PI interface {
	*I
	model.Input
}, PO interface {
	*O
	reply.Body
}](t *Table, fn func(context.Context, *Call, *I) (*O, error)) {
	service, action := PI(new(I)).ActionName()
	k := key{service, action}
	if t.routes[k] != nil {
		panic(fmt.Sprintf("api: %s has two handlers", action))
	}
	t.routes[k] = func(ctx context.Context, c *Call, f *query.Form) (reply.Body, error) {
		in := PI(new(I))
		if err := f.Decode(in); err != nil {
			return nil, err
		}
		if d, ok := any(in).(interface{ IsDryRun() bool }); ok {
			c.DryRun = d.IsDryRun()
		}
		if k, ok := any(in).(interface{ Token() *string }); ok {
			if err := c.setClientToken(k.Token()); err != nil {
				return nil, err
			}
		}
		out, err := fn(ctx, c, in)
		if err != nil {
			return nil, err
		}
		if c.DryRun {
			return nil, dryRun
		}
		if out == nil {
			return nil, fmt.Errorf("the handler returned nothing")
		}
		return PO(out), nil
	}
}

// Missing lists the actions whose shapes exist but that have no handler.
func (t *Table) Missing() []string {
	var names []string
	for _, s := range []reply.Service{reply.EC2, reply.STS} {
		for _, name := range model.Implemented(s) {
			if t.routes[key{s, name}] == nil {
				names = append(names, name)
			}
		}
	}
	sort.Strings(names)
	return names
}
