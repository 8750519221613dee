package redisconn

import "github.com/switchyard-dev/switchyard/migration"

// ServerPassword is the password that the endpoint's data servers ask for, wherever it was given: in the URL, or beside it.
func (e Endpoint) ServerPassword() migration.Secret {
	if e.Kind == Sentinel {
		return e.Password
	}
	u, err := e.parseURL()
	if err != nil || u.User == nil {
		return ""
	}
	password, _ := u.User.Password()
	return migration.Secret(password)
}
