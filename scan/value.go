package scan

import (
	"maps"
	"slices"
	"strconv"

	"github.com/dop251/goja/ast"
)

type kind int

const (
	unknown kind = iota
	undefined
	null
	boolean
	number
	text   // a string
	object // known properties, perhaps with others
	array
	function
	classValue // a class of the source
	symbol     // what a package exports, or a package
	module     // a file
	instance   // new of a symbol, or of a class of the source
	self       // this
	either
)

// A value is what an expression gives, as far as the source tells.
type value struct {
	kind   kind
	why    string // of unknown
	bool   bool
	number float64
	text   string
	opaque bool // of text and boolean: which one is known only at run time

	props map[string]*value
	other *value // what properties not listed are; nil: undefined
	items []*value

	unit  *unit
	node  ast.Node // function
	env   *env
	class *class
	pkg   string // symbol
	name  string
	of    *value // instance: what was constructed
	args  []*value
	any   []*value
	over  *value // instance: options that duplicate() puts over
}

func not(why string) *value             { return &value{kind: unknown, why: why} }
func str(s string) *value               { return &value{kind: text, text: s} }
func num(n float64) *value              { return &value{kind: number, number: n} }
func truth(b bool) *value               { return &value{kind: boolean, bool: b} }
func record(p map[string]*value) *value { return &value{kind: object, props: p} }

var (
	undef  = &value{kind: undefined}
	nulled = &value{kind: null}
)

func indexName(i int) string { return strconv.Itoa(i) }

// oneOf is a value that is one of several.
func oneOf(vs ...*value) *value {
	var flat []*value
	for _, v := range vs {
		if v == nil {
			continue
		}
		if v.kind == either {
			flat = append(flat, v.any...)
		} else if !slices.ContainsFunc(flat, func(o *value) bool {
			return o == v || v.kind == classValue && o.kind == classValue && o.class == v.class
		}) {
			flat = append(flat, v)
		}
	}
	switch {
	case len(flat) == 0:
		return undef
	case len(flat) == 1:
		return flat[0]
	case len(flat) > 64:
		return not("it has too many possible values")
	}
	return &value{kind: either, any: flat}
}

// each gives the values that v may be.
func (v *value) each() []*value {
	if v.kind == either {
		return v.any
	}
	return []*value{v}
}

// over maps every value that v may be.
func (v *value) mapped(f func(*value) *value) *value {
	if v.kind != either {
		return f(v)
	}
	out := make([]*value, len(v.any))
	for i, one := range v.any {
		out[i] = f(one)
	}
	return oneOf(out...)
}

// prop is an own property of an object value.
func (v *value) prop(name string) *value {
	if p, ok := v.props[name]; ok {
		return p
	}
	if v.other != nil {
		return v.other
	}
	return undef
}

func (v *value) clone() *value {
	c := *v
	c.props = maps.Clone(v.props)
	if c.props == nil {
		c.props = map[string]*value{}
	}
	return &c
}

// truthy is nil where it depends.
func (v *value) truthy() *bool {
	yes, no := true, false
	switch v.kind {
	case undefined, null:
		return &no
	case boolean:
		if v.opaque {
			return nil
		}
		return &v.bool
	case number:
		if v.number != 0 {
			return &yes
		}
		return &no
	case text:
		if v.opaque {
			return nil
		}
		if v.text != "" {
			return &yes
		}
		return &no
	case object, array, function, classValue, instance, module, symbol:
		return &yes
	}
	return nil
}

// spread puts the properties of s over those of o.
func spread(o, s *value) *value {
	out := o.clone()
	switch s.kind {
	case undefined, null, boolean, number, text, array, function:
	case object:
		if s.other != nil {
			for k, p := range out.props {
				out.props[k] = oneOf(p, s.other)
			}
			out.other = oneOf(s.other, out.other)
		}
		for k, p := range s.props {
			out.props[k] = p
		}
	case either:
		// Each property is what it was, or what one of them says.
		var outs []*value
		for _, one := range s.any {
			outs = append(outs, spread(o, one))
		}
		return merged(outs)
	default:
		why := s.why
		if why == "" {
			why = "what is spread is not a plain object"
		}
		return spread(o, &value{kind: object, other: not(why)})
	}
	return out
}

func merged(outs []*value) *value {
	all := map[string]*value{}
	var others []*value
	for _, o := range outs {
		for k := range o.props {
			all[k] = nil
		}
		if o.other != nil {
			others = append(others, o.other)
		}
	}
	for k := range all {
		var vs []*value
		for _, o := range outs {
			vs = append(vs, o.prop(k))
		}
		all[k] = oneOf(vs...)
	}
	m := record(all)
	if len(others) > 0 {
		m.other = oneOf(append(others, undef)...)
	}
	return m
}
