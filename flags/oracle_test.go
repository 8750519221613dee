package flags_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand"
	"reflect"
	"testing"
	"time"

	"github.com/open-feature/flagd/core/pkg/evaluator"
	"github.com/open-feature/flagd/core/pkg/logger"
	"github.com/open-feature/flagd/core/pkg/store"
	"github.com/open-feature/flagd/core/pkg/sync"
	"go.uber.org/zap"

	"github.com/switchyard-dev/switchyard/flags"
)

// oracle makes flagd's own evaluator of a document.
func oracle(t testing.TB, doc []byte) *evaluator.JSON {
	t.Helper()
	log := logger.NewLogger(zap.NewNop(), false)
	held, err := store.NewStore(log, []string{"test"})
	if err != nil {
		t.Fatal(err)
	}
	e := evaluator.NewJSON(log, held)
	if err := e.SetState(sync.DataSync{FlagData: string(doc), Source: "test"}); err != nil {
		t.Fatalf("flagd refuses %s: %v", doc, err)
	}
	return e
}

// given is an answer in one form for both.
type given struct {
	Value     any            `json:"value"`
	Variant   string         `json:"variant"`
	Reason    string         `json:"reason"`
	ErrorCode string         `json:"errorCode"`
	Metadata  map[string]any `json:"metadata"`
}

func fromOracle(e *evaluator.JSON, key string, context map[string]any) given {
	v := e.ResolveAsAnyValue(noContext, "", key, context)
	switch {
	case v.Error != nil:
		return given{ErrorCode: v.Error.Error()}
	case v.Reason == "FALLBACK":
		return given{Reason: "DEFAULT", Metadata: v.Metadata}
	case v.Reason == "DISABLED":
		return given{Reason: "DISABLED", Metadata: v.Metadata}
	}
	return given{Value: v.Value, Variant: v.Variant, Reason: v.Reason, Metadata: v.Metadata}
}

var noContext = context.Background() // flagd's evaluator only reads a selector from it

// reader decodes answers; prepared ones are the same bytes each time, and are decoded
// once.
type reader map[*byte]given

func (r reader) read(t testing.TB, body []byte) given {
	if g, ok := r[&body[0]]; ok {
		return g
	}
	var g given
	if err := json.Unmarshal(body, &g); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	r[&body[0]] = g
	return g
}

// Every evaluation must be what flagd's core gives: value, variant, reason, error code
// and metadata.
func TestEvaluationIsFlagds(t *testing.T) {
	t.Parallel()
	seed, want := time.Now().UnixNano(), 1_000_000
	if testing.Short() {
		want = 20_000
	}
	t.Logf("seed %d", seed)
	g := generator{rand.New(rand.NewSource(seed))}
	refused, kept, done, outcomes := 0, 0, 0, map[string]int{}
	for done < want {
		var set map[string]any
		set, refused, kept = g.set(refused, kept)
		doc, err := json.Marshal(set)
		if err != nil {
			t.Fatal(err)
		}
		h := flags.NewHolder(flags.Options{})
		if err := h.Replace(flags.Set{ID: "s", Revision: 7, Definition: doc}); err != nil {
			t.Fatalf("%v\n%s", err, doc)
		}
		theirs, ours := oracle(t, doc), reader{}
		for range 100 {
			ctx := g.context()
			body, err := json.Marshal(map[string]any{"context": ctx})
			if err != nil {
				t.Fatal(err)
			}
			for key := range set["flags"].(map[string]any) {
				want, res := fromOracle(theirs, key, ctx), h.EvaluateOne("s", key, body)
				got := ours.read(t, res.Body)
				if !reflect.DeepEqual(got, want) {
					t.Fatalf("seed %d: flag %s of %s\ncontext %s\n  got %+v\n want %+v", seed,
						key, doc, body, got, want)
				}
				outcomes[got.Reason+got.ErrorCode]++
				done++
			}
		}
	}
	t.Logf("%d evaluations the same: %v; Parse refused %d of %d rules", done, outcomes, refused,
		refused+kept)
	for _, o := range []string{"STATIC", "TARGETING_MATCH", "DEFAULT", "DISABLED",
		"PARSE_ERROR", "GENERAL"} {
		if outcomes[o] < done/500 {
			t.Errorf(
				"only %d of the evaluations were %s: the generator misses what it should try",
				outcomes[o], o)
		}
	}
}

