// Package redisconn turns a configured endpoint into a Redis client and knows what
// Switchyard may ask of any Redis server: its facts, its eviction policy, who is
// connected, whether it is quiet, a write fence, a verified backup.
//
// It knows nothing of BullMQ. It never prints a URL or a password: every error names
// the address without credentials.
package redisconn
