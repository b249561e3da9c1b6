package redis

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// Server says where a server is and how to reach it.
type Server struct {
	Network   string   // tcp or unix
	Addresses []string // one, or those of the sentinels
	Master    string   // what the sentinels call the server; empty without sentinels
	DB        int
	Username  string
	Password  string
	TLS       bool
	Prefix    string // of all names on the server
}

// DefaultPrefix is before all names on the server.
const DefaultPrefix = "milterd"

// maxPassword bounds a file that holds a password.
const maxPassword = 4 << 10

var prefixes = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,32}$`)

// ParseURL reads the address of a server:
//
//	redis://HOST[:6379][/DB]             TCP
//	rediss://HOST[:6379][/DB]            TCP with TLS
//	redis+unix:///run/redis/redis.sock   a unix socket
//	redis+sentinel://HOST[:26379],HOST…/MASTER[/DB]
//
// USER:PASSWORD@ may stand before the host. Behind a question mark: password_file=PATH,
// whose first line is the password; db=N; prefix=NAME, when several milterds share a
// server and not their memory. An error never shows the password.
func ParseURL(address string) (*Server, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, errors.New("the address of a server cannot be read, expected redis://host:6379/0")
	}
	s := &Server{Network: "tcp", Prefix: DefaultPrefix, Username: u.User.Username()}
	s.Password, _ = u.User.Password()
	path := strings.Trim(u.Path, "/")
	switch u.Scheme {
	case "redis", "rediss":
		s.TLS = u.Scheme == "rediss"
		s.Addresses = []string{hostPort(u.Host, "6379")}
	case "redis+unix":
		if u.Host != "" || path == "" {
			return nil, errors.New("a unix socket is redis+unix:///path/to/socket")
		}
		s.Network, s.Addresses, path = "unix", []string{u.Path}, ""
	case "redis+sentinel":
		for host := range strings.SplitSeq(u.Host, ",") {
			s.Addresses = append(s.Addresses, hostPort(host, "26379"))
		}
		s.Master, path, _ = strings.Cut(path, "/")
		if s.Master == "" {
			return nil, errors.New("sentinels want the name of the server behind the hosts: redis+sentinel://host1,host2/mymaster")
		}
	default:
		return nil, fmt.Errorf("%q is no scheme for a server, expected redis, rediss, redis+unix or redis+sentinel", u.Scheme)
	}
	if u.Scheme != "redis+unix" && u.Hostname() == "" {
		return nil, errors.New("no host, expected redis://host:6379/0")
	}
	query := u.Query()
	if db := query.Get("db"); db != "" {
		path = db
	}
	if path != "" {
		if s.DB, err = strconv.Atoi(path); err != nil || s.DB < 0 || s.DB > 1<<16 {
			return nil, fmt.Errorf("%s is no database, expected a number such as 0", shown(path))
		}
	}
	if prefix := query.Get("prefix"); prefix != "" {
		if !prefixes.MatchString(prefix) {
			return nil, fmt.Errorf("prefix %s, expected up to 32 letters, digits, dots, hyphens and underscores", shown(prefix))
		}
		s.Prefix = prefix
	}
	if file := query.Get("password_file"); file != "" {
		if s.Password, err = readPassword(file); err != nil {
			return nil, err
		}
	}
	for key := range query {
		switch key {
		case "db", "prefix", "password_file":
		default:
			return nil, fmt.Errorf("%s is not known here, expected db, prefix or password_file", shown(key))
		}
	}
	return s, nil
}

// shown is a piece of an address for an error. One with an @ is the end of a password
// that has a / or ? in it, which was taken for the end of the host.
func shown(text string) string {
	if strings.Contains(text, "@") {
		return "what stands before the @ (in a password / is written %2F, ? is %3F, # is %23)"
	}
	return strconv.Quote(text)
}

func hostPort(host, port string) string {
	if _, _, err := net.SplitHostPort(host); err == nil {
		return host
	}
	return net.JoinHostPort(strings.Trim(host, "[]"), port)
}

func readPassword(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("password_file: %w", err)
	}
	defer f.Close()
	text := make([]byte, maxPassword)
	n, err := f.Read(text)
	if err != nil {
		return "", fmt.Errorf("password_file: %w", err)
	}
	line, _, _ := strings.Cut(string(text[:n]), "\n")
	return strings.TrimRight(line, "\r"), nil
}

// client makes a client that connects when it is first used. Its own retries are
// off: the writer has its own, and a reader goes on without.
func (s *Server) client(wait time.Duration) redis.UniversalClient {
	redis.SetLogger(silent{}) // the library has one for the process, which writes past our log
	var config *tls.Config
	if s.TLS {
		host, _, _ := net.SplitHostPort(s.Addresses[0])
		config = &tls.Config{MinVersion: tls.VersionTLS12, ServerName: host}
	}
	if s.Master != "" {
		return redis.NewFailoverClient(&redis.FailoverOptions{
			MasterName: s.Master, SentinelAddrs: s.Addresses, Username: s.Username, Password: s.Password, DB: s.DB,
			DialTimeout: wait, ReadTimeout: wait, WriteTimeout: wait, ContextTimeoutEnabled: true, MaxRetries: -1, DialerRetries: 1,
		})
	}
	return redis.NewClient(&redis.Options{
		Network: s.Network, Addr: s.Addresses[0], Username: s.Username, Password: s.Password, DB: s.DB, TLSConfig: config,
		DialTimeout: wait, ReadTimeout: wait, WriteTimeout: wait, ContextTimeoutEnabled: true, MaxRetries: -1, DialerRetries: 1,
	})
}

// silent drops what the library would write to standard error: every error that it
// tells of comes back from the call, too.
type silent struct{}

func (silent) Printf(context.Context, string, ...any) {}
