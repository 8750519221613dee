package migration

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Aspect is a part of the world that evidence can be about.
type Aspect string

const (
	// AspectSource is the servers behind the source side, each with its database, its run id
	// and whether it is the primary: "10.0.0.1:6379/0 primary run 1a2b...". A failover, a
	// restart and another database change it.
	AspectSource Aspect = "source"
	// AspectNodes is the same without the roles: a failover does not change it.
	AspectNodes Aspect = "nodes"
	// AspectTarget is the managed database: its id at the service, its address, and its run id
	// where it tells one.
	AspectTarget Aspect = "target"
	// AspectDatabase is the managed database by its id alone: a restart does not change it.
	AspectDatabase Aspect = "database"
	// AspectApp is the builds of the apps that read the flags: "service version bullmq".
	AspectApp Aspect = "app"
	// AspectProducers is the queues for which an app attests a producer.
	AspectProducers Aspect = "producers"
	// AspectSetup is the part of the configuration that decides what is tried: routed queues,
	// deadlines, payment senders.
	AspectSetup Aspect = "setup"
)

// Aspects lists them, with what to call each.
var Aspects = []struct {
	Aspect Aspect
	Title  string
}{
	{AspectSource, "the source"}, {AspectNodes, "the source's servers"},
	{AspectTarget, "the target"}, {AspectDatabase, "the managed database"},
	{AspectApp, "the app"},
	{AspectProducers, "the queues with a producer"}, {AspectSetup, "the configuration"},
}

// Title is what an aspect is called in a sentence.
func (a Aspect) Title() string {
	for _, x := range Aspects {
		if x.Aspect == a {
			return x.Title
		}
	}
	return string(a)
}

// Subject is what evidence is about: for each aspect that was known, its members, sorted. An
// aspect that is missing was not known.
type Subject map[Aspect][]string

// Seen is one aspect of the world as it was last looked at.
type Seen struct {
	Members []string  `json:"members"`
	At      time.Time `json:"at"`
	// Since is when they became these, as far as somebody looked.
	Since time.Time `json:"since"`
	// First is when each was seen first, also of the last that left: what restarts is no other.
	First map[string]time.Time `json:"first,omitempty"`
}

// remembered is how many members an aspect keeps the first look of.
const remembered = 200

// look gives the aspect after a look.
func (s Seen) look(now time.Time, members []string) Seen {
	out := Seen{Members: members, At: now, Since: s.Since, First: map[string]time.Time{}}
	if s.At.IsZero() || !slices.Equal(s.Members, members) {
		out.Since = now
	}
	maps.Copy(out.First, s.First)
	for _, m := range members {
		if _, known := out.First[m]; known {
			continue
		}
		out.First[m] = now
		if slices.Contains(s.Members, m) { // seen by a version that kept no first look
			out.First[m] = s.Since
		}
	}
	gone := slices.DeleteFunc(slices.Collect(maps.Keys(out.First)), func(m string) bool {
		return slices.Contains(members, m)
	})
	slices.SortFunc(gone, func(a, b string) int { return out.First[b].Compare(out.First[a]) })
	for _, m := range gone[min(max(remembered-len(members), 0), len(gone)):] {
		delete(out.First, m)
	}
	return out
}

// Ours are the aspects that no step changes by itself, so that whoever comes into them while a
// step looks was not looked at for as long as the step says.
func Ours() []Aspect { return []Aspect{AspectApp, AspectSetup} }

// Empty is a subject of which every aspect is known and nobody is there.
func Empty() Subject {
	s := Subject{}
	for _, a := range Aspects {
		s[a.Aspect] = nil
	}
	return s
}

// World is the aspects as they were last seen. Nil: nobody has looked.
type World map[Aspect]Seen

// WorldAge is how long an aspect may not have been looked at: who was on a server an hour ago
// says nothing of now.
const WorldAge = 15 * time.Minute

// Look gives the world after somebody has looked at some aspects.
func (w World) Look(now time.Time, s Subject) World {
	out := World{}
	for a, seen := range w {
		out[a] = seen
	}
	for a, members := range s {
		out[a] = w[a].look(now, slices.Compact(slices.Sorted(slices.Values(members))))
	}
	return out
}

// Subject gives what was last seen of some aspects, without the builds of the app and the
// configuration that came after from: who looks since then has seen them for a part of the
// time only. Zero: what is said is about now.
func (w World) Subject(aspects []Aspect, from time.Time) Subject {
	out := Subject{}
	for _, a := range aspects {
		seen, ok := w[a]
		if !ok {
			continue
		}
		out[a] = seen.Members
		if !from.IsZero() && slices.Contains(Ours(), a) {
			out[a] = slices.DeleteFunc(slices.Clone(seen.Members), func(m string) bool {
				return seen.First[m].Truncate(time.Millisecond).After(from) // as a store keeps from
			})
		}
	}
	return out
}

// Void says why evidence about a subject does not speak for the world of now: something is
// there that the evidence does not cover (Stale), or it is not known what is there, or what
// the evidence is about (Unknown). Met: it speaks for it. What has left the world since does
// not matter.
func (s Subject) Void(w World, aspects []Aspect, now time.Time) (Verdict, string) {
	verdict, why := Met, ""
	for _, a := range aspects {
		about, told := s[a]
		seen, known := w[a]
		switch {
		case !known:
			verdict, why = Unknown, fmt.Sprintf("nobody has looked at %s", a.Title())
		case !told:
			return Stale, fmt.Sprintf("it does not say of which state of %s: run it again",
				a.Title())
		case now.Sub(seen.At) > WorldAge || seen.At.Sub(now) > time.Minute:
			verdict, why = Unknown, fmt.Sprintf("%s was last seen %s ago (limit %s)", a.Title(),
				Words(now.Sub(seen.At)), Words(WorldAge))
		default:
			if other := without(seen.Members, about); len(other) > 0 {
				return Stale, fmt.Sprintf("void since %s: %s has changed, it does not cover %s",
					seen.Since.UTC().Format("2006-01-02 15:04:05 MST"), a.Title(),
					shortIDs(strings.Join(other[:min(named, len(other))], ", ")))
			}
		}
	}
	return verdict, why
}

// without gives the members of all that are not in some.
func without(all, some []string) []string {
	var out []string
	for _, m := range all {
		if !slices.Contains(some, m) {
			out = append(out, m)
		}
	}
	return out
}

// runID is a server's run id as INFO has it.
var runID = regexp.MustCompile(`\b[0-9a-f]{40}\b`)

func shortIDs(text string) string {
	return runID.ReplaceAllStringFunc(text, func(id string) string { return id[:8] })
}
