// Package query reads an EC2 Query API request, whose parameters are one flat
// form, into the typed inputs of package model.
//
//	Filter.1.Name=tag:Name&Filter.1.Value.2=b&Filter.1.Value.1=a&MaxResults=5
//
//	Parse ─▶ Form     Filter ── 1 ┬─ Name  = tag:Name
//	                              └─ Value ┬─ 1 = a
//	                                       └─ 2 = b
//	                  MaxResults = 5
//
//	Form.Decode(in) ─▶ in.DecodeQuery(Decoder): generated, one line per member
//
// Lists are numbered from 1; the numbers only order the items, so holes are
// fine. Every parameter must be taken by some member: what is left over is
// answered with UnknownParameter, as EC2 does.
//
// The package promises that hostile input ends in an *events.Fault which names
// the parameter: nothing panics, and the work is linear in the size of the
// input. It expects its caller to have cut the body at MaxBody.
package query
