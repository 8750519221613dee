package js

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/dop251/goja/ast"
)

// Kind is what sort of value an expression has.
type Kind int

// The kinds of values.
const (
	Unknown Kind = iota
	Undefined
	Null
	Boolean
	Number
	Text   // a string
	Object // known properties, perhaps with others
	Array
	Function
	ClassValue // a class in the source
	Import     // what a package exports, or a package
	Module     // a file
	Instance   // new of an Import or a class in the source
	This       // the value of this
	Either
)

// Value is what an expression evaluates to, as far as the source tells.
type Value struct {
	Kind   Kind
	Why    string // of Unknown
	Bool   bool
	Number float64
	Text   string
	Opaque bool // of Text and Boolean: which one is only known at run time

	Props map[string]*Value
	other *Value // what properties not listed are; nil: undefined
	Items []*Value

	Unit  *Unit
	Node  ast.Node // of Function
	env   *Env
	Class *Class
	Pkg   string // of Import
	Name  string
	Of    *Value // of Instance: what was constructed
	Args  []*Value
	Any   []*Value
	Over  *Value // of Instance: options that duplicate() overrides
}

// NotKnown is a value that the source does not tell, and why.
func NotKnown(why string) *Value { return &Value{Kind: Unknown, Why: why} }

// Str is a string.
func Str(s string) *Value { return &Value{Kind: Text, Text: s} }

// Num is a number.
func Num(n float64) *Value { return &Value{Kind: Number, Number: n} }

// Truth is a boolean.
func Truth(b bool) *Value { return &Value{Kind: Boolean, Bool: b} }

// Record is an object with these properties and no others.
func Record(p map[string]*Value) *Value { return &Value{Kind: Object, Props: p} }

// undefined and null.
var (
	Undef  = &Value{Kind: Undefined}
	Nulled = &Value{Kind: Null}
)

func indexName(i int) string { return strconv.Itoa(i) }

// OneOf is a value that is one of several.
func OneOf(vs ...*Value) *Value {
	var flat []*Value
	for _, v := range vs {
		if v == nil {
			continue
		}
		if v.Kind == Either {
			flat = append(flat, v.Any...)
		} else if !slices.ContainsFunc(flat, func(o *Value) bool {
			return o == v || v.Kind == ClassValue && o.Kind == ClassValue && o.Class == v.Class
		}) {
			flat = append(flat, v)
		}
	}
	switch {
	case len(flat) == 0:
		return Undef
	case len(flat) == 1:
		return flat[0]
	case len(flat) > 64:
		return NotKnown("it has too many possible values")
	}
	return &Value{Kind: Either, Any: flat}
}

// Each returns the values that v may be.
func (v *Value) Each() []*Value {
	if v.Kind == Either {
		return v.Any
	}
	return []*Value{v}
}

// Map applies f to every value that v may be.
func (v *Value) Map(f func(*Value) *Value) *Value {
	if v.Kind != Either {
		return f(v)
	}
	out := make([]*Value, len(v.Any))
	for i, one := range v.Any {
		out[i] = f(one)
	}
	return OneOf(out...)
}

// Prop returns an own property of an object.
func (v *Value) Prop(name string) *Value {
	if p, ok := v.Props[name]; ok {
		return p
	}
	if v.other != nil {
		return v.other
	}
	return Undef
}

func (v *Value) clone() *Value {
	c := *v
	c.Props = maps.Clone(v.Props)
	if c.Props == nil {
		c.Props = map[string]*Value{}
	}
	return &c
}

// truthy is nil if it depends.
func (v *Value) truthy() *bool {
	yes, no := true, false
	switch v.Kind {
	case Undefined, Null:
		return &no
	case Boolean:
		if v.Opaque {
			return nil
		}
		return &v.Bool
	case Number:
		if v.Number != 0 {
			return &yes
		}
		return &no
	case Text:
		if v.Opaque {
			return nil
		}
		if v.Text != "" {
			return &yes
		}
		return &no
	case Object, Array, Function, ClassValue, Instance, Module, Import:
		return &yes
	}
	return nil
}

// Spread overrides the properties of o with those of s.
func Spread(o, s *Value) *Value {
	out := o.clone()
	switch s.Kind {
	case Undefined, Null, Boolean, Number, Text, Array, Function:
	case Object:
		if s.other != nil {
			for k, p := range out.Props {
				out.Props[k] = OneOf(p, s.other)
			}
			out.other = OneOf(s.other, out.other)
		}
		for k, p := range s.Props {
			out.Props[k] = p
		}
	case Either:
		// Each property is either what it was, or what one of them says.
		var outs []*Value
		for _, one := range s.Any {
			outs = append(outs, Spread(o, one))
		}
		return merged(outs)
	default:
		why := s.Why
		if why == "" {
			why = "what is spread is not a plain object"
		}
		return Spread(o, &Value{Kind: Object, other: NotKnown(why)})
	}
	return out
}

func merged(outs []*Value) *Value {
	all := map[string]*Value{}
	var others []*Value
	for _, o := range outs {
		for k := range o.Props {
			all[k] = nil
		}
		if o.other != nil {
			others = append(others, o.other)
		}
	}
	for k := range all {
		var vs []*Value
		for _, o := range outs {
			vs = append(vs, o.Prop(k))
		}
		all[k] = OneOf(vs...)
	}
	m := Record(all)
	if len(others) > 0 {
		m.other = OneOf(append(others, Undef)...)
	}
	return m
}

// String describes a value in a report.
func (v *Value) String() string {
	switch v.Kind {
	case Unknown:
		return "not known: " + v.Why
	case Undefined:
		return "not set"
	case Null:
		return "null"
	case Boolean:
		if v.Opaque {
			return cmp.Or(v.Why, "true or false, only known at run time")
		}
		return strconv.FormatBool(v.Bool)
	case Number:
		return strconv.FormatFloat(v.Number, 'f', -1, 64)
	case Text:
		if v.Opaque {
			return "a string only known at run time"
		}
		return strconv.Quote(v.Text)
	case Object:
		return "an object"
	case Array:
		return "a list"
	case Function:
		return "a function"
	case Either:
		var s []string
		for _, o := range v.Any {
			if t := o.String(); !slices.Contains(s, t) {
				s = append(s, t)
			}
		}
		return strings.Join(s, ", or ")
	case Instance:
		if v.Of.Kind == Import {
			return "new " + v.Of.Name + " of " + v.Of.Pkg
		}
	}
	return "something that cannot be resolved"
}