// generator makes sets and contexts.
type generator struct{ *rand.Rand }

func pick[T any](g generator, from ...T) T { return from[g.Intn(len(from))] }

// set makes a set of flags whose rules Parse accepts, and counts what it refused and
// kept.
func (g generator) set(refused, kept int) (map[string]any, int, int) {
	evaluators := map[string]any{}
	for _, name := range []string{"internal", "split"} {
		for {
			rule := g.rule(2, false)
			if accepted(map[string]any{"flags": map[string]any{},
				"$evaluators": map[string]any{name: rule}}) {
				evaluators[name] = rule
				break
			}
		}
	}
	byKey := map[string]any{}
	for len(byKey) < 20 {
		variants := pick(g,
			map[string]any{"a": "A", "b": "B", "1": "one", "2": "two", "true": "yes",
				"x y": "<é>"},
			map[string]any{"true": true, "false": false, "a": true, "b": false},
			map[string]any{"a": 1, "b": 2.5, "true": -3, "2": 1e20, "0": 0},
			map[string]any{"a": map[string]any{"n": []any{1, nil, "x"}}, "b": map[string]any{},
				"false": map[string]any{"é": true}})
		f := map[string]any{"state": pick(g, "ENABLED", "ENABLED", "ENABLED", "ENABLED",
			"ENABLED", "ENABLED", "ENABLED", "DISABLED"), "variants": variants}
		if g.Intn(5) > 0 {
			f["defaultVariant"] = pick[any](g, "a", "a", "b", nil)
		}
		if g.Intn(4) == 0 {
			f["metadata"] = map[string]any{"owner": "x", "revision": g.Intn(7),
				"version": "own"}
		}
		if g.Intn(10) > 0 {
			f["targeting"] = g.targeting()
		}
		key := fmt.Sprintf("flag-%d", len(byKey))
		if !accepted(map[string]any{"flags": map[string]any{key: f},
			"$evaluators": evaluators}) {
			refused++
			continue
		}
		kept++
		byKey[key] = f
	}
	return map[string]any{"flags": byKey, "$evaluators": evaluators,
		"metadata": map[string]any{"flagSetId": "s", "flagSetRevision": 7, "version": "v1",
			"fractional": "v2"}}, refused, kept
}

func accepted(doc any) bool {
	raw, err := json.Marshal(doc)
	if err != nil {
		panic(err)
	}
	_, err = flags.Parse(raw)
	return err == nil
}

func (g generator) targeting() any {
	if g.Intn(30) == 0 {
		return map[string]any{}
	}
	if g.Intn(3) == 0 { // what is compiled, with values that mostly meet
		return map[string]any{"if": []any{g.everyday(), "a",
			map[string]any{"!": []any{g.everyday()}}, "b", g.everyday()}}
	}
	if g.Intn(3) > 0 { // a rule that mostly ends in a variant, as people write them
		return map[string]any{"if": []any{g.arg(2, true), g.result(), g.arg(2, true),
			g.result(), g.result()}}
	}
	return g.rule(3, true)
}

