package rotation

import (
	"fmt"
	"time"

	"milterd/internal/keys"
)

// Advice says in a sentence what a key waits for, from people, from the DNS or
// from the clock; empty where it waits for nothing.
func Advice(s *keys.State, k *keys.Key, seen Sight, now time.Time, p Policy) string {
	if seen.Err != nil {
		return seen.Err.Error()
	}
	switch k.Stage {
	case keys.Next:
		return adviceNext(s, k, seen, now)
	case keys.Active:
		switch {
		case seen.Status == Missing:
			return "signatures with it do not verify: publish its record again"
		case p.Age > 0 && !waiting(s, k.Algorithm):
			return "the next key is made on " + k.Activated.Add(p.Age).Format(time.DateOnly) + " (milterd dkim rotate --new makes it now)"
		}
	case keys.Retiring:
		until := k.RetiringSince.Add(p.Overlap).Format(time.DateOnly)
		if seen.Status == Missing {
			return "mail that it has signed may be on its way until " + until + ": publish its record again"
		}
		return "leave its record in the DNS until " + until
	case keys.Retired:
		if seen.Status == Missing && !absent(seen) {
			return "publish its record with an empty p= now; the file stays, delete it when you like"
		}
	}
	return ""
}

func adviceNext(s *keys.State, k *keys.Key, seen Sight, now time.Time) string {
	switch seen.Status {
	case Missing:
		switch shown, others := showing(seen); {
		case shown > 0 && others == 0:
			return "every name server shows it; the resolver of this host still remembers that it was not there, for " + seen.TTL.String() + " at most"
		case shown > 0:
			return "not every name server has it yet"
		}
		return "publish its record (milterd dkim dns " + s.Domain + ")"
	case Unknown:
		return "not every name server could be asked"
	}
	if k.Visible.IsZero() {
		return "every name server shows it: milterd dkim rotate " + s.Domain + " goes on"
	}
	if at := readyAt(k, len(s.Active()) > 0); at.After(now) {
		return fmt.Sprintf("signs from %s on; until then somebody may remember that it was not there", at.Format("2006-01-02 15:04 MST"))
	}
	return "ready to sign: milterd dkim rotate " + s.Domain + " lets it"
}

// showing counts the name servers that show a key, and those that do not.
func showing(s Sight) (shown, others int) {
	for _, v := range s.Views {
		switch {
		case !v.Addr.IsValid() || v.Said == SaysNoWay:
		case v.Said == SaysShown:
			shown++
		default:
			others++
		}
	}
	return shown, others
}

// waiting reports whether there is a next key of that algorithm.
func waiting(s *keys.State, algorithm string) bool {
	for _, k := range s.Keys {
		if k.Stage == keys.Next && k.Algorithm == algorithm {
			return true
		}
	}
	return false
}

// absent reports whether no server shows any record: for a retired key that is as
// good as an empty one.
func absent(s Sight) bool {
	for _, v := range s.Views {
		if v.Said == SaysDiffers || v.Said == SaysNothing {
			return false
		}
	}
	return true
}
