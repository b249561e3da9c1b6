package opendkim

import (
	"bytes"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"milterd/internal/keys"
	"milterd/message"
)

// result writes what was made. A setting that no code took would be lost: it is
// reported instead.
func (im *importer) result() (Result, error) {
	for _, key := range slices.Sorted(maps.Keys(im.settings)) {
		s := im.settings[key]
		im.enter(s.Pos, notCarried, shown(s), "it has no effect where the other settings are as they are")
	}
	return Result{Config: im.config, YAML: im.config.yaml(im.main), Report: im.report(), Whole: im.whole()}, nil
}

// checkKeys says of every key file what milterd would say of it here.
func (im *importer) checkKeys() {
	const most = 20
	looked, said := map[string]bool{}, map[string]bool{}
	for _, d := range im.config.Domains {
		for _, k := range d.Keys {
			if looked[k.File] {
				continue
			}
			looked[k.File] = true
			if _, err := keys.Load(k.File); err != nil && !said[err.Error()] {
				said[err.Error()] = true
				if len(said) <= most {
					im.note("%v", err)
				}
			}
		}
	}
	if len(said) > most {
		im.note("and so on for %d key files more; milterd check looks at all of them", len(said)-most)
	}
}

// yaml writes the configuration, with the line that each key comes from.
func (c *Config) yaml(main string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "# Made of OpenDKIM's configuration %s by milterd import opendkim.\n", message.SafeText(main, 4096))
	section := func(name string, lines ...string) {
		if lines = slices.DeleteFunc(lines, func(l string) bool { return l == "" }); len(lines) > 0 {
			fmt.Fprintf(&b, "%s:\n  %s\n", name, strings.Join(lines, "\n  "))
		}
	}
	if c.AuthservID != "" {
		fmt.Fprintf(&b, "authserv_id: %s\n", quote(c.AuthservID))
	}
	if c.MyNetworks != nil {
		section("networks", "mynetworks: ["+strings.Join(quoteAll(c.MyNetworks, netip.Prefix.String), ", ")+"]")
	}
	servers, timeout := "", ""
	if len(c.DNSServers) > 0 {
		servers = "servers: [" + strings.Join(quoteAll(c.DNSServers, strings.Clone), ", ") + "]"
	}
	if c.DNSTimeout > 0 {
		timeout = "timeout: " + c.DNSTimeout.String()
	}
	section("dns", servers, timeout)
	headerBytes, dkimSignatures := "", ""
	if c.HeaderBytes > 0 {
		headerBytes = fmt.Sprintf("header_bytes: %dKiB", (c.HeaderBytes+1023)/1024)
	}
	if c.DKIMSignatures > 0 {
		dkimSignatures = fmt.Sprintf("dkim_signatures: %d", c.DKIMSignatures)
	}
	section("limits", headerBytes, dkimSignatures)
	canonicalization, expire := "", ""
	if c.Canonicalization != "" {
		canonicalization = "canonicalization: " + c.Canonicalization
	}
	if c.Expire != "" {
		expire = "expire: " + quote(c.Expire)
	}
	section("signing", canonicalization, expire, c.domains())
	return b.Bytes()
}

func (c *Config) domains() string {
	if len(c.Domains) == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString("domains:")
	for _, d := range c.Domains {
		fmt.Fprintf(&b, "\n    %s:", quote(d.Name.String()))
		if d.Subdomains {
			b.WriteString("\n      subdomains: true")
		}
		b.WriteString("\n      keys:")
		for _, k := range d.Keys {
			fmt.Fprintf(&b, "\n        - {selector: %s, file: %s} # %s:%d", quote(k.Selector), quote(k.File), message.SafeText(k.At.File, 4096), k.At.Line)
		}
	}
	return b.String()
}

// quote writes a scalar that is one whatever is in it: YAML knows all escapes that
// Go makes of valid UTF-8, and milterd takes $${ for ${.
func quote(s string) string {
	return strconv.QuoteToASCII(strings.ReplaceAll(s, "${", "$${"))
}

func quoteAll[T any](all []T, show func(T) string) []string {
	quoted := make([]string, len(all))
	for i, v := range all {
		quoted[i] = quote(show(v))
	}
	return quoted
}