// everyday makes a rule of one of the operators that are compiled.
func (g generator) everyday() any {
	op := func(name string, args ...any) any { return map[string]any{name: args} }
	property := func(name string) any {
		return map[string]any{"var": pick[any](g, name, name, []any{name}, []any{name, "a"},
			[]any{name, nil})}
	}
	value := func() any {
		return property(pick(g, "email", "n", "version", "nested.a.b", "flag", "missing",
			"list", "unicode", "targetingKey"))
	}
	text := func() any {
		return pick[any](g, value(), value(), "a", "", "b@y.org", "a@x.org", "5",
			"1.2.3", "é", nil)
	}
	number := func() any {
		return pick[any](g, property("n"), property("n"), property("nested.a"), 0, 1, -7.5, "5",
			nil, op("+", "NaN"))
	}
	either := func() (any, any) {
		if g.Intn(2) == 0 {
			return text(), text()
		}
		return number(), number()
	}
	switch g.Intn(9) {
	case 0:
		a, b := either()
		return op(pick(g, "==", "!=", "===", "!=="), a, b)
	case 1:
		a, b := either()
		return op(pick(g, "<", "<=", ">", ">="), a, b)
	case 2:
		return op("in", text(), pick[any](g, text(), []any{"a", "", "b@y.org", "5", "order-1"},
			[]any{}, []any{"1", 1}))
	case 3:
		return op("in", pick[any](g, number(), text()),
			[]any{"0", "1", "5", "a@x.org", "order-1", "-7.5"})
	case 4:
		a, b := either()
		return op(pick(g, "==", "==="), op("cat", a, b, pick[any](g, " ", "", a)),
			op("cat", pick[any](g, a, "a"), b))
	case 5:
		return op(pick(g, "and", "or"), value(), op(pick(g, "!", "!!"), value()), text())
	case 6:
		return map[string]any{pick(g, "!", "!!"): pick(g, value(), op("==", value(), nil))}
	case 7:
		return op(pick(g, "starts_with", "ends_with", "=="), text(), text())
	}
	return op("if", value(), pick[any](g, value(), map[string]any{"a": 1, "b": 2}), value())
}

func (g generator) result() any {
	switch g.Intn(8) {
	case 0:
		return g.fractional()
	case 1:
		return nil
	case 2:
		return g.arg(1, true)
	}
	return pick[any](g, "a", "b", true, false, "nope", 1, 2, "x y", "true")
}

func (g generator) primitive() any {
	return pick[any](g, nil, true, false, 0, 1, -1, 2.5, 1e20, "", "a", "b", "1", " 2 ", "x y",
		"é", "<&>", `"q"`, "null", "1.2.3", "v2.0.0", "a.b", "order-1", "NaN", "0x10")
}

func (g generator) path() any {
	return pick[any](g, "targetingKey", "email", "version", "n", "list", "list.0", "nested.a.b",
		"nested", "flag", "missing", "", "words", "rows", "$flagd.flagKey", "rows.1.n",
		"unicode", "none",
		[]any{"missing", "a"}, []any{"n", 3}, []any{}, 1)
}

func (g generator) arg(depth int, refs bool) any {
	if depth == 0 || g.Intn(4) == 0 {
		if g.Intn(2) == 0 {
			return map[string]any{"var": g.path()}
		}
		return g.primitive()
	}
	if refs && g.Intn(12) == 0 {
		return map[string]any{"$ref": pick(g, "internal", "split")}
	}
	return g.rule(depth-1, refs)
}

func (g generator) args(depth int, refs bool, least, most int) []any {
	out := make([]any, least+g.Intn(most-least+1))
	for i := range out {
		out[i] = g.arg(depth, refs)
	}
	return out
}

func (g generator) fractional() any {
	weights := func() []any {
		out := []any{}
		for range 2 + g.Intn(3) {
			share := []any{pick[any](g, "a", "b", "true", "zz")}
			if g.Intn(4) > 0 {
				share = append(share,
					pick[any](g, 0, 1, 25, 50, -5, 2.5, 1e9, 2147483647, 2147483648))
			}
			out = append(out, share)
		}
		return out
	}
	if g.Intn(2) == 0 {
		return map[string]any{"fractional": weights()}
	}
	by := pick[any](g, map[string]any{"var": g.path()}, map[string]any{"cat": []any{
		map[string]any{"var": "$flagd.flagKey"},
		map[string]any{"var": "targetingKey"},
	}}, g.arg(1, false))
	return map[string]any{"fractional": append([]any{by}, weights()...)}
}

func (g generator) list(depth int) any {
	return pick[any](g, map[string]any{"var": "list"}, map[string]any{"var": "rows"},
		map[string]any{"var": "words"}, map[string]any{"var": "missing"},
		map[string]any{"merge": g.args(depth, false, 1, 3)})
}

