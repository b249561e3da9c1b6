package config

import (
	"fmt"
	"io/fs"
	"math"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"

	"milterd/internal/strictyaml"
)

// socketMode is for Postfix, which is in the socket's group or reaches it through a directory of that group.
const socketMode fs.FileMode = 0o660

// maxSocketPath is what fits in sun_path of sockaddr_un on Linux, with its NUL.
const maxSocketPath = 107

// A Socket is a place to listen: a text as "unix:/run/milterd/milterd.sock", or a mapping {socket, mode, group}.
type Socket struct {
	Address string      `yaml:"socket"` // unix:PATH, local:PATH, inet:PORT@HOST, inet:HOST:PORT or tcp://HOST:PORT
	Mode    fs.FileMode `yaml:"mode"`   // of a unix socket
	Group   string      `yaml:"group"`  // of a unix socket, by name or number; empty: that of the directory or the daemon
}

// DecodeYAML implements [strictyaml.Decoder]. The path of a unix socket becomes absolute or relative to the file.
func (s *Socket) DecodeYAML(n *strictyaml.Node) error {
	type mapping Socket // without this method
	read, at := mapping{Mode: socketMode}, n
	switch n.Kind() {
	case strictyaml.Mapping:
		at = n.Key("socket")
		if err := n.Decode(&read); err != nil {
			return err
		}
	case strictyaml.Scalar:
		if err := n.Decode(&read.Address); err != nil {
			return err
		}
	default:
		return n.Expected("an address such as unix:/run/milterd/milterd.sock, or {socket:, mode:, group:}")
	}
	scheme, rest, ok := cutScheme(read.Address)
	if !ok || rest == "" {
		return at.Expected("unix:PATH, inet:PORT@HOST, inet:HOST:PORT or tcp://HOST:PORT")
	}
	if unixScheme(scheme) {
		path, err := unixPath(at, n.Beside(rest))
		if err != nil {
			return err
		}
		read.Address = scheme + path
	} else if n.Key("mode").Kind() != strictyaml.Null || read.Group != "" {
		return n.Errorf("mode and group of a TCP address, expected them for unix: only")
	} else if !tcpAddress(scheme, rest) {
		return at.Expected("inet:PORT@HOST, inet:HOST:PORT or tcp://HOST:PORT with a port from 0 to 65535")
	}
	*s = Socket(read)
	return nil
}

// path gives the path of a unix socket, so that two spellings of it compare equal; an error for TCP.
func (s Socket) path() (string, error) {
	scheme, rest, _ := cutScheme(s.Address)
	if !unixScheme(scheme) {
		return "", fmt.Errorf("%s is no unix socket", s.Address)
	}
	return filepath.Clean(rest), nil
}

func cutScheme(address string) (scheme, rest string, ok bool) {
	for _, scheme := range []string{"unix:", "local:", "inet:", "tcp://"} {
		if rest, ok := strings.CutPrefix(address, scheme); ok {
			return scheme, rest, true
		}
	}
	return "", "", false
}

func unixScheme(scheme string) bool { return scheme == "unix:" || scheme == "local:" }

// tcpAddress checks the spelling of PORT@HOST (of inet: only) and HOST:PORT.
func tcpAddress(scheme, rest string) bool {
	if port, host, ok := strings.Cut(rest, "@"); ok {
		return scheme == "inet:" && host != "" && isPort(port)
	}
	_, port, err := net.SplitHostPort(rest)
	return err == nil && isPort(port)
}

func isPort(s string) bool {
	_, err := strconv.ParseUint(s, 10, 16)
	return err == nil
}

// isHost accepts an IP address or what may be a host name.
func isHost(s string) bool {
	if _, err := netip.ParseAddr(s); err == nil {
		return true
	}
	return s != "" && len(s) <= 253 && strings.Trim(strings.ToLower(s), "abcdefghijklmnopqrstuvwxyz0123456789-._") == ""
}

// HTTP is host:port, empty when off. In a file "off" switches it off.
type HTTP string

// DecodeYAML implements [strictyaml.Decoder].
func (h *HTTP) DecodeYAML(n *strictyaml.Node) error {
	text, _ := n.Text()
	if text == "off" {
		*h = ""
		return nil
	}
	host, port, err := net.SplitHostPort(text)
	if err != nil || host != "" && !isHost(host) || !isPort(port) {
		return n.Expected("host:port, as 127.0.0.1:9891, or off")
	}
	*h = HTTP(text)
	return nil
}

// Nameserver is host:port. In a file the port may be missing: 53.
type Nameserver string

// DecodeYAML implements [strictyaml.Decoder].
func (s *Nameserver) DecodeYAML(n *strictyaml.Node) error {
	text, _ := n.Text()
	host, port, err := net.SplitHostPort(text)
	if err != nil { // no port, or an IPv6 address in brackets or not
		host, port = text, "53"
		if inner, ok := strings.CutPrefix(text, "["); ok {
			host = strings.TrimSuffix(inner, "]")
		}
	}
	if !isHost(host) || !isPort(port) || port == "0" {
		return n.Expected("host or host:port, as 127.0.0.1 or [::1]:5353")
	}
	*s = Nameserver(net.JoinHostPort(host, port))
	return nil
}

