package strictyaml

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// house has a field of every kind that the package understands.
type house struct {
	Name    string                    `yaml:"name"`
	Lit     bool                      `yaml:"lit"`
	Floors  int                       `yaml:"floors"`
	Small   int8                      `yaml:"small"`
	Number  uint16                    `yaml:"number"`
	Area    float64                   `yaml:"area"`
	Wait    time.Duration             `yaml:"wait"`
	Perm    fs.FileMode               `yaml:"perm"`
	Addr    netip.Addr                `yaml:"addr"`
	Nets    []netip.Prefix            `yaml:"nets"`
	Size    Bytes                     `yaml:"size"`
	File    Path                      `yaml:"file"`
	Colour  colour                    `yaml:"colour"`
	Hex     hex                       `yaml:"hex"`
	Door    door                      `yaml:"door"`
	Back    *door                     `yaml:"back"`
	Rooms   []room                    `yaml:"rooms"`
	Scores  map[string]float64        `yaml:"scores"`
	Tenants map[string]door           `yaml:"tenants"`
	Checks  map[string]Section        `yaml:"checks"`
	Later   Section                   `yaml:"later"`
	Where   Located[string]           `yaml:"where"`
	Words   map[string]map[string]int `yaml:"words"`
	garden
	Plain string // without a tag: not read
}

type garden struct {
	Trees int `yaml:"trees"`
}

type door struct {
	Pos    Pos
	Width  int    `yaml:"width"`
	Height int    `yaml:"height"`
	Key    string `yaml:"key"`
}

// ValidateYAML wants doors higher than wide.
func (d *door) ValidateYAML(n *Node) error {
	if d.Height < d.Width {
		return n.Key("height").Errorf("%d is less than the width of %d, expected more", d.Height, d.Width)
	}
	return nil
}

type colour string

func (c *colour) DecodeYAML(n *Node) error { return OneOf(n, c, "red", "green", "blue") }

// room is a name, or a mapping: the shorthand that sockets have.
type room struct {
	Name string `yaml:"name"`
	Beds int    `yaml:"beds"`
	Pos  Pos
}

func (r *room) DecodeYAML(n *Node) error {
	type mapping room
	if n.Kind() == Scalar {
		*r = room{Beds: 1, Pos: n.Pos()}
		return n.Decode(&r.Name)
	}
	m := mapping{Beds: 1}
	err := n.Decode(&m)
	*r = room(m)
	return err
}

// hex has an error of its own, through encoding.TextUnmarshaler.
type hex uint32

func (h *hex) UnmarshalText(text []byte) error {
	if _, err := fmt.Sscanf(string(text), "#%x", (*uint32)(h)); err != nil {
		return fmt.Errorf("%q is not like #ff00aa, expected that", text)
	}
	return nil
}

func defaultHouse() house {
	return house{
		Name: "old", Floors: 2, Nets: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, Door: door{Width: 1, Height: 2, Key: "iron"},
		Scores: map[string]float64{"A": 1, "B": 2}, Tenants: map[string]door{"ann": {Width: 1, Height: 3}},
		Wait: time.Minute, garden: garden{Trees: 3},
	}
}

var sameHouse = cmp.Options{
	cmp.AllowUnexported(house{}), cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{}),
	cmp.Comparer(func(a, b Section) bool { return a.Node().Kind() == b.Node().Kind() && a.Node().Len() == b.Node().Len() }),
}

