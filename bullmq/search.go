package bullmq

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/redisconn"
)

// FieldPath is a location in a job's data: field names, and indexes into arrays.
type FieldPath []string

// ParseFieldPath reads "customer.email" or "items.0.sku". A backslash escapes the
// next character: "price\.net" is one name. Invalid when it is empty, longer than
// 256 bytes or 16 levels, has an empty name, or ends in a backslash.
func ParseFieldPath(text string) (FieldPath, error) {
	refuse := func(why string) (FieldPath, error) {
		return nil, migration.Errorf(migration.Invalid, "the field %.60q %s: write it like "+
			"customer.email or items.0.sku, with \\. for a dot within a name", text, why)
	}
	if text == "" || len(text) > 256 {
		return refuse(fmt.Sprintf("has %d bytes, not 1 to 256", len(text)))
	}
	var path FieldPath
	var name strings.Builder
	end := func() bool {
		path = append(path, name.String())
		name.Reset()
		return path[len(path)-1] != ""
	}
	escaped := false
	for i := range len(text) {
		switch c := text[i]; {
		case escaped:
			escaped = false
			name.WriteByte(c)
		case c == '\\':
			escaped = true
		case c == '.':
			if !end() {
				return refuse("has an empty name")
			}
		default:
			name.WriteByte(c)
		}
	}
	switch {
	case escaped:
		return refuse("ends in a backslash")
	case !end():
		return refuse("has an empty name")
	case len(path) > 16:
		return refuse(fmt.Sprintf("has %d levels, more than 16", len(path)))
	}
	return path, nil
}

// in returns what a JSON value holds at the path.
func (p FieldPath) in(v any) (any, bool) {
	for _, name := range p {
		switch is := v.(type) {
		case map[string]any:
			next, ok := is[name]
			if !ok {
				return nil, false
			}
			v = next
		case []any:
			i, err := strconv.Atoi(name)
			if err != nil || i < 0 || i >= len(is) {
				return nil, false
			}
			v = is[i]
		default:
			return nil, false
		}
	}
	return v, true
}

// means reports whether a JSON value is what a person typed: the same string, a
// number of the same value, true, false or null.
func means(v any, text string) bool {
	switch is := v.(type) {
	case string:
		return is == text
	case json.Number:
		if is.String() == text {
			return true
		}
		a, errA := is.Float64()
		b, errB := strconv.ParseFloat(text, 64)
		// Beyond 2^53 several integers share one float: there only the same digits
		// are equal.
		return errA == nil && errB == nil && a == b && a > -1<<53 && a < 1<<53
	case bool:
		return strconv.FormatBool(is) == text
	case nil:
		return text == "null"
	}
	return false
}

// SearchOptions control what is searched for, and how hard.
type SearchOptions struct {
	Path   FieldPath
	Value  string
	Queues []Queue // to search. Required
	// Known are the queues of the server: a job belongs to the one with the longest name.
	Known []Queue
	// After continues an earlier unfinished search: its Next. "": from the
	// beginning.
	After string
	// Limit ends the search after that many matches. 0: 100.
	Limit int
	// Budget ends the search after that long. 0: no limit.
	Budget time.Duration
	// Share is the fraction of the time in which the search may keep the server
	// busy, as for a survey. 0: 0.25.
	Share float64
}

// Match is a job that has the value.
type Match struct {
	Queue Queue  `json:"queue"`
	ID    string `json:"id"`
	Name  string `json:"name"`
}

// SearchResult is what a search found. If Next is not "", the search is unfinished:
// a job it has not found may still be there.
type SearchResult struct {
	Matches    []Match `json:"matches"`
	Keys       int64   `json:"keys"`       // looked at by this search, those of jobs and others
	Total      int64   `json:"total"`      // keys on the server
	Searched   int64   `json:"searched"`   // jobs whose data was read
	TooLarge   int64   `json:"too_large"`  // jobs whose data is too large to be read
	Unreadable int64   `json:"unreadable"` // jobs whose data is not JSON
	// Next is given while the search is not done: what was not found may be there all the same.
	Next string `json:"next,omitempty"`
	// Restarted says that the server is another one than before, as after a failover, so that the
	// search began anew.
	Restarted bool `json:"restarted,omitempty"`
}

// SearchBytes is the largest data that a search reads.
const SearchBytes = 1_000_000

