package queuepages

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/switchyard-dev/switchyard/migration"
)

// queueRow is one queue on both sides.
type queueRow struct {
	name  string
	sides []queueSide
}

// queueSide is a queue on one side; without it, why says so.
type queueSide struct {
	side  string
	queue *migration.Queue
	why   string
}

// queueRows puts both sides' queues of a name together: those with pending jobs first, a
// queue's shadow below it.
func queueRows(b migration.QueueBoard) []queueRow {
	pending := map[string]int64{}
	for _, s := range b.Sides {
		for _, q := range s.Queues {
			own := strings.TrimSuffix(q.Queue, "-shadow")
			pending[own] += q.Pending
			pending[q.Queue] += 0
		}
	}
	names := slices.SortedFunc(maps.Keys(pending), func(a, b string) int {
		ownA, ownB := strings.TrimSuffix(a, "-shadow"), strings.TrimSuffix(b, "-shadow")
		return cmp.Or(cmp.Compare(pending[ownB], pending[ownA]), cmp.Compare(ownA, ownB),
			cmp.Compare(a, b))
	})
	listed := func(name string) bool {
		return slices.ContainsFunc(b.Sides, func(s migration.QueueSide) bool {
			return find(s, name) != nil
		})
	}
	var rows []queueRow
	for _, name := range names {
		if !listed(name) {
			continue
		}
		r := queueRow{name: name}
		for _, s := range b.Sides {
			c := queueSide{side: s.Side, queue: find(s, name), why: "not there"}
			if s.Error != "" {
				c.why = "unknown: the server cannot be read"
			} else if s.Looking != "" {
				c.why = "not found yet"
			}
			r.sides = append(r.sides, c)
		}
		rows = append(rows, r)
	}
	return rows
}

func find(s migration.QueueSide, name string) *migration.Queue {
	for i, q := range s.Queues {
		if q.Queue == name {
			return &s.Queues[i]
		}
	}
	return nil
}