func TestDecodeGood(t *testing.T) {
	section := func(yaml string) Section {
		n, err := Parse("f", []byte(yaml))
		if err != nil {
			t.Fatal(err)
		}
		return Section{n}
	}
	for _, c := range []struct {
		name, yaml string
		want       func(*house)
	}{
		{"empty", "", func(*house) {}},
		{"comment", "# nothing\n", func(*house) {}},
		{"byte order mark", "\uFEFFname: x\n", func(h *house) { h.Name = "x" }},
		{"null keeps", "name:\nfloors: ~\ndoor: null\nscores: {A: }\nnets:\nback:\n", func(*house) {}},
		{"text", "name: 0042\n", func(h *house) { h.Name = "0042" }},
		{"text that is a word of YAML 1.1", "name: off\n", func(h *house) { h.Name = "off" }},
		{"text true in quotes", "name: 'true'\n", func(h *house) { h.Name = "true" }},
		{"empty text", "name: ''\n", func(h *house) { h.Name = "" }},
		{"block text", "name: |\n  a\n  b\n", func(h *house) { h.Name = "a\nb\n" }},
		{"numbers", "floors: -3\nsmall: 127\nnumber: 65535\narea: 1.5e2\nlit: true\n", func(h *house) {
			h.Floors, h.Small, h.Number, h.Area, h.Lit = -3, 127, 65535, 150, true
		}},
		{"units", "wait: 1h30m\nsize: 1.5GiB\nperm: 0640\n", func(h *house) { h.Wait, h.Size, h.Perm = 90*time.Minute, 3<<29, 0o640 }},
		{"mode in quotes", "perm: \"0660\"\n", func(h *house) { h.Perm = 0o660 }},
		{"addresses", "addr: ::ffff:192.0.2.1\nnets: [192.0.2.7, '2001:db8::/32', '[::1]']\n", func(h *house) {
			h.Addr = netip.MustParseAddr("192.0.2.1")
			h.Nets = []netip.Prefix{netip.MustParsePrefix("192.0.2.7/32"), netip.MustParsePrefix("2001:db8::/32"), netip.MustParsePrefix("::1/128")}
		}},
		{"a list replaces, also by nothing", "nets: []\n", func(h *house) { h.Nets = []netip.Prefix{} }},
		{"maps merge", "scores: {B: 3, C: 4}\ntenants: {ann: {width: 2}, bob: {height: 9}}\n", func(h *house) {
			h.Scores = map[string]float64{"A": 1, "B": 3, "C": 4}
			h.Tenants = map[string]door{"ann": {Width: 2, Height: 3, Pos: Pos{"f", 2, 16}}, "bob": {Height: 9, Pos: Pos{"f", 2, 33}}}
		}},
		{"maps of maps", "words: {a: {b: 1}}\n", func(h *house) { h.Words = map[string]map[string]int{"a": {"b": 1}} }},
		{"a struct merges", "door: {height: 5}\nback:\n  width: 1\n  height: 1\n", func(h *house) {
			h.Door = door{Width: 1, Height: 5, Key: "iron", Pos: Pos{"f", 1, 7}}
			h.Back = &door{Width: 1, Height: 1, Pos: Pos{"f", 3, 3}}
		}},
		{"own types", "colour: green\nhex: '#ff'\nfile: a/b\nwhere: here\n", func(h *house) {
			h.Colour, h.Hex, h.File = "green", 0xff, "a/b"
			h.Where = Located[string]{"here", Pos{"f", 4, 8}}
		}},
		{"shorthand", "rooms: [hall, {name: bath, beds: 0}]\n", func(h *house) {
			h.Rooms = []room{{"hall", 1, Pos{"f", 1, 9}}, {"bath", 0, Pos{"f", 1, 15}}}
		}},
		{"sections", "later: {a: 1}\nchecks: {spf: , dkim: {x: 1}}\n", func(h *house) {
			h.Later, h.Checks = section("a: 1"), map[string]Section{"spf": {}, "dkim": section("x: 1")}
		}},
		{"embedded", "trees: 7\n", func(h *house) { h.Trees = 7 }},
		{"alias and merge key", "door: &d {width: 2, height: 4}\nback: {<<: *d, height: 6}\ntenants: {eve: *d}\n", func(h *house) {
			h.Door = door{Width: 2, Height: 4, Key: "iron", Pos: Pos{"f", 1, 7}}
			h.Back = &door{Width: 2, Height: 6, Pos: Pos{"f", 2, 7}}
			h.Tenants = map[string]door{"ann": {Width: 1, Height: 3}, "eve": {Width: 2, Height: 4, Pos: Pos{"f", 1, 7}}}
		}},
		{"first merge key wins", "back: {<<: [{width: 1, height: 2}, {width: 9, key: k}]}\n", func(h *house) {
			h.Back = &door{Width: 1, Height: 2, Key: "k", Pos: Pos{"f", 1, 7}}
		}},
		{"line ends of Windows", "name: x\r\nfloors: 3\r\n", func(h *house) { h.Name, h.Floors = "x", 3 }},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, want := defaultHouse(), defaultHouse()
			c.want(&want)
			if err := Decode("f", []byte(c.yaml), &got); err != nil {
				t.Fatalf("error: %v", err)
			}
			if diff := cmp.Diff(want, got, sameHouse); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestDecodeDoesNotTouchSharedDefaults(t *testing.T) {
	back := &door{Width: 1, Height: 2}
	base := defaultHouse()
	base.Back = back
	h := base
	if err := Decode("f", []byte("back: {height: 9}\nscores: {A: 7}\ntenants: {ann: {height: 8}}\nnets: [192.0.2.1]\n"), &h); err != nil {
		t.Fatal(err)
	}
	if h.Back.Height != 9 || h.Scores["A"] != 7 {
		t.Errorf("not decoded: %+v", h)
	}
	want := defaultHouse()
	want.Back = &door{Width: 1, Height: 2}
	if diff := cmp.Diff(want, base, sameHouse); diff != "" {
		t.Errorf("the default was changed: -want +got:\n%s", diff)
	}
}

func TestDecodeErrors(t *testing.T) {
	for _, c := range []struct{ name, yaml, want string }{
		{"unknown key", "nam: x\n", "f:1:1: nam: unknown key, did you mean name?"},
		{"unknown key, nothing near", "door: {colour: x}\n", "f:1:8: door.colour: unknown key, expected width, height or key"},
		{"unknown key deep", "tenants:\n  bob:\n    hieght: 1\n", "f:3:5: tenants.bob.hieght: unknown key, did you mean height?"},
		{"unknown key in a list", "rooms: [{nome: x}]\n", "f:1:10: rooms[0].nome: unknown key, did you mean name?"},
		{"many known keys", "zzzzzz: 1\n", "f:1:1: zzzzzz: unknown key, expected one of name, lit, floors, small, number, area, wait, perm, addr, nets, size, file and 12 more"},
		{"camel case", "door: {Height: 1}\n", "f:1:8: door.Height: unknown key, did you mean height?"},
		{"fields without a tag", "door: {Pos: x, pos: x}\n", "f:1:8: door.Pos: unknown key, expected width, height or key\nf:1:16: door.pos: unknown key, expected width, height or key"},
		{"twice", "lit: true\ndoor:\n  width: 1\n  width: 1\nlit: false\n", "f:4:3: door.width: key given twice, expected once (the first is in line 3)\nf:5:1: lit: key given twice, expected once (the first is in line 1)"},
		{"twice by alias", "name: &n lit\n*n : true\nlit: true\n", "f:3:1: lit: key given twice, expected once (the first is in line 1)"},
		{"YAML 1.1 boolean", "lit: off\n", `f:1:6: lit: got "off", expected true or false`},
		{"boolean in quotes", "lit: 'true'\n", `f:1:6: lit: got the text "true", expected true or false`},
		{"boolean as text", "name: true\n", `f:1:7: name: got true, expected text`},
		{"shapes", "name: [a]\nfloors: {a: 1}\nnets: 10.0.0.0/8\nscores: 1\ndoor: []\nlater: 5\n", `f:1:7: name: got a list, expected text
f:2:9: floors: got a mapping, expected a whole number
f:3:7: nets: got "10.0.0.0/8", expected a list
f:4:9: scores: got 1, expected a mapping
f:5:7: door: got a list, expected a mapping
f:6:8: later: got 5, expected a mapping`},
		{"document", "- a\n", "f:1:1: got a list, expected a mapping"},
		{"ranges", "small: 128\nnumber: -1\n", "f:1:8: small: got 128, expected a whole number from -128 to 127\nf:2:9: number: got -1, expected a whole number from 0 to 65535"},
		{"whole numbers of other kinds", "rooms: [{beds: 0x10}, {beds: 010}, {beds: 1_000}, {beds: 1.0}, {beds: '1'}, {beds: +1}]\n", `f:1:16: rooms[0].beds: got "0x10", expected a whole number
f:1:30: rooms[1].beds: got 010, expected a whole number
f:1:43: rooms[2].beds: got 1_000, expected a whole number
f:1:58: rooms[3].beds: got 1.0, expected a whole number
f:1:71: rooms[4].beds: got the text "1", expected a whole number
f:1:84: rooms[5].beds: got +1, expected a whole number`},
		{"numbers that are none", "scores: {a: .inf, b: .nan, c: 0x1p3, d: x}\n", `f:1:13: scores.a: got ".inf", expected a number
f:1:22: scores.b: got ".nan", expected a number
f:1:31: scores.c: got "0x1p3", expected a number
f:1:41: scores.d: got "x", expected a number`},
		{"no unit", "wait: 600\nsize: 10\n", "f:1:7: wait: 600 has no unit, expected a duration such as 600s, 5m, 12h or 7d\nf:2:7: size: 10 has no unit, expected a size such as 10KiB, 256MiB or 8GiB"},
		{"wrong unit", "wait: 5y\nsize: 10MB\n", "f:1:7: wait: got \"5y\", expected a duration such as 30s, 5m, 12h or 7d\nf:2:7: size: got \"10MB\", expected a size such as 64KiB, 256MiB or 8GiB"},
		{"modes", "perm: 0888\n", `f:1:7: perm: got 0888, expected an octal mode such as "0660"`},
		{"addresses", "addr: 1.2.3\nnets: [x, 10.1.2.3/8, 10.0.0.0/33, 'fe80::1%eth0', '']\n", `f:1:7: addr: got 1.2.3, expected an IP address such as 192.0.2.7 or 2001:db8::7
f:2:8: nets[0]: got "x", expected a network such as 192.0.2.0/24, 2001:db8::/32 or a single address
f:2:11: nets[1]: 10.1.2.3/8 has bits behind its length, expected 10.0.0.0/8 or 10.1.2.3
f:2:23: nets[2]: got "10.0.0.0/33", expected a network such as 192.0.2.0/24, 2001:db8::/32 or a single address
f:2:36: nets[3]: got "fe80::1%eth0", expected a network such as 192.0.2.0/24, 2001:db8::/32 or a single address
f:2:52: nets[4]: got "", expected a network such as 192.0.2.0/24, 2001:db8::/32 or a single address`},
		{"one of", "colour: gren\n", `f:1:9: colour: got "gren", expected red, green or blue, did you mean green?`},
		{"one of, a list", "colour: [red]\n", `f:1:9: colour: got a list, expected red, green or blue`},
		{"text unmarshaler", "hex: zz\n", `f:1:6: hex: "zz" is not like #ff00aa, expected that`},
		{"text unmarshaler, a list", "hex: []\n", `f:1:6: hex: got a list, expected a single value`},
		{"path", "file: ''\n", `f:1:7: file: got "", expected a path`},
		{"null item", "rooms: [a, null]\nnets:\n  -\n", "f:1:12: rooms[1]: got nothing, expected a value or no item\nf:3:4: nets[0]: got nothing, expected a value or no item"},
		{"validator", "door: {width: 3}\nback: {width: 3, height: 1}\n", "f:1:7: door.height: 2 is less than the width of 3, expected more\nf:2:26: back.height: 1 is less than the width of 3, expected more"},
		{"validator waits", "door: {width: 3, heigth: 9}\n", "f:1:18: door.heigth: unknown key, did you mean height?"},
		{"odd keys", "tenants:\n  example.org: {widht: 1}\n  '': {widht: 1}\n  \"a\\nb\": {widht: 1}\n", `f:2:17: tenants["example.org"].widht: unknown key, did you mean width?
f:3:8: tenants[""].widht: unknown key, did you mean width?
f:4:12: tenants["a\nb"].widht: unknown key, did you mean width?`},
		{"keys that are no words", "? [a]\n: 1\n~: 2\n!!str x: 3\n", "f:1:3: a key that is not a word, expected a word\nf:3:1: a key that is not a word, expected a word\nf:4:1: a key that is not a word, expected a word"},
		{"tags", "name: !!binary aGk=\ndoor: !x {}\nnets: !y []\n", "f:1:7: name: tag \"!!binary\", expected a value without a tag\nf:2:7: door: tag \"!x\", expected a value without a tag\nf:3:7: nets: tag \"!y\", expected a value without a tag"},
		{"merge key", "door: {<<: 5}\nback: {<<: [1]}\n", `f:1:12: door["<<"]: got 5, expected a mapping or a list of mappings
f:2:12: back["<<"]: got 1, expected a mapping or a list of mappings`},
		{"an alias in itself", "door: &d {width: *d}\n", "f:1:18: door.width: *d inside its own &d, expected it outside"},
		{"error behind an alias stands where it is written", "tenants: {a: &t {width: x}, b: *t}\n", "f:1:25: tenants.a.width: got \"x\", expected a whole number\nf:1:25: tenants.b.width: got \"x\", expected a whole number"},
		{"control characters in a message", "colour: \"\\e[31m\\n\"\n", `f:1:9: colour: got "\x1b[31m\n", expected red, green or blue`},
		{"long text in a message", "colour: " + strings.Repeat("ü", 100) + "\n", `f:1:9: colour: got "` + strings.Repeat("ü", 60) + `"..., expected red, green or blue`},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := defaultHouse()
			err := Decode("f", []byte(c.yaml), &h)
			got := strings.Split(fmt.Sprint(err), "\n")
			want := strings.Split(c.want, "\n")
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestDecodeKeepsWhatIsGood(t *testing.T) {
	h := defaultHouse()
	err := Decode("f", []byte("name: new\nfloors: many\nlit: true\n"), &h)
	if errs, ok := errors.AsType[Errors](err); !ok || len(errs) != 1 {
		t.Fatalf("error %v, want one", err)
	}
	if h.Name != "new" || !h.Lit || h.Floors != 2 {
		t.Errorf("got %q %v %d, want the good keys read and the bad one left at its default", h.Name, h.Lit, h.Floors)
	}
}

func TestDecodeIntoNonsense(t *testing.T) {
	n, err := Parse("f", []byte("a: 1\n"))
	if err != nil {
		t.Fatal(err)
	}
	var nothing *house
	for _, into := range []any{nil, house{}, nothing, new(chan int), new(func()), &struct {
		A any `yaml:"a"`
	}{}, new(map[int]int)} {
		if err := n.Decode(into); err == nil || !strings.Contains(err.Error(), "fault of the program") {
			t.Errorf("%T: error %v, want one that says whose fault it is", into, err)
		}
	}
}
