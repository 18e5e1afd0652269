package main

import (
	"bytes"
	"fmt"
	"strings"
)

func (w *world) shapes(b *bytes.Buffer) {
	fmt.Fprint(b, "import \"time\"\n\n")
	for _, name := range keys(w.types) {
		t := w.types[name]
		switch {
		case t.in && t.out:
			fmt.Fprintf(b, "// %s is part of inputs and outputs.\n", name)
		case strings.HasSuffix(name, "Input"):
			fmt.Fprintf(b, "// %s holds the parameters of %s.\n", name, strings.TrimSuffix(name, "Input"))
		case t.top:
			fmt.Fprintf(b, "// %s answers %s.\n", name, strings.TrimSuffix(name, "Output"))
		case t.in:
			fmt.Fprintf(b, "// %s is part of inputs.\n", name)
		default:
			fmt.Fprintf(b, "// %s is part of outputs.\n", name)
		}
		fmt.Fprintf(b, "type %s struct {\n", name)
		for _, m := range t.members {
			switch {
			case !t.out:
				fmt.Fprintf(b, "%s %s // %s\n", m.field, m.goType, m.query)
			case m.item != "":
				fmt.Fprintf(b, "%s %s `xml:%q`\n", m.field, m.goType, m.xml+">"+m.item)
			default:
				fmt.Fprintf(b, "%s %s `xml:%q`\n", m.field, m.goType, m.xml)
			}
		}
		fmt.Fprint(b, "}\n\n")
	}
	for _, name := range keys(w.aliases) {
		fmt.Fprintf(b, "// %s answers %s.\ntype %s = %s\n\n", name, strings.TrimSuffix(name, "Output"), name, w.aliases[name])
	}
	for _, name := range w.void {
		fmt.Fprintf(b, "// %s answers %s: it says that it was done.\ntype %s struct{}\n\n", name, strings.TrimSuffix(name, "Output"), name)
	}
}

func (w *world) decoders(b *bytes.Buffer) {
	fmt.Fprint(b, "import \"skerry/services/api/query\"\n\n")
	for _, name := range keys(w.types) {
		t := w.types[name]
		if !t.in {
			continue
		}
		if len(t.members) == 0 {
			fmt.Fprintf(b, "func (*%s) DecodeQuery(*query.Decoder) {}\n\n", name)
			continue
		}
		fmt.Fprintf(b, "func (v *%s) DecodeQuery(d *query.Decoder) {\n", name)
		var required []string
		for _, m := range t.members {
			if m.required {
				required = append(required, fmt.Sprintf("%q", m.query))
			}
		}
		if len(required) > 0 {
			fmt.Fprintf(b, "d.Require(%s)\n", strings.Join(required, ", "))
		}
		for _, m := range t.members {
			switch m.kind {
			case "Struct", "List":
				fmt.Fprintf(b, "query.%s(d, %q, &v.%s)\n", m.kind, m.query, m.field)
			case "Enum", "Enums":
				fmt.Fprintf(b, "d.%s(%q, &v.%s, %s)\n", m.kind, m.query, m.field, m.enum)
			default:
				fmt.Fprintf(b, "d.%s(%q, &v.%s)\n", m.kind, m.query, m.field)
			}
		}
		fmt.Fprint(b, "}\n\n")
	}
	for _, name := range keys(w.enums) {
		fmt.Fprintf(b, "var %s = []string{", name)
		for i, e := range w.enums[name] {
			if i > 0 {
				fmt.Fprint(b, ", ")
			}
			fmt.Fprintf(b, "%q", e)
		}
		fmt.Fprint(b, "}\n\n")
	}
}

func (w *world) encoders(b *bytes.Buffer) {
	fmt.Fprint(b, "import \"skerry/services/api/reply\"\n\n")
	for _, name := range keys(w.types) {
		t := w.types[name]
		if !t.out {
			continue
		}
		fmt.Fprintf(b, "func (v *%s) AppendXML(b []byte) []byte {\n", name)
		for _, m := range t.members {
			kind := m.kind
			if kind == "Enum" || kind == "Enums" {
				kind = strings.Replace(kind, "Enum", "String", 1)
			}
			if m.item == "" {
				fmt.Fprintf(b, "b = reply.%s(b, %q, v.%s)\n", kind, m.xml, m.field)
				continue
			}
			fmt.Fprintf(b, "b = reply.%s(b, %q, %q, v.%s)\n", kind, m.xml, m.item, m.field)
			if t.top {
				fmt.Fprintf(b, "b = reply.Empty(b, %q, v.%s == nil)\n", m.xml, m.field)
			}
		}
		fmt.Fprint(b, "return b\n}\n\n")
	}
	for _, name := range w.void {
		fmt.Fprintf(b, "func (*%s) AppendXML(b []byte) []byte { return append(b, \"<return>true</return>\"...) }\n\n", name)
	}
}

func (w *world) names(b *bytes.Buffer) {
	fmt.Fprint(b, "import \"skerry/services/api/reply\"\n\n")
	for _, a := range w.actions {
		fmt.Fprintf(b, "func (*%sInput) ActionName() (reply.Service, string) { return %q, %q }\n", a.name, a.service, a.name)
		if a.dry {
			fmt.Fprintf(b, "func (v *%sInput) IsDryRun() bool { return v.DryRun != nil && *v.DryRun }\n", a.name)
		}
		if a.token {
			fmt.Fprintf(b, "func (v *%sInput) Token() *string { return v.ClientToken }\n", a.name)
		}
	}
	fmt.Fprint(b, "\n// actions has the name of every action of the models, and whether its shapes\n// are in this package.\nvar actions = map[reply.Service]map[string]bool{\n")
	done := map[string]bool{}
	for _, a := range w.actions {
		done[a.service+a.name] = true
	}
	for _, s := range keys(w.all) {
		fmt.Fprintf(b, "%q: {\n", s)
		for _, n := range w.all[s] {
			fmt.Fprintf(b, "%q: %v,\n", n, done[s+n])
		}
		fmt.Fprint(b, "},\n")
	}
	fmt.Fprint(b, "}\n")
}

// outputs is for the tests: one of each, so that they see every shape.
func (w *world) outputs(b *bytes.Buffer) {
	fmt.Fprint(b, "import \"skerry/services/api/reply\"\n\nvar outputs = map[string]func() reply.Body{\n")
	for _, a := range w.actions {
		fmt.Fprintf(b, "%q: func() reply.Body { return new(%sOutput) },\n", a.name, a.name)
	}
	fmt.Fprint(b, "}\n")
}
