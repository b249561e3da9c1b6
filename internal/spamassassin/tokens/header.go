package tokens

import (
	"regexp"
	"slices"
	"strings"

	"milterd/message"
	"milterd/mime"
)

// short are the names under which the tokens of frequent fields stand.
func short(name string) string {
	switch name {
	case "Message-Id":
		return "*m"
	case "Message-ID":
		return "*M"
	case "Received":
		return "*r"
	case "User-Agent":
		return "*u"
	case "References":
		return "*f"
	case "In-Reply-To":
		return "*i"
	case "From":
		return "*F"
	case "Reply-To":
		return "*R"
	case "Return-Path":
		return "*p"
	case "Return-path":
		return "*rp"
	case "X-Mailer":
		return "*x"
	case "X-Authentication-Warning":
		return "*a"
	case "Organization", "Organisation":
		return "*o"
	case "Content-Type":
		return "*ct"
	case "Content-Disposition":
		return "*cd"
	case "Content-Transfer-Encoding":
		return "*ce"
	}
	return name
}

// ignored are fields without tokens, in lower case.
var ignored = func() map[string]bool {
	set := map[string]bool{}
	for name := range strings.FieldsSeq(`sender x-sender delivered-to delivery-date envelope-to x-envelope-to
		x-mime-autoconverted x-converted-to-plain-text subject date x-list mailing-list x-mailing-list
		x-unsub x-unsubscribe x-mailman-version x-beenthere x-loop mail-followup-to x-egroups-return x-egroups-from
		x-mdmailing-list x-xemacs-list x-sympa-to resent-from resent-to resent-date x-resent-from x-resent-to x-resent-date
		original-from original-to original-date x-original-from x-original-to x-original-date
		x-mailscanner x-mailscanner-spamcheck x-spam x-spam-status x-spam-level x-spam-flag x-spam-report x-spam-hits x-spam-score
		x-spam-checker-version x-antispam x-rbl-warning x-mdaemon-deliver-to x-virus-scanned x-mass-check-id x-pyzor
		x-filtered-by x-scanned-by x-scanner x-ap-spam-score x-ap-spam-status x-ripe-spam-status x-smtpd
		spam-apparently-to x-spam-apparently-to spam x-perlmx-spam x-bogosity content-class thread-index thread-topic
		x-originalarrivaltime status x-status x-flags x-keywords replied forwarded lines content-length x-uid x-uidl x-imapbase
		x-gnus-mail-source xref received`) {
		set[name] = true
	}
	for name := range strings.FieldsSeq("archive help id owner post subscribe unsubscribe host manager admin comment name url") {
		set["list-"+name], set["x-list-"+name] = true, true
	}
	return set
}()

