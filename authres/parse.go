package authres

import (
	"errors"
	"fmt"
	"strings"
)

// What can be wrong with a field. [Parse] returns one of them inside a
// [ParseError].
var (
	// ErrSyntax says that the field does not follow RFC 8601, section 2.2.
	ErrSyntax = errors.New("not an Authentication-Results field")
	// ErrLimit says that the field is larger than [MaxBytes], has more results
	// than [MaxMethods] or nests comments too deep.
	ErrLimit = errors.New("over the limit")
)

// ParseError tells what was wrong where. It quotes nothing of the field, so it
// is safe to log.
type ParseError struct {
	Offset int    // in bytes from the start of the value
	What   string // what was expected or exceeded
	Err    error  // ErrSyntax or ErrLimit
}

func (e *ParseError) Error() string {
	return fmt.Sprintf("authres: byte %d: %s: %v", e.Offset, e.What, e.Err)
}

// Unwrap returns ErrSyntax or ErrLimit.
func (e *ParseError) Unwrap() error { return e.Err }

// maxCommentDepth bounds nested comments. Nobody nests more than two deep.
const maxCommentDepth = 20

// Parse reads the value of an Authentication-Results field, folded as it was
// received or not. It takes comments and white space wherever RFC 8601 allows
// them, quoted-strings, versions, and names in any case (which it returns in
// lower case). It forgives what real hosts write: properties without a ptype
// ("action=none"), bare values with characters that should have been quoted, a
// semicolon too many, no results at all, and 8-bit text. It does not forgive
// control characters, unbalanced quotes or parentheses, or words that are
// neither result, reason nor property.
//
// Nothing in the returned field has been checked beyond its syntax, and values
// may hold any text but control characters. The error is a *[ParseError]; the
// field is then empty, since half of a field may say the opposite of the whole.
func Parse(value string) (Field, error) {
	s := scanner{text: value}
	f, err := s.field()
	if err != nil {
		return Field{}, err
	}
	return f, nil
}

// field reads authres-payload (RFC 8601, section 2.2).
func (s *scanner) field() (Field, error) {
	var f Field
	if len(s.text) > MaxBytes {
		return f, s.limit("value too long")
	}
	if err := s.head(&f); err != nil {
		return f, err
	}
	none := false
	for !s.done() {
		s.at++ // the semicolon
		if _, err := s.skip(); err != nil {
			return f, err
		}
		if s.done() || s.peek() == ';' {
			continue // a semicolon too many
		}
		if len(f.Methods) == MaxMethods {
			return f, s.limit("too many results")
		}
		m, err := s.method()
		if err != nil {
			return f, err
		}
		if none || m.Result == "" && len(f.Methods) > 0 {
			return f, s.syntax("none beside other results")
		}
		if none = m.Result == ""; !none {
			f.Methods = append(f.Methods, m)
		}
	}
	return f, nil
}

// head reads the authserv-id and the version, up to the first semicolon.
func (s *scanner) head(f *Field) (err error) {
	s.inHead = true
	defer func() { s.inHead = false }()
	if _, err = s.skip(); err != nil {
		return err
	}
	if s.peek() == '"' {
		f.AuthservID, err = s.quoted()
	} else {
		f.AuthservID, err = s.word(isTokenOr8bit, "authserv-id")
	}
	if err != nil {
		return err
	}
	spaced, err := s.skip()
	if err != nil {
		return err
	}
	if c := s.peek(); spaced && c >= '0' && c <= '9' {
		if f.Version, err = s.number(); err != nil {
			return err
		}
		if _, err = s.skip(); err != nil {
			return err
		}
	}
	if !s.done() && s.peek() != ';' {
		return s.syntax("semicolon expected")
	}
	return nil
}

// method reads one resinfo up to the semicolon after it, or "none", which is a
// method without a result.
func (s *scanner) method() (m Method, err error) {
	if m.Method, err = s.word(isKeywordChar, "method"); err != nil {
		return m, err
	}
	m.Method = strings.ToLower(m.Method)
	if _, err = s.skip(); err != nil {
		return m, err
	}
	if m.Method == "none" && (s.done() || s.peek() == ';') {
		return m, nil
	}
	if s.peek() == '/' {
		s.at++
		if _, err = s.skip(); err != nil {
			return m, err
		}
		if m.Version, err = s.number(); err != nil {
			return m, err
		}
	}
	if err = s.equals(); err != nil {
		return m, err
	}
	if m.Result, err = s.word(isKeywordChar, "result"); err != nil {
		return m, err
	}
	m.Result = strings.ToLower(m.Result)
	if m.Comment, err = s.comments(); err != nil {
		return m, err
	}
	for !s.done() && s.peek() != ';' {
		if err = s.property(&m); err != nil {
			return m, err
		}
	}
	return m, nil
}

// property reads a reasonspec or a propspec.
func (s *scanner) property(m *Method) error {
	var p Prop
	name, err := s.word(isKeywordChar, "property")
	if err != nil {
		return err
	}
	p.Property = strings.ToLower(name)
	if _, err = s.skip(); err != nil {
		return err
	}
	if s.peek() == '.' {
		s.at++
		if _, err = s.skip(); err != nil {
			return err
		}
		if name, err = s.word(isKeywordChar, "property"); err != nil {
			return err
		}
		p.Ptype, p.Property = p.Property, strings.ToLower(name)
	}
	if err = s.equals(); err != nil {
		return err
	}
	if p.Value, err = s.value(); err != nil {
		return err
	}
	if p.Ptype == "" && p.Property == "reason" {
		if m.Reason == "" {
			m.Reason = p.Value
		}
	} else {
		m.Props = append(m.Props, p)
	}
	_, err = s.skip()
	return err
}

// value reads a pvalue: a quoted-string, or a bare word that ends at white
// space, a comment or a semicolon, and may begin with a quoted local part. It
// may be empty: some hosts write "smtp.mailfrom=" for the null reverse-path.
func (s *scanner) value() (string, error) {
	start := s.at
	if s.peek() == '"' {
		v, err := s.quoted()
		if err != nil || s.peek() != '@' {
			return v, err
		}
		if strings.ContainsAny(s.text[start:s.at], "\r\n") {
			return "", s.syntax("folded local part")
		}
	}
	for !s.done() && isValueChar(s.peek()) {
		s.at++
	}
	if c := s.peek(); !s.done() && c != ';' && c != '(' && !isSpace(c) {
		return "", s.syntax("value ends in the middle")
	}
	return s.text[start:s.at], nil
}

// equals reads [CFWS] "=" [CFWS].
func (s *scanner) equals() error {
	if _, err := s.skip(); err != nil {
		return err
	}
	if s.peek() != '=' {
		return s.syntax("equals sign expected")
	}
	s.at++
	_, err := s.skip()
	return err
}
