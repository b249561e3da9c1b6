package learning

import (
	"fmt"
	"os/user"
	"slices"
	"strconv"
	"strings"
)

// Rights says who may speak for whom, by the uid that the kernel knows a caller by.
type Rights struct {
	all  []uint32
	name func(uid uint32) (string, bool)
}

// NewRights lets root, self and users (login names or numbers) speak for everybody,
// others for themselves. unknown are the names that no user of this host has.
func NewRights(self int, users []string) (r *Rights, unknown []string) {
	r = &Rights{all: []uint32{0, uint32(self)}, name: func(uid uint32) (string, bool) {
		u, err := user.LookupId(strconv.FormatUint(uint64(uid), 10))
		if err != nil {
			return "", false
		}
		return u.Username, true
	}}
	for _, name := range users {
		id := name
		if u, err := user.Lookup(name); err == nil {
			id = u.Uid
		}
		uid, err := strconv.ParseUint(id, 10, 32)
		if err != nil {
			unknown = append(unknown, name)
			continue
		}
		r.all = append(r.all, uint32(uid))
	}
	return r, unknown
}

// All reports whether a uid may speak for everybody, and for the site.
func (r *Rights) All(uid uint32) bool { return slices.Contains(r.all, uid) }

// MaySpeak reports whether a uid may speak for a user. Who may not speak for all may
// for the user whose login name is his own.
func (r *Rights) MaySpeak(uid uint32, name string) bool {
	if r.All(uid) {
		return true
	}
	own, ok := r.name(uid)
	return ok && own != "" && strings.EqualFold(own, name)
}

// Caller names a uid for records and the log.
func (r *Rights) Caller(uid uint32) string {
	if own, ok := r.name(uid); ok {
		return own
	}
	return fmt.Sprintf("uid %d", uid)
}
