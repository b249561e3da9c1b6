package strictyaml

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"net/netip"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// errUnexpected says no more than that the value is not what was expected; the expectation says the rest.
var errUnexpected = errors.New("unexpected")

// A scalar reads a single value into a type.
type scalar struct {
	what string // what was expected; "" is worked out from the type
	set  func(n *node, v reflect.Value) error
}

// scalars are the types understood by what they are.
var scalars = map[reflect.Type]scalar{
	reflect.TypeFor[time.Duration](): {"a duration such as 30s, 5m, 12h or 7d", setDuration},
	reflect.TypeFor[fs.FileMode]():   {`an octal mode such as "0660"`, setMode},
	reflect.TypeFor[netip.Addr]():    {"an IP address such as 192.0.2.7 or 2001:db8::7", setAddr},
	reflect.TypeFor[netip.Prefix]():  {"a network such as 192.0.2.0/24, 2001:db8::/32 or a single address", setPrefix},
}

// scalarKinds are the types understood by what they are made of.
var scalarKinds = map[reflect.Kind]scalar{
	reflect.String:  {"text", setString},
	reflect.Bool:    {"true or false", setBool},
	reflect.Int:     {"", setInt},
	reflect.Int8:    {"", setInt},
	reflect.Int16:   {"", setInt},
	reflect.Int32:   {"", setInt},
	reflect.Int64:   {"", setInt},
	reflect.Uint:    {"", setUint},
	reflect.Uint8:   {"", setUint},
	reflect.Uint16:  {"", setUint},
	reflect.Uint32:  {"", setUint},
	reflect.Uint64:  {"", setUint},
	reflect.Float32: {"a number", setFloat},
	reflect.Float64: {"a number", setFloat},
}

func (s scalar) expect(v reflect.Value) string {
	switch {
	case s.what != "":
		return s.what
	case v.Type().Bits() == 64:
		return "a whole number" // more digits than that nobody needs explained
	case v.CanInt():
		most := int64(math.MaxInt64) >> (64 - v.Type().Bits())
		return fmt.Sprintf("a whole number from %d to %d", -most-1, most)
	default:
		return fmt.Sprintf("a whole number from 0 to %d", uint64(math.MaxUint64)>>(64-v.Type().Bits()))
	}
}

// bare gives the text of a value that must not be in quotes: what YAML itself calls a number or a boolean. What comes
// from the environment or a file has no quotes of its own.
func (n *node) bare() (string, bool) { return n.text, n.plain || n.expanded }

func setString(n *node, v reflect.Value) error {
	// A number is taken as written: selector 202611, group 100. A bare true was meant for another key.
	if text, bare := n.bare(); bare && !n.expanded && (text == "true" || text == "false") {
		return errUnexpected
	}
	v.SetString(n.text)
	return nil
}

func setBool(n *node, v reflect.Value) error {
	text, bare := n.bare()
	if !bare || text != "true" && text != "false" {
		return errUnexpected
	}
	v.SetBool(text == "true")
	return nil
}

// wholeNumber refuses what Go would accept and YAML reads in two ways: 0660, 0x10, 1_000, +1.
func wholeNumber(n *node) (string, bool) {
	text, bare := n.bare()
	digits := strings.TrimPrefix(text, "-")
	return text, bare && strings.Trim(digits, "0123456789") == "" && (len(digits) == 1 || !strings.HasPrefix(digits, "0"))
}

func setInt(n *node, v reflect.Value) error {
	text, ok := wholeNumber(n)
	i, err := strconv.ParseInt(text, 10, v.Type().Bits())
	if !ok || err != nil {
		return errUnexpected
	}
	v.SetInt(i)
	return nil
}

func setUint(n *node, v reflect.Value) error {
	text, ok := wholeNumber(n)
	u, err := strconv.ParseUint(text, 10, v.Type().Bits())
	if !ok || err != nil {
		return errUnexpected
	}
	v.SetUint(u)
	return nil
}

func setFloat(n *node, v reflect.Value) error {
	text, bare := n.bare()
	f, err := strconv.ParseFloat(text, v.Type().Bits())
	if !bare || err != nil || strings.Trim(text, "0123456789+-.eE") != "" { // no inf, nan, hexadecimal
		return errUnexpected
	}
	v.SetFloat(f)
	return nil
}

func setDuration(n *node, v reflect.Value) error {
	d, err := ParseDuration(n.text)
	switch {
	case err != nil && likeNumber(n.raw):
		return fmt.Errorf("%s has no unit, expected a duration such as %ss, 5m, 12h or 7d", n.raw, n.raw)
	case err != nil:
		return errUnexpected
	}
	v.SetInt(int64(d))
	return nil
}

