package spamassassin

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// world is the SpamAssassin for which the files are read: that of Debian 12 with
// the plugins that it loads by itself. loadplugin lines add to them.
type world struct {
	plugins map[string]bool
	compat  map[string]bool // what enable_compat switched on
}

const (
	saVersion   = 4.000001
	perlVersion = 5.036
	pluginPath  = "Mail::SpamAssassin::Plugin::"
	confPath    = "Mail::SpamAssassin::Conf::"
)

// defaultPlugins are those that SpamAssassin 4.0.1 loads where nobody changed its
// .pre files.
const defaultPlugins = `URIDNSBL SPF Rule2XSBody Pyzor Razor2 SpamCop AutoLearnThreshold WelcomeListSubject MIMEHeader ReplaceTags DKIM Check
	HTTPSMismatch URIDetail Bayes BodyEval DNSEval HTMLEval HeaderEval MIMEEval RelayEval URIEval WLBLEval VBounce ImageInfo FreeMail AskDNS
	HashBL DMARC`

func newWorld() *world {
	w := &world{plugins: map[string]bool{}, compat: map[string]bool{}}
	for _, name := range strings.Fields(defaultPlugins) {
		w.plugins[pluginPath+name] = true
	}
	return w
}

// holds evaluates the condition of an if.
func (w *world) holds(expr string) (bool, error) {
	tokens, err := conditionTokens(expr)
	if err != nil {
		return false, err
	}
	p := conditionParser{w, tokens}
	v, err := p.or(0)
	if err == nil && len(p.tokens) > 0 {
		err = fmt.Errorf("%q was not expected", p.tokens[0])
	}
	return v != 0, err
}

// conditionTokens cuts a condition into words, numbers and operators.
func conditionTokens(expr string) (tokens []string, err error) {
	const wordBytes = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_:."
	for expr = strings.TrimSpace(expr); expr != ""; expr = strings.TrimSpace(expr) {
		n := len(expr) - len(strings.TrimLeft(expr, wordBytes))
		for _, op := range []string{"&&", "||", "==", "!=", "<=", ">=", "<", ">", "!", "(", ")"} {
			if n == 0 && strings.HasPrefix(expr, op) {
				n = len(op)
			}
		}
		if n == 0 {
			return nil, fmt.Errorf("%.10q was not expected", expr)
		}
		tokens = append(tokens, expr[:n])
		expr = expr[n:]
	}
	return tokens, nil
}

type conditionParser struct {
	world  *world
	tokens []string
}

func (p *conditionParser) next() string {
	if len(p.tokens) == 0 {
		return ""
	}
	t := p.tokens[0]
	p.tokens = p.tokens[1:]
	return t
}

func (p *conditionParser) peek() string {
	if len(p.tokens) == 0 {
		return ""
	}
	return p.tokens[0]
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func (p *conditionParser) or(depth int) (float64, error) {
	v, err := p.and(depth)
	for err == nil && p.peek() == "||" {
		p.next()
		var w float64
		w, err = p.and(depth)
		v = truth(v != 0 || w != 0)
	}
	return v, err
}

func (p *conditionParser) and(depth int) (float64, error) {
	v, err := p.compare(depth)
	for err == nil && p.peek() == "&&" {
		p.next()
		var w float64
		w, err = p.compare(depth)
		v = truth(v != 0 && w != 0)
	}
	return v, err
}

func (p *conditionParser) compare(depth int) (float64, error) {
	v, err := p.value(depth)
	if err != nil {
		return 0, err
	}
	op := p.peek()
	switch op {
	case "==", "!=", "<", "<=", ">", ">=":
	default:
		return v, nil
	}
	p.next()
	w, err := p.value(depth)
	switch op {
	case "==":
		return truth(v == w), err
	case "!=":
		return truth(v != w), err
	case "<":
		return truth(v < w), err
	case "<=":
		return truth(v <= w), err
	case ">":
		return truth(v > w), err
	}
	return truth(v >= w), err
}

func (p *conditionParser) value(depth int) (float64, error) {
	if depth > 50 {
		return 0, errors.New("nested too deep")
	}
	switch t := p.next(); t {
	case "":
		return 0, errors.New("it ends too early")
	case "!":
		v, err := p.value(depth + 1)
		return truth(v == 0), err
	case "(":
		v, err := p.or(depth + 1)
		if err == nil && p.next() != ")" {
			err = errors.New("a ) is missing")
		}
		return v, err
	case "version":
		return saVersion, nil
	case "perl_version":
		return perlVersion, nil
	case "local_tests_only":
		return 0, nil
	case "true":
		return 1, nil
	case "false":
		return 0, nil
	case "plugin", "can", "has":
		if p.next() != "(" {
			return 0, fmt.Errorf("a ( is missing behind %s", t)
		}
		name := p.next()
		if p.next() != ")" {
			return 0, fmt.Errorf("a ) is missing behind %s(%s", t, name)
		}
		if t == "plugin" {
			return truth(p.world.plugins[name]), nil
		}
		return truth(p.world.can(name)), nil
	default:
		v, err := strconv.ParseFloat(t, 64)
		if err != nil {
			return 0, fmt.Errorf("%q means nothing", t)
		}
		return v, nil
	}
}

// can says whether SpamAssassin has a function: of its configuration all that
// 4.0.1 has, of a plugin all, if the plugin is there.
func (w *world) can(name string) bool {
	if feature, ok := strings.CutPrefix(name, confPath); ok {
		if compat, ok := strings.CutPrefix(feature, "compat_"); ok {
			return w.compat[compat]
		}
		return strings.HasPrefix(feature, "feature_") || strings.HasPrefix(feature, "perl_min_version_")
	}
	if i := strings.LastIndex(name, "::"); i > 0 {
		return w.plugins[name[:i]]
	}
	return false
}
