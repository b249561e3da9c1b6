package pipeline

import (
	"fmt"

	"milterd/checks"
	"milterd/message"
)

// longField is the length over which a single header field is a finding. No
// honest program writes such; Postfix itself cuts at about 59.5 kB.
const longField = 32 << 10

// Findings of the limits on the header, which hold for every message.
var limitFindings = []checks.FindingSpec{
	{Name: "HEADER_TOO_LARGE", Describe: "The header has more fields or bytes than limits.header_fields or limits.header_bytes allow"},
	{Name: "HEADER_FIELD_LONG", Describe: "A single header field is longer than 32 KiB"},
}

// limitResult reports a header that is over its limits: refused for good, since
// the same message would be too large tomorrow.
func limitResult(m *message.Message) (res checks.Result, over bool) {
	res.Check = "limits"
	if m.Header == nil || m.Role == message.Reinject {
		return res, false
	}
	if m.Header.OverLimit != "" {
		res.Findings = append(res.Findings, checks.Finding{Name: "HEADER_TOO_LARGE", Detail: "over limits." + m.Header.OverLimit})
		// What lies beyond the limit was read by nobody, and no forged field in it
		// can be removed. So this spares no one: where nobody can be refused, hold. And
		// where the mode lets it through, or somebody releases it, the message says so.
		res.Demand = &checks.Demand{Action: message.RejectMail, Reply: message.ReplyHeaderSize, Finding: "HEADER_TOO_LARGE", Always: true, Outbound: true}
		res.Unscanned = true
	}
	for _, f := range m.Header.Fields {
		if len(f.Value) > longField {
			res.Findings = append(res.Findings, checks.Finding{Name: "HEADER_FIELD_LONG",
				Detail: fmt.Sprintf("%s: %d bytes", message.SafeText(f.Name, 40), len(f.Value))})
			break
		}
	}
	return res, len(res.Findings) > 0
}

// Findings lists the findings that the pipeline and scoring make themselves,
// for those who must know every name.
func Findings() []checks.FindingSpec {
	return append([]checks.FindingSpec{
		{Name: "CLIENT_PRIVATE", Describe: "The client has a private address that no key of networks names"},
	}, limitFindings...)
}
