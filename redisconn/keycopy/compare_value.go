package keycopy

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/switchyard-dev/switchyard/redisconn"
)

// judge compares the i-th key of a batch.
func (c *comparer) judge(w *pair, i int, kind string, now [2]int64) (finding, error) {
	var at [2]int64
	var raw [2][]byte
	var failed [2]string
	for side, b := range w.replies {
		raw[side] = b.reply(2 * i)
		var err error
		if at[side], err = integer(b.reply(2*i + 1)); err != nil {
			return "", err
		}
		if at[side] >= 0 && !c.absolute[side] {
			at[side] += now[side]
		}
		if len(raw[side]) == 0 {
			return "", errors.New("no answer")
		}
		if raw[side][0] == '-' {
			failed[side] = errorText(raw[side])
			if !strings.HasPrefix(failed[side], "WRONGTYPE") {
				return "", fmt.Errorf("%s: %w", sideNames[side],
					redisconn.Explain(errors.New(failed[side])))
			}
		}
	}
	switch {
	case at[0] == -2 && at[1] == -2:
		return goneFromBoth, nil
	case at[0] == -2:
		return c.absent(at[1], extra), nil
	case failed[0] != "":
		return "", errWrongType
	case at[1] == -2:
		return c.absent(at[0], missing), nil
	case failed[1] != "":
		return otherValue, nil
	}
	if !bytes.Equal(raw[0], raw[1]) {
		for side := range 2 {
			var err error
			if w.parts[side], err = parse(raw[side], w.parts[side][:0]); err != nil {
				return "", err
			}
		}
		if !sameParts(kind, w.parts[0], w.parts[1]) {
			return otherValue, nil
		}
	}
	if !c.sameExpiry(at[0], at[1]) {
		return otherExpiry, nil
	}
	return equal, nil
}

// absent judges a key that is on one side only. If it has expired by now, it may
// exist only because that side has not noticed yet.
func (c *comparer) absent(expireAt int64, f finding) finding {
	if expireAt >= 0 && expireAt <= time.Now().UnixMilli() {
		return goneFromBoth
	}
	return f
}

func (c *comparer) sameExpiry(a, b int64) bool {
	if a == b {
		return true
	}
	if a < 0 || b < 0 || c.absolute[0] && c.absolute[1] {
		return false
	}
	return max(a-b, b-a) <= relativeTolerance
}

// fewPairs is the number of fields up to which each is searched for on the other
// side; beyond it both sides are sorted.
const fewPairs = 16

// sameParts compares two values element by element, exactly.
func sameParts(kind string, a, b [][]byte) bool {
	if len(a) != len(b) {
		return false
	}
	switch kind {
	case "hash":
		return sameUnordered(a, b, 2)
	case "set":
		return sameUnordered(a, b, 1)
	case "zset": // versions format scores differently
		for i := range a {
			if i%2 == 0 && !bytes.Equal(a[i], b[i]) || i%2 == 1 && !sameScore(a[i], b[i]) {
				return false
			}
		}
		return true
	}
	return slices.EqualFunc(a, b, bytes.Equal)
}

func sameScore(a, b []byte) bool {
	if bytes.Equal(a, b) {
		return true
	}
	x, err1 := strconv.ParseFloat(string(a), 64)
	y, err2 := strconv.ParseFloat(string(b), 64)
	return err1 == nil && err2 == nil && x == y
}

// sameUnordered compares groups of n elements regardless of the order of the
// groups. The first element of a group is unique.
func sameUnordered(a, b [][]byte, n int) bool {
	groups := len(a) / n
	if groups > fewPairs {
		a, b = sortedGroups(a, n), sortedGroups(b, n)
		return slices.EqualFunc(a, b, bytes.Equal)
	}
	for i := range groups {
		found := false
		for d := range groups { // usually near the same position
			j := i + d
			if j >= groups {
				j -= groups
			}
			if bytes.Equal(a[i*n], b[j*n]) {
				found = n == 1 || bytes.Equal(a[i*n+1], b[j*n+1])
				break
			}
		}
		if !found {
			return false
		}
	}
	return true
}

func sortedGroups(p [][]byte, n int) [][]byte {
	order := make([]int, len(p)/n)
	for i := range order {
		order[i] = i * n
	}
	slices.SortFunc(order, func(x, y int) int { return bytes.Compare(p[x], p[y]) })
	out := make([][]byte, 0, len(p))
	for _, i := range order {
		out = append(out, p[i:i+n]...)
	}
	return out
}
