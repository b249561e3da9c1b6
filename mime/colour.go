package mime

import (
	"strconv"
	"strings"
)

// colour is a colour, as far as it is known. One that is transparent is not.
type colour struct {
	r, g, b uint8
	known   bool
}

// transparentColour cannot be had from a known one, whose fields say nothing
// then.
var transparentColour = colour{r: 1}

func (c colour) transparent() bool { return c == transparentColour }

// near is how much each of red, green and blue may differ in two colours that
// look the same.
const near = 8

// like says whether both are known and look the same.
func (c colour) like(other colour) bool {
	return c.known && other.known && differ(c.r, other.r) <= near && differ(c.g, other.g) <= near && differ(c.b, other.b) <= near
}

func differ(a, b uint8) uint8 { return max(a, b) - min(a, b) }

// parseColour reads a colour of CSS. It is not ok for what is none, and for one
// taken over from outside.
func parseColour(value string) (colour, bool) {
	switch {
	case value == "":
		return colour{}, false
	case value[0] == '#':
		return hexColour(value[1:])
	case hasPrefixFold(value, "rgb(") || hasPrefixFold(value, "rgba("):
		return rgbColour(value[strings.IndexByte(value, '(')+1:]), true
	case hasPrefixFold(value, "hsl"):
		return colour{}, true
	case len(value) > len("lightgoldenrodyellow"):
		return colour{}, false
	}
	var buf [len("lightgoldenrodyellow")]byte
	name := lowerInto(buf[:], value)
	if string(name) == "transparent" {
		return transparentColour, true
	}
	rgb, ok := colourNames[string(name)]
	return colour{uint8(rgb >> 16), uint8(rgb >> 8), uint8(rgb), true}, ok
}

// attributeColour reads a colour of an attribute, which may lack its "#". What is
// none is an unknown colour.
func attributeColour(value string) colour {
	value = strings.TrimSpace(value)
	if c, ok := parseColour(value); ok {
		return c
	}
	c, _ := hexColour(value)
	return c
}

// hexColour reads the digits of #rgb, #rrggbb, and these with an alpha.
func hexColour(digits string) (colour, bool) {
	if len(digits) > 8 {
		return colour{}, false
	}
	n, err := strconv.ParseUint(digits, 16, 32)
	if err != nil {
		return colour{}, false
	}
	alpha := uint64(255)
	switch len(digits) {
	case 4:
		n, alpha = n>>4, n&15*17
		fallthrough
	case 3:
		n = n>>8*0x110000 | n>>4&15*0x1100 | n&15*0x11
	case 8:
		n, alpha = n>>8, n&255
	case 6:
	default:
		return colour{}, false
	}
	return mixed(uint8(n>>16), uint8(n>>8), uint8(n), float64(alpha)/255), true
}

// mixed returns a colour with an alpha: what it looks like depends on what is
// behind it, unless it covers that, or shows nothing.
func mixed(r, g, b uint8, alpha float64) colour {
	switch {
	case alpha < 0.06:
		return transparentColour
	case alpha < 0.9:
		return colour{}
	}
	return colour{r, g, b, true}
}

// rgbColour reads what follows "rgb(", in numbers or in percent.
func rgbColour(rest string) colour {
	rest, _, _ = strings.Cut(rest, ")")
	var n [4]float64
	n[3] = 1
	count := 0
	for word := range strings.FieldsFuncSeq(rest, func(r rune) bool { return r == ',' || r == ' ' || r == '/' || r == '\t' }) {
		if count == len(n) || len(word) > 20 {
			return colour{}
		}
		digits, percent := strings.CutSuffix(word, "%")
		f, err := strconv.ParseFloat(digits, 64)
		if err != nil {
			return colour{}
		}
		if percent {
			f /= 100
			if count < 3 {
				f *= 255
			}
		}
		n[count] = f
		count++
	}
	if count < 3 {
		return colour{}
	}
	level := func(f float64) uint8 { return uint8(min(max(f, 0), 255)) }
	return mixed(level(n[0]), level(n[1]), level(n[2]), n[3])
}

// colourNames are the names of colours that text and paper often have, and all
// those that can be taken for white or black. It does not change.
var colourNames = map[string]uint32{
	"white": 0xffffff, "snow": 0xfffafa, "ivory": 0xfffff0, "floralwhite": 0xfffaf0, "ghostwhite": 0xf8f8ff, "whitesmoke": 0xf5f5f5,
	"azure": 0xf0ffff, "mintcream": 0xf5fffa, "seashell": 0xfff5ee, "aliceblue": 0xf0f8ff, "honeydew": 0xf0fff0, "lightyellow": 0xffffe0,
	"lavenderblush": 0xfff0f5, "oldlace": 0xfdf5e6, "linen": 0xfaf0e6, "beige": 0xf5f5dc, "cornsilk": 0xfff8dc, "lightcyan": 0xe0ffff,
	"lavender": 0xe6e6fa, "gainsboro": 0xdcdcdc, "lightgray": 0xd3d3d3, "lightgrey": 0xd3d3d3, "silver": 0xc0c0c0, "darkgray": 0xa9a9a9,
	"darkgrey": 0xa9a9a9, "gray": 0x808080, "grey": 0x808080, "dimgray": 0x696969, "dimgrey": 0x696969, "black": 0,
	"red": 0xff0000, "darkred": 0x8b0000, "maroon": 0x800000, "crimson": 0xdc143c, "tomato": 0xff6347, "orangered": 0xff4500, "orange": 0xffa500,
	"darkorange": 0xff8c00, "gold": 0xffd700, "yellow": 0xffff00, "olive": 0x808000, "lime": 0x00ff00, "green": 0x008000, "darkgreen": 0x006400,
	"lightgreen": 0x90ee90, "aqua": 0x00ffff, "cyan": 0x00ffff, "teal": 0x008080, "lightblue": 0xadd8e6, "skyblue": 0x87ceeb,
	"steelblue": 0x4682b4, "royalblue": 0x4169e1, "blue": 0x0000ff, "mediumblue": 0x0000cd, "darkblue": 0x00008b, "navy": 0x000080,
	"purple": 0x800080, "indigo": 0x4b0082, "violet": 0xee82ee, "fuchsia": 0xff00ff, "magenta": 0xff00ff, "pink": 0xffc0cb, "brown": 0xa52a2a,
}
