package flags

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/diegoholiveira/jsonlogic/v3"
	"github.com/twmb/murmur3"
	"golang.org/x/mod/semver"
)

// Rules are evaluated by the library that flagd uses, decoded once. flagd's own
// operators are registered under names of ours, because the library's registry is the
// process's: a flagd provider in the same process would replace them.
const private = "switchyard."

func init() {
	jsonlogic.AddOperator(private+"fractional", fractional)
	jsonlogic.AddOperator(private+"sem_ver", semVer)
	jsonlogic.AddOperator(private+"starts_with", stringOp(strings.HasPrefix))
	jsonlogic.AddOperator(private+"ends_with", stringOp(strings.HasSuffix))
}

// rule is a targeting rule, decoded, with its references expanded. It is never changed.
type rule struct {
	logic     any
	compiled  expr
	readsTime bool // its answer may depend on $flagd.timestamp
}

// targeted reports whether there is a rule at all: flagd takes {} for none.
func targeted(raw json.RawMessage) bool { return len(raw) > 0 && compact(raw) != "{}" }

// newRule prepares a rule that Parse accepted.
func newRule(raw json.RawMessage, evaluators map[string]json.RawMessage) (*rule, error) {
	var logic any
	if err := json.Unmarshal(raw, &logic); err != nil {
		return nil, err
	}
	logic, err := prepare(logic, evaluators)
	if err != nil {
		return nil, err
	}
	return &rule{logic, compilePart(logic), readsTime(logic)}, nil
}

// prepare expands references and gives flagd's operators our names. An object with
// several members is a plain value to the library.
func prepare(v any, evaluators map[string]json.RawMessage) (any, error) {
	switch t := v.(type) {
	case []any:
		out := make([]any, len(t))
		for i, v := range t {
			var err error
			if out[i], err = prepare(v, evaluators); err != nil {
				return nil, err
			}
		}
		return out, nil
	case map[string]any:
		if len(t) != 1 {
			return v, nil
		}
		for op, args := range t {
			if op == "$ref" {
				name, _ := args.(string)
				var body any
				if err := json.Unmarshal(evaluators[name], &body); err != nil {
					return nil, err
				}
				return prepare(body, nil)
			}
			switch op {
			case "fractional", "sem_ver", "starts_with", "ends_with":
				op = private + op
			}
			inner, err := prepare(args, evaluators)
			return map[string]any{op: inner}, err
		}
	}
	return v, nil
}

// readsTime reports whether a rule may read the time: it names $flagd otherwise than
// for the flag's key, or computes what it reads.
func readsTime(v any) bool {
	switch t := v.(type) {
	case []any:
		for _, v := range t {
			if readsTime(v) {
				return true
			}
		}
	case map[string]any:
		for op, args := range t {
			if op == "var" {
				if list, ok := args.([]any); ok && len(list) > 0 {
					args = list[0]
				}
				switch name := args.(type) {
				case string:
					return strings.Contains(name, flagdKey) && name != flagdKey+".flagKey"
				case map[string]any:
					return true
				}
			}
			if readsTime(args) {
				return true
			}
		}
	}
	return false
}

const (
	flagdKey      = "$flagd"
	flagKeyName   = "flagKey"
	timestampName = "timestamp"
	targetingKey  = "targetingKey"
)

// verdict is what a rule says: a variant, or null (the default variant counts), or an
// error code.
type verdict struct {
	variant string
	null    bool
	code    string
}

// run applies the rule to a context, which gets the $flagd properties and must be the
// caller's own.
func (r *rule) run(key string, context map[string]any, now time.Time) verdict {
	s := scope{context: context, key: key, now: now}
	if out, ok := r.compiled(&s); ok {
		return outcome(out)
	}
	out, err := apply(r.logic, s.full())
	if err != nil {
		return verdict{code: codeParseError}
	}
	return outcome(out)
}

// apply is the library's, with every panic as an error; it hands some on.
func apply(logic, data any) (out any, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the rule failed: %v", p)
		}
	}()
	return jsonlogic.ApplyInterface(logic, data)
}

// outcome reads a result as flagd does: encoded as JSON, then without any quotes.
func outcome(out any) verdict {
	switch v := out.(type) {
	case nil:
		return verdict{null: true}
	case bool:
		if v {
			return verdict{variant: "true"}
		}
		return verdict{variant: "false"}
	case string:
		if plainText(v) {
			return verdict{variant: v}
		}
	}
	var b bytes.Buffer
	if json.NewEncoder(&b).Encode(out) != nil { // not a number, for instance
		return verdict{code: codeParseError}
	}
	text := strings.TrimSpace(b.String())
	if text == "null" {
		return verdict{null: true}
	}
	return verdict{variant: strings.ReplaceAll(text, `"`, "")}
}

// plainText reports whether a text is the same in JSON, between the quotes.
func plainText(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c > 0x7e || c == '"' || c == '\\' || c == '<' ||
			c == '>' || c == '&' {
			return false
		}
	}
	return true
}

func stringOp(holds func(s, part string) bool) jsonlogic.OperatorFn {
	return func(values, _ any) any {
		args, ok := values.([]any)
		if !ok || len(args) != 2 {
			return nil
		}
		s, ok1 := args[0].(string)
		part, ok2 := args[1].(string)
		if !ok1 || !ok2 {
			return nil
		}
		return holds(s, part)
	}
}

