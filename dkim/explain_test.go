package dkim

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"testing"

	"milterd/message"
)

// What lists do to a message, and what Explain makes of it.
func TestExplain(t *testing.T) {
	const tags = "v=1; a=ed25519-sha256; d=example.org; s=ed25519; c=relaxed/relaxed; h=From:From:Subject:Subject:To:Reply-To:Sender; bh=?; b=?"
	set := func(name, value string) func(*[]message.Field, *string) {
		return func(fields *[]message.Field, _ *string) {
			for i, f := range *fields {
				if f.Name == name {
					(*fields)[i].Value = value
					return
				}
			}
			*fields = append(*fields, message.Field{Name: name, Value: value})
		}
	}
	body := func(change func(string) string) func(*[]message.Field, *string) {
		return func(_ *[]message.Field, body *string) { *body = change(*body) }
	}
	tests := []struct {
		name    string
		tags    string
		changes []func(*[]message.Field, *string)
		want    []string
	}{
		{"nothing", tags, nil, nil},
		{"subject tag", tags, []func(*[]message.Field, *string){set("Subject", " [announce] [list] minutes of Monday")},
			[]string{`subject tag: Subject is "[announce] [list] minutes of Monday", was "[list] minutes of Monday"`}},
		{"marked subject", tags, []func(*[]message.Field, *string){set("Subject", " ***SPAM*** [list] minutes of Monday")},
			[]string{`subject tag: Subject is "***SPAM*** [list] minutes of Monday", was "[list] minutes of Monday"`}},
		{"footer", tags, []func(*[]message.Field, *string){body(func(s string) string { return s + "_______\r\nlist\r\n" })},
			[]string{"footer: the last 4 lines were not there"}},
		{"preface", tags, []func(*[]message.Field, *string){body(func(s string) string { return "CAUTION: external\r\n\r\n" + s })},
			[]string{"preface: the first 2 lines were not there"}},
		{"Reply-To added", tags, []func(*[]message.Field, *string){set("Reply-To", " list@example.net")},
			[]string{`field added: Reply-To: "list@example.net" was not there`}},
		{"as Mailman does", tags, []func(*[]message.Field, *string){
			set("From", " Ann via List <list@example.net>"), set("Cc", " Ann <ann@example.org>"), set("Reply-To", " list@example.net"), set("Subject", " [x] [list] minutes of Monday"),
			body(func(s string) string {
				return "--=-b\r\nContent-Type: text/plain\r\n\r\n" + s + "\r\n--=-b\r\nContent-Type: text/plain\r\n\r\nlist\r\n--=-b--\r\n"
			}), set("Content-Type", ` multipart/mixed; boundary="=-b"`),
		}, []string{
			`subject tag: Subject is "[x] [list] minutes of Monday", was "[list] minutes of Monday"`,
			`From rewritten: From is "Ann via List <list@example.net>", was "Ann <ann@example.org>"`,
			`field added: Reply-To: "list@example.net" was not there`,
			"body put into a part",
		}},
		{"recoded", tags, []func(*[]message.Field, *string){set("Content-Transfer-Encoding", " Quoted-Printable"), body(func(s string) string { return strings.ReplaceAll(s, "e", "=65") })},
			[]string{"body recoded"}},
		{"with z=", tags + "; z=From:Ann=20<ann@example.org>|Subject:=20[list]=20=20minutes=0D=0A=09of=20Monday|To:bob@example.net|X:y",
			[]func(*[]message.Field, *string){set("Subject", " other"), set("To", " eve@example.net")},
			[]string{`field changed: Subject is "other", was "[list]  minutes\tof Monday"`, `field changed: To is "eve@example.net", was "bob@example.net"`}},
		{"with z= and more", tags + "; z=Subject:[list]=20minutes=20of=20Monday",
			[]func(*[]message.Field, *string){set("Subject", " other"), set("To", " eve@example.net")},
			[]string{`field changed: Subject is "other", was "[list] minutes of Monday" (which does not explain all)`}},
		{"rewritten by hand", tags, []func(*[]message.Field, *string){set("Subject", " other"), body(func(string) string { return "other" })}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			fields, _ := parseMessage(t, testHeader)
			fields, text := forge(t, testKey(t, "ed25519"), tt.tags, fields, testBody), testBody
			for _, change := range tt.changes {
				change(&fields, &text)
			}
			v := &Verifier{Resolver: testZone(t, ""), Now: testNow}
			e := v.Explain(t.Context(), fields, []byte(text))
			if len(e) != 1 {
				t.Fatalf("%d explanations", len(e))
			}
			var got []string
			for _, c := range e[0].Changes {
				got = append(got, c.String())
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("got  %q\nwant %q", got, tt.want)
			}
			if sum := hashOf(Relaxed, []byte(text)); string(sum) != string(e[0].BodyHash) || len(e[0].WantHash) != sha256.Size {
				t.Errorf("body hash %x, want %x", e[0].BodyHash, sum)
			}
			if (e[0].Status == Pass) != (tt.changes == nil) {
				t.Errorf("%s", e[0].Status)
			}
		})
	}
}

func TestExplainFields(t *testing.T) {
	fields, _ := parseMessage(t, testHeader)
	fields = forge(t, testKey(t, "ed25519"), "v=1; a=ed25519-sha256; d=example.org; s=ed25519; c=relaxed; h=Received:From:From:subject; bh=?; b=?", fields, testBody)
	fields = append(fields, message.Field{Name: FieldName, Value: " v=1; d=example.org; h=To:x"})
	e := (&Verifier{Resolver: testZone(t, "")}).Explain(t.Context(), fields, []byte(testBody))
	if got := fmt.Sprint(e[0].Fields, e[1].Fields); got != "[{Received 5} {From 2} {From -1} {subject 4}] [{To 3} {x -1}]" {
		t.Error(got)
	}
	lines := strings.Split(e[0].Text, "\r\n")
	if len(lines) != 4 || lines[1] != "from:Ann <ann@example.org>" || lines[2] != "subject:[list] minutes of Monday" || !strings.HasSuffix(lines[3], "; b=") {
		t.Errorf("%q", lines)
	}
	if e[1].Text != "" || e[1].Status != PermError || e[1].Changes != nil {
		t.Errorf("%+v", e[1])
	}
}
