package config

import (
	"io/fs"
	"strings"

	"milterd/internal/strictyaml"
)

// MailSocket is a unix socket on which Dovecot calls us: a text as unix:/run/milterd/training, or a mapping {socket,
// mode, group, users}, or off. The zero one is off.
type MailSocket struct {
	Socket
	// Users may speak for every mailbox, by login name or number: Dovecot's vmail user. Root and our own user may as well;
	// anybody else for himself alone.
	Users []string
}

// mailSocketMode lets everybody in, because who may say what is asked of the kernel for each call: mail users each have
// a uid of their own on some hosts.
const mailSocketMode fs.FileMode = 0o666

// DefaultMailUser is what most set-ups of Dovecot call the owner of all mail.
const DefaultMailUser = "vmail"

// Off reports whether there is no such socket.
func (m *MailSocket) Off() bool { return m.Address == "" }

// DecodeYAML implements [strictyaml.Decoder].
func (m *MailSocket) DecodeYAML(n *strictyaml.Node) error {
	const wanted = "off, unix:PATH or {socket: unix:PATH, mode:, group:, users:}"
	read := struct {
		Address string      `yaml:"socket"`
		Mode    fs.FileMode `yaml:"mode"`
		Group   string      `yaml:"group"`
		Users   []string    `yaml:"users"`
	}{Mode: mailSocketMode, Users: []string{DefaultMailUser}}
	at := n
	switch text, _ := n.Text(); {
	case n.Kind() == strictyaml.Mapping:
		at = n.Key("socket")
		if err := n.Decode(&read); err != nil {
			return err
		}
	case n.Kind() == strictyaml.Scalar && text == "off":
		*m = MailSocket{}
		return nil
	case n.Kind() == strictyaml.Scalar:
		read.Address = text
	default:
		return n.Expected(wanted)
	}
	scheme, rest, ok := cutScheme(read.Address)
	if !ok || rest == "" || !unixScheme(scheme) {
		return at.Expected(wanted)
	}
	path, err := unixPath(at, n.Beside(rest))
	if err != nil {
		return err
	}
	for i, user := range read.Users {
		if user == "" || strings.ContainsAny(user, ":/ \x00\n") {
			return n.Key("users").Item(i).Expected("a login name or a user's number")
		}
	}
	*m = MailSocket{Socket: Socket{Address: scheme + path, Mode: read.Mode, Group: read.Group}, Users: read.Users}
	return nil
}

// unixPath checks what the kernel would refuse.
func unixPath(at *strictyaml.Node, path string) (string, error) {
	if strings.ContainsRune(path, 0) || len(path) > maxSocketPath {
		return "", at.Errorf("a path of %d bytes, expected at most %d without NUL", len(path), maxSocketPath)
	}
	return path, nil
}
