package flags

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// Most rules use few operators on plain values. Those are turned into functions once,
// which take a fifth of the time that the library needs to walk the rule again for each
// evaluation. The library stays the authority: what is not known here is handed to it,
// a part of a rule as much as a case of an operator, and TestEvaluationIsFlagds holds
// both to flagd's answers.

// scope is what a rule is applied to.
type scope struct {
	// the caller's own; gets the $flagd properties when the library needs them
	context map[string]any
	key     string
	now     time.Time
	shared  bool // the context holds the $flagd properties of this flag
}

// expr is a part of a rule. It is not ok where only the library knows what comes out;
// the whole rule is then the library's.
type expr func(*scope) (v any, ok bool)

// compilePart makes an expr of any part of a prepared rule.
func compilePart(logic any) expr {
	switch t := logic.(type) {
	case nil, bool, float64, string:
		return func(*scope) (any, bool) { return t, true }
	case map[string]any:
		if len(t) == 1 {
			for op, args := range t {
				if e := compileOperator(op, args); e != nil {
					return e
				}
			}
		}
	}
	return func(s *scope) (any, bool) {
		v, err := apply(logic, s.full())
		return v, err == nil
	}
}

// full gives the context with the $flagd properties.
func (s *scope) full() map[string]any {
	if !s.shared {
		s.shared = true
		s.context[flagdKey] = map[string]any{flagKeyName: s.key,
			timestampName: float64(s.now.Unix())}
	}
	return s.context
}

// compileOperator gives nil for what is the library's.
func compileOperator(op string, args any) expr {
	list, isList := args.([]any)
	switch op {
	case "var":
		return compileVar(args)
	case "!", "!!":
		if isList && len(list) == 1 {
			args, isList = list[0], false
		}
		if _, nested := args.([]any); !isList && !nested {
			return not(compilePart(args), op == "!!")
		}
	case "if", "?:":
		if len(list) > 0 {
			return choose(compileAll(list))
		}
	case "and", "or":
		if len(list) > 0 {
			return junction(compileAll(list), op == "or")
		}
	case "in":
		if len(list) == 2 {
			return compileIn(list[0], list[1])
		}
	case "cat":
		if len(list) > 1 {
			return cat(compileAll(list))
		}
	case private + "fractional":
		return compileFractional(list)
	case private + "sem_ver":
		if len(list) == 3 {
			return call(compileAll(list), func(args []any) any { return semVer(args, nil) })
		}
	}
	if f := binary[op]; f != nil && len(list) == 2 {
		a, b := compilePart(list[0]), compilePart(list[1])
		return func(s *scope) (any, bool) {
			x, ok1 := a(s)
			y, ok2 := b(s)
			if !ok1 || !ok2 {
				return nil, false
			}
			return f(x, y)
		}
	}
	return nil
}

func compileAll(list []any) []expr {
	out := make([]expr, len(list))
	for i, v := range list {
		out[i] = compilePart(v)
	}
	return out
}

// binary are operators on two values.
var binary = map[string]func(a, b any) (any, bool){
	"==":  equal,
	"!=":  func(a, b any) (any, bool) { return negated(equal(a, b)) },
	"===": same,
	"!==": func(a, b any) (any, bool) { return negated(same(a, b)) },
	"<": func(a, b any) (any, bool) {
		c, ok := order(a, b)
		return c < 0, ok
	},
	"<=": func(a, b any) (any, bool) {
		c, ok := order(a, b)
		return c <= 0, ok
	},
	">": func(a, b any) (any, bool) {
		c, ok := order(a, b)
		return c > 0, ok
	},
	">=": func(a, b any) (any, bool) {
		c, ok := order(a, b)
		return c >= 0, ok
	},
	private + "starts_with": affix(strings.HasPrefix),
	private + "ends_with":   affix(strings.HasSuffix),
}

func negated(v any, ok bool) (any, bool) { return v != true, ok }

// equal knows strings, numbers and null; the library converts the rest, or fails.
func equal(a, b any) (any, bool) {
	if a == nil || b == nil {
		return a == nil && b == nil, true
	}
	c, ok := order(a, b)
	return c == 0, ok
}

func same(a, b any) (any, bool) {
	if !plain(a) || !plain(b) {
		return nil, false
	}
	_, isText := a.(string)
	_, isNumber := a.(float64)
	_, text := b.(string)
	_, number := b.(float64)
	if isText != text || isNumber != number {
		return false, true
	}
	return equal(a, b)
}

// plain reports whether a value is null, a text or a number.
func plain(v any) bool {
	switch v.(type) {
	case nil, string, float64:
		return true
	}
	return false
}

// order compares two texts or two numbers.
func order(a, b any) (int, bool) {
	switch x := a.(type) {
	case string:
		if y, ok := b.(string); ok {
			return strings.Compare(x, y), true
		}
	case float64:
		if y, ok := b.(float64); ok {
			switch {
			case x < y:
				return -1, true
			case x > y:
				return 1, true
			}
			return 0, x == y // arithmetic of the library can give NaN
		}
	}
	return 0, false
}

func affix(holds func(s, part string) bool) func(a, b any) (any, bool) {
	return func(a, b any) (any, bool) {
		s, ok1 := a.(string)
		part, ok2 := b.(string)
		if !ok1 || !ok2 {
			return nil, true
		}
		return holds(s, part), true
	}
}

