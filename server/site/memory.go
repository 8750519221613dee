package site

import (
	"crypto/sha256"
	"sync"

	"github.com/switchyard-dev/switchyard/migration"
)

// remembersMost bounds what is kept; past it, it starts anew.
const remembersMost = 1000

// memory is who was seen last and what migrations are called, so that an error is shown in its
// frame although the database does not answer. It lets nobody in.
type memory struct {
	mu     sync.Mutex
	actors map[[sha256.Size]byte]migration.Actor // by the hash of their session's token
	names  map[string]string                     // of migrations, by id
	last   string                                // migration that was shown last
}

func (m *memory) admit(token string, actor migration.Actor) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.actors == nil || len(m.actors) >= remembersMost {
		m.actors = map[[sha256.Size]byte]migration.Actor{}
	}
	m.actors[sha256.Sum256([]byte(token))] = actor
}

func (m *memory) forget(token string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.actors, sha256.Sum256([]byte(token)))
}

func (m *memory) actor(token string) (migration.Actor, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	a, ok := m.actors[sha256.Sum256([]byte(token))]
	return a, ok
}

func (m *memory) shown(of migration.Migration) {
	if of.ID == "" {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.names == nil || len(m.names) >= remembersMost {
		m.names = map[string]string{}
	}
	m.names[of.ID], m.last = of.Name, of.ID
}

// migration gives the migration with this id, or the one shown last where there is none such.
func (m *memory) migration(id string) (known, name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.names[id]; !ok {
		id = m.last
	}
	return id, m.names[id]
}