// SearchJobs looks for jobs whose data has a value at a path, whether in a list or
// not, in batches with pauses between them. O(keys of the server), whatever the
// queues. It only reads. Every job that was there throughout is looked at at least
// once; one that is found twice is returned twice.
func SearchJobs(
	ctx context.Context, c redis.UniversalClient, o SearchOptions,
) (SearchResult, error) {
	out := SearchResult{Matches: []Match{}}
	if len(o.Path) == 0 || len(o.Queues) == 0 {
		return out, migration.Errorf(migration.Invalid,
			"a search needs a field and at least one queue")
	}
	if o.Share == 0 {
		o.Share = 0.25
	}
	if o.Limit == 0 {
		o.Limit = 100
	}
	s := newSurveyor(ctx, c, SurveyOptions{Share: o.Share})
	s.own = NameOwnership(slices.Concat(o.Known, o.Queues))
	for _, q := range o.Queues {
		s.queues[q.Key("")] = &surveyed{QueueSurvey: QueueSurvey{Queue: q}}
	}
	of, at, ok := strings.Cut(cmp.Or(o.After, ":0"), ":")
	cursor, err := strconv.ParseUint(at, 10, 64)
	if !ok || err != nil {
		return out, migration.Errorf(migration.Invalid,
			"%.60q is not a position to continue from: use next of an earlier answer", o.After)
	}
	// A cursor is only valid for the server process that returned it.
	server, err := redisconn.RunID(ctx, c)
	if err == nil && o.After != "" && of != server {
		cursor, out.Restarted = 0, true
	}
	if err == nil {
		err = s.search(ctx, o, cursor, server, &out)
	}
	var now string
	if err == nil {
		now, err = redisconn.RunID(ctx, c)
	}
	switch {
	case err != nil:
		return out, fmt.Errorf("search: %w", redisconn.Explain(err))
	case now != server:
		return out, migration.Errorf(migration.Unavailable, "the server was restarted or "+
			"replaced during the search, so jobs may have been missed: search again")
	}
	return out, nil
}

func (s *surveyor) search(
	ctx context.Context, o SearchOptions, cursor uint64, server string, out *SearchResult,
) (err error) {
	if out.Total, err = s.c.DBSize(ctx).Result(); err != nil {
		return err
	}
	started := time.Now()
	for {
		batch := time.Now()
		keys, next, err := s.c.Scan(ctx, cursor, "*", surveyNames).Result()
		if err != nil {
			return err
		}
		cursor = next
		out.Keys += int64(len(keys))
		if err := s.match(ctx, keys, o, out); err != nil {
			return err
		}
		switch {
		case cursor == 0:
			return nil
		case len(out.Matches) >= o.Limit, o.Budget > 0 && time.Since(started) > o.Budget:
			out.Next = server + ":" + strconv.FormatUint(cursor, 10)
			return nil
		}
		if err := s.rest(ctx, time.Since(batch)); err != nil {
			return err
		}
	}
}

// match reads the data of those keys that are jobs of the queues.
func (s *surveyor) match(
	ctx context.Context, keys []string, o SearchOptions, out *SearchResult,
) error {
	type read struct {
		Match
		key    string
		size   *redis.IntCmd
		fields *redis.SliceCmd
	}
	var reads []*read
	p := s.c.Pipeline()
	for _, k := range keys {
		q, part, _ := s.own.Of(k)
		sq := s.queues[q.Key("")]
		if sq == nil {
			continue
		}
		if id, kind := jobKey(part); kind == "job" {
			reads = append(reads, &read{
				Match: Match{Queue: sq.Queue, ID: id},
				key:   k,
				size:  p.HStrLen(ctx, k, "data"),
			})
		}
	}
	if len(reads) == 0 {
		return nil
	}
	if err := connectionError(p.Exec(ctx)); err != nil {
		return err
	}
	p = s.c.Pipeline()
	for _, r := range reads {
		switch n, err := r.size.Result(); {
		case err != nil && !wrongType(err):
			return err
		case err != nil || n == 0: // no hash, no data, or gone
		case n > SearchBytes:
			out.TooLarge++
		default:
			r.fields = p.HMGet(ctx, r.key, append([]string{"data"}, fieldNames...)...)
		}
	}
	if p.Len() == 0 {
		return nil
	}
	if err := connectionError(p.Exec(ctx)); err != nil {
		return err
	}
	for _, r := range reads {
		if r.fields == nil {
			continue
		}
		read, err := r.fields.Result()
		if err != nil {
			if wrongType(err) {
				continue
			}
			return err
		}
		data, _ := read[0].(string)
		if data == "" || !fields(read[1:]).job() {
			continue
		}
		out.Searched++
		d := json.NewDecoder(strings.NewReader(data))
		d.UseNumber()
		var v any
		if d.Decode(&v) != nil {
			out.Unreadable++
			continue
		}
		if at, ok := o.Path.in(v); ok && means(at, o.Value) {
			r.Name, _ = fields(read[1:]).text("name")
			out.Matches = append(out.Matches, r.Match)
		}
	}
	return nil
}

func wrongType(err error) bool {
	reply, is := errors.AsType[redis.Error](err)
	return is && strings.HasPrefix(reply.Error(), "WRONGTYPE")
}