// truth is JsonLogic's: empty is false.
func truth(v any) bool {
	switch t := v.(type) {
	case bool:
		return t
	case float64:
		return t != 0
	case string:
		return t != ""
	case []any:
		return len(t) > 0
	case map[string]any:
		return len(t) > 0
	}
	return false
}

func not(e expr, twice bool) expr {
	return func(s *scope) (any, bool) {
		v, ok := e(s)
		if _, list := v.([]any); list { // of which only the first counts
			return nil, false
		}
		return truth(v) == twice, ok
	}
}

func junction(all []expr, or bool) expr {
	return func(s *scope) (last any, ok bool) {
		for _, e := range all {
			if last, ok = e(s); !ok || truth(last) == or {
				return last, ok
			}
		}
		return last, true
	}
}

// choose is if, then, else if, then ... else.
func choose(all []expr) expr {
	return func(s *scope) (any, bool) {
		for i := 0; i+1 < len(all); i += 2 {
			v, ok := all[i](s)
			if !ok {
				return nil, false
			}
			if truth(v) {
				return chosen(all[i+1], s)
			}
		}
		if len(all)%2 == 1 {
			return chosen(all[len(all)-1], s)
		}
		return nil, true
	}
}

// chosen leaves to the library what it applies as a rule again.
func chosen(e expr, s *scope) (any, bool) {
	v, ok := e(s)
	if _, rule := v.(map[string]any); rule {
		return nil, false
	}
	return v, ok
}

// call evaluates the arguments and gives them to a function.
func call(all []expr, f func(args []any) any) expr {
	return func(s *scope) (any, bool) {
		args := make([]any, len(all))
		for i, e := range all {
			v, ok := e(s)
			if !ok {
				return nil, false
			}
			args[i] = v
		}
		return f(args), true
	}
}

func cat(all []expr) expr {
	return func(s *scope) (any, bool) {
		var b []byte
		for _, e := range all {
			v, ok := e(s)
			if !ok {
				return nil, false
			}
			switch t := v.(type) {
			case nil:
			case string:
				b = append(b, t...)
			case float64:
				b = strconv.AppendFloat(b, t, 'f', -1, 64)
			default:
				return nil, false
			}
		}
		return strings.TrimSpace(string(b)), true
	}
}

// compileVar knows names that a rule gives as text, with or without a plain default.
func compileVar(args any) expr {
	var def any
	if list, ok := args.([]any); ok && (len(list) == 1 || len(list) == 2) {
		args = list[0]
		if len(list) == 2 {
			if def = list[1]; !plain(def) {
				return nil
			}
		}
	}
	name, ok := args.(string)
	if !ok {
		return nil
	}
	path := slices.DeleteFunc(strings.Split(name, "."), func(part string) bool {
		return part == ""
	})
	if len(path) == 0 {
		return nil
	}
	if path[0] == flagdKey {
		switch {
		case len(path) == 2 && path[1] == flagKeyName:
			return func(s *scope) (any, bool) { return s.key, true }
		case len(path) == 2 && path[1] == timestampName:
			return func(s *scope) (any, bool) { return float64(s.now.Unix()), true }
		}
		return nil
	}
	return func(s *scope) (any, bool) {
		var v any = s.context
		for _, part := range path {
			switch t := v.(type) {
			case map[string]any:
				v = t[part]
			case []any:
				return nil, false
			default:
				return def, true
			}
			if v == nil {
				return def, true
			}
		}
		return v, true
	}
}

// compileIn knows texts within a text, and plain values among a list of texts.
func compileIn(what, where any) expr {
	a, list := compilePart(what), []any(nil)
	if l, ok := where.([]any); ok {
		if list = l; slices.ContainsFunc(l, func(v any) bool {
			_, text := v.(string)
			return !text
		}) {
			return nil
		}
		return func(s *scope) (any, bool) {
			v, ok := a(s)
			switch v.(type) {
			case nil, bool, string:
				return slices.Contains(list, v), ok
			}
			return nil, false
		}
	}
	b := compilePart(where)
	return func(s *scope) (any, bool) {
		v, ok1 := a(s)
		w, ok2 := b(s)
		part, ok3 := v.(string)
		text, ok4 := w.(string)
		if !ok1 || !ok2 || !ok3 || !ok4 {
			return nil, false
		}
		return strings.Contains(text, part), true
	}
}

// compileFractional knows shares that are written out, after something to bucket by or
// without.
func compileFractional(list []any) expr {
	if len(list) == 0 {
		return nil
	}
	shares, by := list, expr(nil)
	if _, ok := list[0].([]any); !ok {
		by, shares = compilePart(list[0]), list[1:]
	}
	for _, share := range shares {
		parts, ok := share.([]any)
		if !ok || slices.ContainsFunc(parts, func(v any) bool {
			_, flag := v.(bool)
			return !flag && !plain(v)
		}) {
			return nil
		}
	}
	if by == nil {
		return func(s *scope) (any, bool) { return fractionOf(list, s.context, s.key), true }
	}
	return func(s *scope) (any, bool) {
		v, ok := by(s)
		if !ok {
			return nil, false
		}
		args := make([]any, 1, 8)
		args[0] = v
		return fractionOf(append(args, shares...), s.context, s.key), true
	}
}
