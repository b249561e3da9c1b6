package integration

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

// IMAP is a small client (RFC 9051) for looking into a user's folders as the user
// does.
type IMAP struct {
	conn net.Conn
	r    *bufio.Reader
	tag  int
}

// response is everything a server said to one command: its untagged lines, each
// with the literals that belong to it.
type response struct {
	lines    []string
	literals [][]byte
	status   string // the tagged line without its tag: "OK …", "NO …", "BAD …"
}

func (r response) ok() bool { return strings.HasPrefix(r.status, "OK") }

// DialIMAP connects and logs in.
func DialIMAP(ctx context.Context, addr, user, password string) (*IMAP, error) {
	dialer := net.Dialer{Timeout: 10 * time.Second}
	conn, err := dialer.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	conn.SetDeadline(time.Now().Add(time.Minute))
	c := &IMAP{conn: conn, r: bufio.NewReader(conn)}
	err = c.line("* OK")
	if err == nil {
		err = c.must("LOGIN %s %s", user, password)
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// line reads one line and wants it to begin with the prefix.
func (c *IMAP) line(prefix string) error {
	line, err := c.r.ReadString('\n')
	if err == nil && !strings.HasPrefix(line, prefix) {
		err = fmt.Errorf("imap: %q where %q was expected", line, prefix)
	}
	return err
}

// Close ends the connection.
func (c *IMAP) Close() error { return c.conn.Close() }

func (c *IMAP) cmd(format string, args ...any) (response, error) {
	c.tag++
	tag := "a" + strconv.Itoa(c.tag) + " "
	if _, err := fmt.Fprintf(c.conn, tag+format+"\r\n", args...); err != nil {
		return response{}, err
	}
	return c.readUntil(tag)
}

func (c *IMAP) readUntil(tag string) (response, error) {
	var r response
	for {
		line, err := c.r.ReadString('\n')
		if err != nil {
			return r, err
		}
		line = strings.TrimRight(line, "\r\n")
		if status, tagged := strings.CutPrefix(line, tag); tagged {
			r.status = status
			return r, nil
		}
		r.lines = append(r.lines, line)
		if open := strings.LastIndexByte(line, '{'); open >= 0 && strings.HasSuffix(line, "}") {
			n, err := strconv.Atoi(line[open+1 : len(line)-1])
			if err != nil {
				return r, fmt.Errorf("imap literal in %q: %w", line, err)
			}
			literal := make([]byte, n)
			if _, err := io.ReadFull(c.r, literal); err != nil {
				return r, err
			}
			r.literals = append(r.literals, literal)
		}
	}
}

func (c *IMAP) must(format string, args ...any) error {
	r, err := c.cmd(format, args...)
	if err == nil && !r.ok() {
		err = fmt.Errorf("imap %s: %s", fmt.Sprintf(format, args...), r.status)
	}
	return err
}

// Select opens a folder; later commands mean it.
func (c *IMAP) Select(folder string) error { return c.must("SELECT %q", folder) }

// Search returns the UIDs of the folder's messages whose Subject holds the text.
func (c *IMAP) Search(subject string) ([]uint32, error) {
	if err := c.must("NOOP"); err != nil { // let the server look for new mail
		return nil, err
	}
	r, err := c.cmd("UID SEARCH SUBJECT %q", subject)
	if err != nil {
		return nil, err
	}
	var uids []uint32
	for _, line := range r.lines {
		found, ok := strings.CutPrefix(line, "* SEARCH")
		if !ok {
			continue
		}
		for word := range strings.FieldsSeq(found) {
			uid, err := strconv.ParseUint(word, 10, 32)
			if err != nil {
				return nil, fmt.Errorf("imap %q: %w", line, err)
			}
			uids = append(uids, uint32(uid))
		}
	}
	return uids, nil
}

// Fetch returns a message without marking it as seen.
func (c *IMAP) Fetch(uid uint32) (Delivered, error) {
	r, err := c.cmd("UID FETCH %d (BODY.PEEK[])", uid)
	if err != nil {
		return Delivered{}, err
	}
	if len(r.literals) != 1 {
		return Delivered{}, fmt.Errorf("imap fetch %d: %d messages: %s", uid, len(r.literals), r.status)
	}
	return parseDelivered(r.literals[0]), nil
}

// Move moves a message of the selected folder to another one, as users do who
// train a filter.
func (c *IMAP) Move(uid uint32, folder string) error { return c.must("UID MOVE %d %q", uid, folder) }

// Append puts a message into a folder.
func (c *IMAP) Append(folder string, message []byte) error {
	c.tag++
	tag := "a" + strconv.Itoa(c.tag) + " "
	if _, err := fmt.Fprintf(c.conn, "%sAPPEND %q {%d}\r\n", tag, folder, len(message)); err != nil {
		return err
	}
	if err := c.line("+"); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(c.conn, "%s\r\n", message); err != nil {
		return err
	}
	r, err := c.readUntil(tag)
	if err == nil && !r.ok() {
		err = fmt.Errorf("imap append: %s", r.status)
	}
	return err
}

// wait looks for a message until it is there or ctx ends.
func (c *IMAP) wait(ctx context.Context, folder, subject string) (Delivered, error) {
	if err := c.Select(folder); err != nil {
		return Delivered{}, err
	}
	for {
		uids, err := c.Search(subject)
		if err != nil {
			return Delivered{}, err
		}
		if len(uids) > 0 {
			return c.Fetch(uids[0])
		}
		select {
		case <-time.After(15 * time.Millisecond):
		case <-ctx.Done():
			return Delivered{}, fmt.Errorf("no message with Subject %q in %s: %w", subject, folder, ctx.Err())
		}
	}
}
