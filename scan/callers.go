package scan

import (
	"slices"

	"github.com/dop251/goja/ast"

	"github.com/switchyard-dev/switchyard/scan/js"
)

// byCallers judges a construction inside a function once for every call of the
// function, if all calls are visible.
func (sc *scanner) byCallers(
	u *js.Unit, n *ast.NewExpression, c *js.Value, role Role, f Finding,
) Finding {
	fn := u.Within[n]
	var found []Finding
	see := func(cu *js.Unit, at ast.Node, args []*js.Value, more bool) {
		g := sc.judged(u, n, c, role, js.Arguments(fn, args, more))
		g.caller = false
		for i, r := range g.Reasons {
			g.Reasons[i] = r + " (called at " + cu.At(at).String() + ")"
		}
		for i := range g.Checks {
			if g.Checks[i].State != good {
				g.Checks[i].Seen += " (called at " + cu.At(at).String() + ")"
			}
		}
		found = append(found, g)
	}
	uses := sc.UsesOf(fn)
	if uses.Passed { // it is passed on: there may be callers that nobody sees
		return f
	}
	for _, c := range uses.Calls {
		args, more := sc.Evaluator().List(c.Unit, c.Args, nil)
		see(c.Unit, c.Node, args, more)
	}
	if len(found) == 0 {
		return f
	}
	worst := found[0]
	for _, g := range found[1:] {
		if rank(g.Verdict) > rank(worst.Verdict) {
			worst = g
		}
	}
	if slices.ContainsFunc(found, func(g Finding) bool { return g.Queue != worst.Queue }) {
		worst.Queue = ""
	}
	worst.key = f.key
	return worst
}

func rank(v Verdict) int { return slices.Index([]Verdict{Pass, Review, Fail}, v) }