func (g generator) rule(depth int, refs bool) any {
	op := func(name string, args any) any { return map[string]any{name: args} }
	switch g.Intn(16) {
	case 0:
		return op("var", g.path())
	case 1:
		return op(pick(g, "==", "!=", "===", "!=="), g.args(depth, refs, 2, 2))
	case 2:
		return op(pick(g, "<", "<=", ">", ">="), g.args(depth, refs, 2, 3))
	case 3:
		return op(pick(g, "and", "or"), g.args(depth, refs, 1, 3))
	case 4:
		return op(pick(g, "!", "!!"),
			pick[any](g, g.args(depth, refs, 1, 1), g.arg(depth, refs)))
	case 5:
		return op("if", g.args(depth, refs, 1, 5))
	case 6:
		return op("in", []any{g.arg(depth, refs), pick[any](g, g.list(depth),
			g.arg(depth, refs), []any{"a", 1, "order-1", true}, []any{[]any{0, 5}})})
	case 7:
		return op("cat", pick[any](g, g.args(depth, refs, 1, 3), g.primitive()))
	case 8:
		return op(pick(g, "+", "*", "-", "/", "%", "min", "max"), g.args(depth, refs, 1, 3))
	case 9:
		return op("substr", append([]any{g.arg(depth, refs)},
			pick(g, []any{1}, []any{-1}, []any{0, 2}, []any{1, -1}, []any{2, 9})...))
	case 10:
		return op("sem_ver", []any{pick[any](g, map[string]any{"var": "version"},
			g.arg(depth, refs)), pick(g, "=", "!=", "<", "<=", ">", ">=", "^", "~"),
			pick(g, "1.2.3", "2.0.0", "1.0.0-rc.1")})
	case 11:
		return op(pick(g, "starts_with", "ends_with"),
			[]any{pick[any](g, map[string]any{"var": "email"}, map[string]any{"var": g.path()}),
				pick[any](g, "a", "@x.org", "", map[string]any{"var": "n"})})
	case 12:
		return g.fractional()
	case 13:
		return op(pick(g, "all", "some", "none", "filter", "map"),
			[]any{g.list(depth), pick(g, op("==", []any{op("var", ""), "a"}),
				op(">", []any{op("var", "n"), 1}), g.fractional(), g.rule(depth/2, refs))})
	case 14:
		return op("reduce", []any{g.list(depth), op("+",
			[]any{op("var", "current"), op("var", "accumulator")}), pick[any](g, 0, "x", true)})
	}
	return pick(g, op("missing", []any{"n", "email", "none"}), op("missing_some",
		[]any{1, []any{"n", "none"}}), op("merge", g.args(depth, refs, 1, 3)))
}

func (g generator) context() map[string]any {
	all := map[string]any{
		"targetingKey": pick[any](g, "order-1", "", "é漢🙂", fmt.Sprint(g.Int()), 17.0, nil),
		"email":        pick[any](g, "a@x.org", "b@y.org", 3.0, nil),
		"version":      pick[any](g, "1.2.3", "v1.2", "V2.0.0", "1.0.0-rc.1+b", "x", 1.0, nil),
		"n":            pick[any](g, 0.0, 1.0, -7.5, 1e300, "5", "", true),
		"list": pick[any](g, []any{"a", 1.0, nil, true}, []any{},
			[]any{[]any{"a"}, map[string]any{"n": 2.0, "k": "v"}}, "list"),
		"words": []any{"a", "b", "x y"},
		"rows": []any{
			map[string]any{"n": 1.0, "targetingKey": "row", "$flagd": pick[any](g, 1.0,
				map[string]any{"flagKey": "k"}, map[string]any{"flagKey": 1.0})},
			map[string]any{"n": 3.0, "k": nil},
		},
		"nested": pick[any](g, map[string]any{"a": map[string]any{"b": "a", "c": 1.0}},
			map[string]any{"a": 1.0, "b": 2.0}, nil),
		"flag":    g.Intn(2) == 0,
		"unicode": "é\u2028<",
		"$flagd":  "mine",
	}
	for name := range all {
		if g.Intn(5) == 0 {
			delete(all, name)
		}
	}
	return all
}
