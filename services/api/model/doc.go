// Package model has the shapes of EC2's and STS's API: for every implemented
// action an XInput that reads itself from a query form and an XOutput that
// appends itself as XML, with all the structures they are made of.
//
//	form ─▶ XInput.DecodeQuery ─▶ handler ─▶ XOutput.AppendXML ─▶ XML
//
// The files ending in _gen.go are written by modelgen from the public API
// models. Names of types and fields are the model's own. A pointer or list that
// is nil means absent, which differs from zero, false, "" and an empty list.
// The xml tags are for encoding/xml as an independent reader in tests; the
// program itself never reflects.
//
// EC2 shapes exist in services/api and nowhere further in.
package model

//go:generate go run ../modelgen

import (
	"skerry/services/api/query"
	"skerry/services/api/reply"
)

// Input is the parameters of one action.
type Input interface {
	query.Value
	// ActionName tells which action of which service this is the input of.
	ActionName() (reply.Service, string)
}

// Known tells whether the service has an action of this name, implemented here
// or not.
func Known(s reply.Service, action string) bool {
	_, ok := actions[s][action]
	return ok
}

// Implemented lists the actions of a service whose shapes are here.
func Implemented(s reply.Service) []string {
	var names []string
	for name, done := range actions[s] {
		if done {
			names = append(names, name)
		}
	}
	return names
}