func isIgnored(name string) bool {
	if ignored[name] {
		return true
	}
	for _, prefix := range []string{"x-spamcop-", "x-bugzilla-", "x-vm-", "x-dcc-", "x-milterd-"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

func presenceOnly(name string) bool {
	switch name {
	case "x-face", "dkim-signature", "domainkey-signature", "x-google-dkim-signature", "arc-message-signature", "arc-seal", "autocrypt":
		return true
	}
	return strings.HasSuffix(name, "-fingerprint") && (strings.Contains(name, "pgp") || strings.Contains(name, "gpg") || strings.Contains(name, "gnu"))
}

// header adds the tokens of the header fields, of Received the two lowest.
func (c *cutter) header(h *message.Header) {
	var received []int
	n := 0
	for i := range h.Fields {
		name := strings.ToLower(h.Fields[i].Name)
		if name == "received" {
			received = append(received, i)
			continue
		}
		if n++; n <= maxFields && !isIgnored(name) {
			c.field(h.Fields[i].Name, name, h.Fields[i].Value)
		}
	}
	for _, i := range received[max(0, len(received)-2):] {
		c.field(h.Fields[i].Name, "received", h.Fields[i].Value)
	}
}

func (c *cutter) field(name, low, value string) {
	value = mime.DecodeWords(message.Unfold(value[:min(len(value), maxValue)]))
	base := strings.TrimPrefix(strings.TrimPrefix(low, "x-"), "resent-")
	switch {
	case base == "message-id":
		value = messageID(value)
	case slices.Contains(addressFields, base):
		value = addresses(value)
	case name == "Received":
		value = hop(value)
	case name == "Content-Type":
		value = contentType(value)
	case name == "MIME-Version":
		value = strings.Replace(value, "1.0", "", 1)
	case presenceOnly(low):
		value = "1"
	}
	switch low {
	case "in-reply-to", "references", "message-id":
		c.line("H*MI:", value, inHeader)
	case "from", "to", "cc":
		c.line("H*Ad:", value, inHeader)
	case "x-mailer", "user-agent":
		c.line("H*UA:", value, inHeader)
	}
	c.line("H"+short(name)+":", value, inHeader)
}

var addressFields = []string{"return-path", "from", "to", "cc", "reply-to", "errors-to", "mail-followup-to", "sender"}

var (
	outlookID  = regexp.MustCompile(`<([0-9a-f]{4})[0-9a-f]{8}\$([0-9a-f]{4})[0-9a-f]{4}\$([0-9a-f]{8})@(\S+)>`)
	eximID     = regexp.MustCompile(`<[A-Za-z0-9]{7}-[A-Za-z0-9]{6}-0[A-Za-z0-9]@`)
	sendmailID = regexp.MustCompile(`<20\d\d[01]\d[0123]\d[012]\d[012345]\d[012345]\d\.[A-F0-9]{10,12}@`)
)

// messageID cuts a Message-ID where its makers put it together.
func messageID(v string) string {
	v = outlookID.ReplaceAllString(v, " OEA$1 OEB$2 OEC$3 $4 ")
	v = sendmailID.ReplaceAllString(eximID.ReplaceAllString(v, ""), "")
	return strings.Map(func(r rune) rune {
		if r < 0x80 && isWord(byte(r)) {
			return r
		}
		return ' '
	}, v)
}

var (
	withID   = regexp.MustCompile(`\swith\sE?SMTP\sid\sg?[\dA-Z]{10,12}\s`)
	hopID    = regexp.MustCompile(`\bid\s[a-zA-Z0-9]{7,20}\b`)
	hopDate  = regexp.MustCompile(`(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun),\s)?[0-3\s]?[0-9]\s(?:Jan|Feb|Ma[ry]|Apr|Ju[nl]|Aug|Sep|Oct|Nov|Dec)\s(?:19|20)?[0-9]{2}\s[0-2][0-9](?::[0-5][0-9]){1,2}\s(?:\s*\(|\)|\s*(?:[+-][0-9]{4})|\s*(?:UT|[A-Z]{2,3}T))*`)
	hopIP    = regexp.MustCompile(`\b(\d{1,3}\.\d{1,3}\.\d{1,3})(\.\d{1,3})\b`)
	hopWords = regexp.MustCompile(`\b(?:with|from|for|SMTP|ESMTP)\b`)
)

// hop leaves out of a Received field what is another one in each message.
func hop(v string) string {
	v = hopID.ReplaceAllString(withID.ReplaceAllString(v, " "), " ")
	v = hopDate.ReplaceAllString(v, "")
	v = hopIP.ReplaceAllString(v, "$1 ip*$1$2 ")
	return hopWords.ReplaceAllString(v, " ")
}

var (
	boundary    = regexp.MustCompile(`(?i)boundary=["'](.*?)["']`)
	digits      = regexp.MustCompile(`[a-fA-F0-9]`)
	separators  = regexp.MustCompile(`([-_.=]+)`)
	commonWords = regexp.MustCompile(`\b(?:text|charset)\b`)
)

// contentType leaves the shape of a boundary.
func contentType(v string) string {
	if m := boundary.FindStringSubmatch(v); m != nil {
		v = boundary.ReplaceAllString(v, " ") + separators.ReplaceAllString(digits.ReplaceAllString(m[1], "H"), " $1 ")
	}
	return commonWords.ReplaceAllString(v, " ")
}

// addresses writes a list of addresses as the words of their names and the parts of
// their addresses.
func addresses(v string) string {
	var out []string
	var phrase strings.Builder
	angle := ""
	flush := func() {
		name, addr := phrase.String(), angle
		if addr == "" {
			for word := range strings.FieldsSeq(name) {
				if strings.Contains(word, "@") {
					addr = word
					name = strings.Replace(name, word, " ", 1)
					break
				}
			}
		}
		for word := range strings.FieldsSeq(name) {
			out = append(out, "N*"+word)
		}
		out = append(out, address(addr)...)
		phrase.Reset()
		angle = ""
	}
	for i := 0; i < len(v); i++ {
		switch c := v[i]; c {
		case '"':
			for i++; i < len(v) && v[i] != '"'; i++ {
				if v[i] == '\\' && i+1 < len(v) {
					i++
				}
				phrase.WriteByte(v[i])
			}
		case '(':
			depth := 1
			phrase.WriteByte(' ')
			for i++; i < len(v); i++ {
				if v[i] == '(' {
					depth++
				} else if v[i] == ')' {
					if depth--; depth == 0 {
						break
					}
				}
				phrase.WriteByte(v[i])
			}
			phrase.WriteByte(' ')
		case '<':
			end := strings.IndexByte(v[i:], '>')
			if end < 0 {
				end = len(v) - i
			}
			angle = strings.TrimSpace(v[i+1 : i+end])
			i += end
		case ',', ';':
			flush()
		default:
			phrase.WriteByte(c)
		}
	}
	flush()
	return strings.Join(out, " ")
}