func setMode(n *node, v reflect.Value) error {
	mode, err := strconv.ParseUint(n.text, 8, 32)
	if err != nil || mode > 0o777 || len(n.text) < 3 {
		return errUnexpected
	}
	v.SetUint(mode)
	return nil
}

func setAddr(n *node, v reflect.Value) error {
	addr, err := netip.ParseAddr(n.text)
	if err != nil || addr.Zone() != "" {
		return errUnexpected
	}
	v.Set(reflect.ValueOf(addr.Unmap()))
	return nil
}

func setPrefix(n *node, v reflect.Value) error {
	p, err := ParsePrefix(n.text)
	switch {
	case err != nil:
		return errUnexpected
	case p != p.Masked() && n.expanded:
		return errUnexpected
	case p != p.Masked():
		return fmt.Errorf("%s has bits behind its length, expected %s or %s", p, p.Masked(), p.Addr())
	}
	v.Set(reflect.ValueOf(p))
	return nil
}

// ParsePrefix reads a network as Postfix's mynetworks has them: 192.0.2.0/24, 2001:db8::/32, [2001:db8::]/32; a bare
// address is the network of that address alone; IPv4 written inside IPv6 (::ffff:192.0.2.0/120) is IPv4. Bits behind
// the length are kept, for the caller to refuse.
func ParsePrefix(s string) (netip.Prefix, error) {
	host, length, sized := strings.Cut(s, "/")
	if inner, ok := strings.CutPrefix(host, "["); ok {
		host, ok = strings.CutSuffix(inner, "]")
		if !ok || !strings.Contains(host, ":") {
			return netip.Prefix{}, fmt.Errorf("%q is not a network", s)
		}
	}
	addr, err := netip.ParseAddr(host)
	if err != nil || addr.Zone() != "" {
		return netip.Prefix{}, fmt.Errorf("%q is not a network", s)
	}
	bits := addr.BitLen()
	if sized {
		n, err := strconv.ParseUint(length, 10, 8)
		if err != nil || int(n) > bits || len(length) > 1 && length[0] == '0' {
			return netip.Prefix{}, fmt.Errorf("%q is not a network", s)
		}
		bits = int(n)
	}
	if addr.Is4In6() && bits >= 96 {
		return netip.PrefixFrom(addr.Unmap(), bits-96), nil
	}
	return netip.PrefixFrom(addr, bits), nil
}

// durationUnits are what may follow a number.
var durationUnits = map[string]time.Duration{
	"ms": time.Millisecond, "s": time.Second, "m": time.Minute, "h": time.Hour, "d": 24 * time.Hour, "w": 7 * 24 * time.Hour,
}

// ParseDuration reads a duration that has a unit for each number: 500ms, 30s, 5m, 1h30m, 7d, 2w, 1.5s. A day is 24 hours.
// A bare number (0 too), a sign and an overflow of time.Duration are errors.
func ParseDuration(s string) (time.Duration, error) {
	total, rest := time.Duration(0), s
	for first := true; first || rest != ""; first = false {
		number := rest[:len(rest)-len(strings.TrimLeft(rest, "0123456789."))]
		unit := rest[len(number):]
		unit = unit[:len(unit)-len(strings.TrimLeft(unit, "dhmsw"))]
		rest = rest[len(number)+len(unit):]
		size, ok := durationUnits[unit]
		part, err := multiply(number, int64(size))
		if !ok || err != nil || part > math.MaxInt64-int64(total) {
			return 0, fmt.Errorf("%q is not a duration", s)
		}
		total += time.Duration(part)
	}
	return total, nil
}

// multiply computes a decimal number (digits and at most one dot inside) of units, exactly when it is a whole one.
func multiply(number string, unit int64) (int64, error) {
	whole, fraction, dotted := strings.Cut(number, ".")
	n, err := strconv.ParseInt(whole, 10, 64)
	if err != nil || strings.Trim(whole, "0123456789") != "" || dotted == (fraction == "") || n > math.MaxInt64/max(1, unit) {
		return 0, errUnexpected
	}
	if !dotted {
		return n * unit, nil
	}
	f, err := strconv.ParseFloat("0."+fraction, 64)
	part := int64(math.Round(f * float64(unit)))
	if err != nil || strings.Trim(fraction, "0123456789") != "" || part > math.MaxInt64-n*unit {
		return 0, errUnexpected
	}
	return n*unit + part, nil
}
