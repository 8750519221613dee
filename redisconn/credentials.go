package redisconn

import "github.com/switchyard-dev/switchyard/migration"

// Credentials are used to authenticate to a server. Without a user they are the
// default user's.
type Credentials struct {
	User     string
	Password migration.Secret
}

// Credentials returns those of the endpoint's data servers, wherever they were
// given: in the URL or beside it.
func (e Endpoint) Credentials() Credentials {
	if e.Kind == Sentinel {
		return Credentials{e.Username, e.Password}
	}
	u, err := e.parseURL()
	if err != nil || u.User == nil {
		return Credentials{}
	}
	password, _ := u.User.Password()
	return Credentials{u.User.Username(), migration.Secret(password)}
}