// StoreAddr says which store: bolt:PATH, a file that one daemon owns, or the address of a Redis or Valkey server, which
// several share.
type StoreAddr string

const boltScheme = "bolt:"

// DecodeYAML implements [strictyaml.Decoder]. A path becomes absolute or relative to the file. Whether the address of a
// server is one, [Options.CheckStore] judges.
func (s *StoreAddr) DecodeYAML(n *strictyaml.Node) error {
	text, _ := n.Text()
	if strings.HasPrefix(text, "redis") && strings.Contains(text, "://") {
		*s = StoreAddr(text)
		return nil
	}
	path, ok := strings.CutPrefix(text, boltScheme)
	if !ok || path == "" || strings.ContainsRune(path, 0) {
		return n.Expected("bolt:PATH, as bolt:/var/lib/milterd/state.db, or redis://HOST:6379/0")
	}
	*s = StoreAddr(boltScheme + n.Beside(path))
	return nil
}

// Bolt is the path of the file; ok is false for a server.
func (s StoreAddr) Bolt() (path string, ok bool) { return strings.CutPrefix(string(s), boltScheme) }

// String gives the address without what may be a secret in it.
func (s StoreAddr) String() string {
	if u, err := url.Parse(string(s)); err == nil && u.User != nil {
		return u.Redacted()
	}
	return string(s)
}

// AuthservID is a name for Authentication-Results.
type AuthservID string

// DecodeYAML implements [strictyaml.Decoder]. RFC 8601, section 2.2 has "value" (RFC 2045, section 5.1) for it; we take
// only what needs no quotes, as every reader of the field understands it.
func (a *AuthservID) DecodeYAML(n *strictyaml.Node) error {
	var text string
	if err := n.Decode(&text); err != nil {
		return err
	}
	if !isHost(text) || strings.Contains(text, ":") {
		return n.Expected("a host name such as mx.example.org")
	}
	*a = AuthservID(text)
	return nil
}

// Networks tell our own clients and friends from strangers. All take networks as Postfix's mynetworks does.
type Networks struct {
	// MyNetworks may relay through us: their mail is signed and watched. Set it to Postfix's mynetworks.
	MyNetworks []netip.Prefix `yaml:"mynetworks"`
	// Relays are our backup MX and forwarders: we look behind them, and never refuse or greylist what they bring.
	Relays []netip.Prefix `yaml:"relays"`
	// Fetchers are fetchmail and the like: judged by Received, never refused. They win over MyNetworks.
	Fetchers []netip.Prefix `yaml:"fetchers"`
}

func loopback() []netip.Prefix {
	return []netip.Prefix{
		netip.PrefixFrom(netip.AddrFrom4([4]byte{127}), 8),
		netip.PrefixFrom(netip.IPv6Loopback(), 128),
	}
}

// Threshold is a score from which something happens. Off is no score at all: +Inf, which none reaches.
type Threshold float64

// Off gives the threshold that no score reaches.
func Off() Threshold { return Threshold(math.Inf(1)) }

// IsOff reports whether no score reaches t.
func (t Threshold) IsOff() bool { return math.IsInf(float64(t), 1) }

// Reached reports whether a score is at or above t.
func (t Threshold) Reached(score float64) bool { return score >= float64(t) }

// String gives the number, or off.
func (t Threshold) String() string {
	if t.IsOff() {
		return "off"
	}
	return strconv.FormatFloat(float64(t), 'g', -1, 64)
}

// DecodeYAML implements [strictyaml.Decoder].
func (t *Threshold) DecodeYAML(n *strictyaml.Node) error {
	if text, _ := n.Text(); text == "off" {
		*t = Off()
		return nil
	}
	var score float64
	if err := n.Decode(&score); err != nil || score <= 0 {
		return n.Expected("a score above 0, or off")
	}
	*t = Threshold(score)
	return nil
}

// Thresholds are the scores from which mail is treated worse, ascending; any may be off.
type Thresholds struct {
	Greylist Threshold `yaml:"greylist"` // undecided: ask to retry, where the check greylist is on
	Junk     Threshold `yaml:"junk"`     // accept with spam headers
	Reject   Threshold `yaml:"reject"`   // refuse, if the objective evidence alone reaches it too
}

// ValidateYAML implements [strictyaml.Validator].
func (t *Thresholds) ValidateYAML(n *strictyaml.Node) error {
	var errs strictyaml.Errors
	lower, name := Threshold(0), ""
	for _, step := range []struct {
		key string
		at  Threshold
	}{{"greylist", t.Greylist}, {"junk", t.Junk}, {"reject", t.Reject}} {
		if step.at.IsOff() {
			continue
		}
		if step.at < lower {
			errs.Add(n.Key(step.key).Errorf("%v is below %s (%v), expected greylist, junk, reject ascending or off", step.at, name, lower))
		}
		lower, name = step.at, step.key
	}
	return errs.Err()
}
