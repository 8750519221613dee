package js

import (
	"math"

	"github.com/dop251/goja/ast"
)

// Longest returns the largest number that a function of a number can return: +Inf
// if it is not bounded, NaN if that is unknown. never reports that it can return
// something other than a number, on which a client gives up.
func (x *Evaluator) Longest(f *Value) (most float64, never bool) {
	var results []ast.Expression
	ends := true
	switch fn := f.Node.(type) {
	case *ast.FunctionLiteral:
		results, ends = returnExprs(fn.Body.List)
	case *ast.ArrowFunctionLiteral:
		switch body := fn.Body.(type) {
		case *ast.ExpressionBody:
			results = []ast.Expression{body.Expression}
		case *ast.BlockStatement:
			results, ends = returnExprs(body.List)
		}
	}
	en := &Env{parent: f.env, fn: f.Node, rest: true}
	never = !ends || len(results) == 0
	most = math.Inf(-1)
	for len(results) > 0 {
		r := results[0]
		results = results[1:]
		if c, ok := r.(*ast.ConditionalExpression); ok {
			results = append(results, c.Consequent, c.Alternate)
			continue
		}
		switch x.eval(f.Unit, r, en).Kind {
		case Null, Undefined, Boolean, Text, Object:
			never = true
		default:
			most = maxOf(most, x.upper(f.Unit, r, en))
		}
	}
	return most, never
}

func maxOf(a, b float64) float64 {
	if math.IsNaN(a) || math.IsNaN(b) {
		return math.NaN()
	}
	return max(a, b)
}

func (x *Evaluator) upper(u *Unit, e ast.Expression, en *Env) float64 {
	if c, ok := e.(*ast.CallExpression); ok {
		d, ok := c.Callee.(*ast.DotExpression)
		if ok && isName(d.Left, "Math") && len(c.ArgumentList) > 0 {
			var bounds []float64
			for _, a := range c.ArgumentList {
				bounds = append(bounds, x.upper(u, a, en))
			}
			switch d.Identifier.Name {
			case "min":
				least := math.NaN()
				for _, b := range bounds {
					if math.IsNaN(least) || b < least {
						least = b
					}
				}
				return least
			case "max":
				most := math.Inf(-1)
				for _, b := range bounds {
					most = maxOf(most, b)
				}
				return most
			case "round", "floor", "ceil", "trunc":
				return bounds[0]
			}
		}
	}
	if v := x.eval(u, e, en); v.Kind == Number {
		return v.Number
	}
	return math.NaN()
}

func returnExprs(body []ast.Statement) (es []ast.Expression, ends bool) {
	for _, s := range body {
		var more []ast.Expression
		var done bool
		switch s := s.(type) {
		case *ast.ReturnStatement:
			if s.Argument == nil {
				return append(es, &ast.NullLiteral{}), true
			}
			return append(es, s.Argument), true
		case *ast.ThrowStatement:
			return es, true
		case *ast.BlockStatement:
			more, done = returnExprs(s.List)
		case *ast.IfStatement:
			more, done = returnExprs([]ast.Statement{s.Consequent})
			if s.Alternate == nil {
				done = false
				break
			}
			b, doneB := returnExprs([]ast.Statement{s.Alternate})
			more, done = append(more, b...), done && doneB
		}
		es = append(es, more...)
		if done {
			return es, true
		}
	}
	return es, false
}
