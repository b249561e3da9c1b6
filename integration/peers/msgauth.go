package peers

import (
	"bytes"
	"context"
	"net"
	"strings"

	"github.com/emersion/go-msgauth/dkim"
)

// MsgAuth is the package go-msgauth, in this process.
type MsgAuth struct{ Config Config }

// Sign implements [Signer]. Every field of the header is signed.
func (m MsgAuth) Sign(_ context.Context, raw []byte) ([]byte, error) {
	var signatures bytes.Buffer
	for _, k := range m.Config.Keys {
		s, err := dkim.NewSigner(&dkim.SignOptions{
			Domain: k.Domain, Selector: k.Selector, Signer: k.Private,
			HeaderCanonicalization: dkim.Canonicalization(m.Config.Header),
			BodyCanonicalization:   dkim.Canonicalization(m.Config.Body),
		})
		if err != nil {
			return nil, err
		}
		if _, err := s.Write(raw); err != nil {
			return nil, err
		}
		if err := s.Close(); err != nil {
			return nil, err
		}
		signatures.WriteString(s.Signature())
	}
	return append(signatures.Bytes(), raw...), nil
}

// Verify implements [Verifier], with the verdicts in the order of the header.
func (m MsgAuth) Verify(_ context.Context, raw []byte) ([]Verdict, error) {
	records := m.Config.records()
	judged, err := dkim.VerifyWithOptions(bytes.NewReader(raw), &dkim.VerifyOptions{
		LookupTXT: func(name string) ([]string, error) {
			if record, ok := records[strings.TrimSuffix(name, ".")]; ok {
				return []string{record}, nil
			}
			return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
		},
	})
	verdicts := make([]Verdict, 0, len(judged))
	for _, v := range judged {
		if v.Err != nil {
			verdicts = append(verdicts, Verdict{Text: v.Err.Error()})
		} else {
			verdicts = append(verdicts, Verdict{Pass: true})
		}
	}
	return verdicts, err
}
