package flags

import "github.com/switchyard-dev/switchyard/migration"

// Reader gives the key with this id as it is in force now, for who was let in by it a
// while ago. Unauthenticated when it was revoked; Unavailable while keys are not known
// at all.
func (h *Holder) Reader(id string) (*Reader, error) {
	ring := h.keys.Load()
	for _, r := range ring.byHash {
		if r.ID == id {
			return r, nil
		}
	}
	if !ring.known {
		return nil, migration.Errorf(migration.Unavailable, "keys are not known yet: the "+
			"database has not answered since the start and there is no last known good file")
	}
	return nil, migration.Errorf(migration.Unauthenticated,
		"the key was revoked: make a new key on the flags page")
}