func semVer(values, _ any) any {
	args, ok := values.([]any)
	if !ok || len(args) != 3 {
		return nil
	}
	a, ok1 := version(args[0])
	op, ok2 := args[1].(string)
	b, ok3 := version(args[2])
	if !ok1 || !ok2 || !ok3 {
		return nil
	}
	c := semver.Compare(a, b)
	switch op {
	case "=":
		return c == 0
	case "!=":
		return c != 0
	case "<":
		return c < 0
	case "<=":
		return c <= 0
	case ">":
		return c > 0
	case ">=":
		return c >= 0
	case "^":
		return semver.Major(a) == semver.Major(b)
	case "~":
		return semver.MajorMinor(a) == semver.MajorMinor(b)
	}
	return nil
}

func version(v any) (string, bool) {
	s, ok := v.(string)
	if !ok {
		s = fmt.Sprint(v)
	}
	if !strings.HasPrefix(s, "v") {
		s = "v" + strings.TrimPrefix(s, "V")
	}
	return s, semver.IsValid(s)
}

// fractional gives one of several values by the share of each: murmur3_x86_32 of what
// readers are bucketed by, scaled to the sum of the weights. It gives null for what
// flagd does.
func fractional(values, data any) any {
	args, ok := values.([]any)
	context, isMap := data.(map[string]any)
	if !ok || len(args) == 0 || !isMap {
		return nil
	}
	return fractionOf(args, context, flagKeyOf(context))
}

// fractionOf takes at least one argument.
func fractionOf(args []any, context map[string]any, flagKey string) any {
	by, ok := args[0].(string)
	if ok {
		args = args[1:]
	} else {
		if args[0] == nil {
			args = args[1:]
		}
		who, _ := context[targetingKey].(string)
		if who == "" {
			return nil
		}
		by = flagKey + who
	}
	weights := make([]uint64, len(args))
	var sum uint64
	for i, arg := range args {
		w, ok := weight(arg)
		if !ok {
			return nil
		}
		weights[i] = w
		sum += w
	}
	if sum == 0 || sum > math.MaxInt32 {
		return nil
	}
	bucket := uint64(murmur3.StringSum32(by)) * sum >> 32
	for i, end := 0, uint64(0); i < len(args); i++ {
		if end += weights[i]; bucket < end {
			return args[i].([]any)[0]
		}
	}
	return nil
}

// weight reads [value, weight]: a whole number up to the largest int32, 1 when absent;
// negative ones count as 0.
func weight(arg any) (uint64, bool) {
	share, ok := arg.([]any)
	if !ok || len(share) == 0 {
		return 0, false
	}
	switch share[0].(type) {
	case string, bool, float64, nil:
	default:
		return 0, false
	}
	if len(share) < 2 || share[1] == nil {
		return 1, true
	}
	w, ok := share[1].(float64)
	if !ok || w != float64(int64(w)) || int64(w) > math.MaxInt32 {
		return 0, false
	}
	return uint64(max(w, 0)), true
}

// flagKeyOf reads the flag's key as flagd does. Within filter, map and the like the
// context is an element, which may hold anything.
func flagKeyOf(context map[string]any) string {
	switch p := context[flagdKey].(type) {
	case nil:
		return ""
	case map[string]any:
		key, ok1 := p["flagKey"].(string)
		at, ok2 := p["timestamp"].(float64)
		if ok1 && ok2 && len(p) == 2 && at == math.Trunc(at) && math.Abs(at) < 1e15 {
			return key
		}
	}
	var p struct {
		FlagKey   string `json:"flagKey"`
		Timestamp int64  `json:"timestamp"`
	}
	if raw, err := json.Marshal(context[flagdKey]); err != nil ||
		json.Unmarshal(raw, &p) != nil {
		return ""
	}
	return p.FlagKey
}

// checkContext bounds what a context can make the rules do. Values of a context can
// become rules (if evaluates what a variable gives, and the operators on lists do): one
// that names itself would never end, and the stack's overflow cannot be caught. So a
// context that is nested too deeply, or that holds such a rule, is refused.
func checkContext(v any, depth int) error {
	if depth > MaxDepth {
		return fmt.Errorf("The context is nested deeper than %d", MaxDepth)
	}
	switch t := v.(type) {
	case []any:
		for _, v := range t {
			if err := checkContext(v, depth+1); err != nil {
				return err
			}
		}
	case map[string]any:
		for name, v := range t {
			if _, list := v.([]any); list && len(t) == 1 && depth > 1 {
				switch name {
				case "if", "?:", "all", "some", "none", "filter", "map", "reduce":
					return errors.New(`The context holds a rule ("` + name +
						`": […]); rules belong to the flags`)
				}
			}
			if err := checkContext(v, depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}

// plainContext gives a copy of a context of Go values as JSON would carry it.
func plainContext(in map[string]any) (map[string]any, error) {
	out := make(map[string]any, len(in)+1)
	for name, v := range in {
		switch t := v.(type) {
		case nil, bool, float64:
			if f, ok := t.(float64); ok && (math.IsNaN(f) || math.IsInf(f, 0)) {
				return nil, fmt.Errorf("%s is not a number", name)
			}
			out[name] = t
		case int:
			out[name] = float64(t)
		case int64:
			out[name] = float64(t)
		default:
			raw, err := json.Marshal(v)
			if err != nil {
				return nil, err
			}
			var plain any
			if err := json.Unmarshal(raw, &plain); err != nil {
				return nil, err
			}
			out[name] = plain
		}
	}
	return out, checkContext(out, 1)
}

// entry is a flag with every answer it can give.
type entry struct {
	key     string
	static  *answer // what everybody gets; nil: the rule decides
	rule    *rule
	matches map[string]*answer // by the variant that the rule gives
	deflt   *answer            // the rule gives null
	errors  map[string]*answer // by code
}

// answer is one answer of a flag, decoded and encoded.
type answer struct {
	Evaluation
	status int
	body   []byte
}
