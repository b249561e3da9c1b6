package message

import (
	"slices"
	"strings"
	"testing"
)

// authorCase is one From header: the values of its From fields, and what is to be
// read from them. A domain is only wanted where the author is usable.
type authorCase struct {
	name     string
	fields   []string
	sender   bool
	want     string          // addresses, comma between
	names    []string        // checked when not nil
	domain   string          // "" for none
	problems []AuthorProblem // exactly these, in this order
}

func one(value string) []string { return []string{value} }

func problems(p ...AuthorProblem) []AuthorProblem { return p }

// The From fields of the espoofer cases (Chen, Paxson, Jiang: "Composition Kills",
// USENIX Security 2020), as Postfix hands them to a milter: a NUL cuts a line, a
// line without a proper name ends the header.
var espoofer = []authorCase{
	{name: "a8 two fields", fields: []string{" <first@attack.test>", " <admin@legit.test>"},
		want: "first@attack.test,admin@legit.test", problems: problems(AuthorMultipleFields)},
	{name: "a9 leading space: the header begins as body", fields: nil, problems: problems(AuthorMissing)},
	{name: "a10 space before the colon", fields: []string{" <first@attack.test>", " <admin@legit.test>"},
		want: "first@attack.test,admin@legit.test", problems: problems(AuthorMultipleFields)},
	{name: "a11 folded name", fields: nil, problems: problems(AuthorMissing)},
	{name: "a12 folded name and a Sender", fields: nil, sender: true, problems: problems(AuthorMissing)},
	{name: "a13 folded name and a Resent-From", fields: nil, problems: problems(AuthorMissing)},
	{name: "a14 two addresses", fields: one(" <first@attack.test>, <admin@legit.test>"),
		want: "first@attack.test,admin@legit.test", problems: problems(AuthorTwoDomains)},
	{name: "a15 encoded address before the comma", fields: one(" =?utf-8?B?PGFkbWluQGxlZ2l0LnRlc3Q+?=,<second@attack.test>"),
		want: "second@attack.test", problems: problems(AuthorEncodedAddress)},
	{name: "a16 route", fields: one(" <@attack.test,@any.attack.test:admin@legit.test>"), problems: problems(AuthorRoute)},
	{name: "a17 backslash comma", fields: one(` <admin@legit.test>\,<second@attack.test>`), problems: problems(AuthorUnparsable)},
	{name: "a18 bare address and address", fields: one(" admin@legit.test,<second@attack.test>"),
		want: "admin@legit.test,second@attack.test", problems: problems(AuthorTwoDomains)},
	{name: "a19 text after the address", fields: one(" <any@attack.test>admin@legit.test"), problems: problems(AuthorUnparsable)},
}

// Further attacks, and fields that are only broken.
var hostileAuthors = []authorCase{
	{name: "route without brackets", fields: one("@attack.test,@any.test:admin@legit.test"), problems: problems(AuthorRoute)},
	{name: "NUL cut the angle bracket", fields: one(" <admin@legit.test"), problems: problems(AuthorUnbalanced)},
	{name: "NUL cut the second address", fields: one(" <a@legit.test>, "), want: "a@legit.test", domain: "legit.test",
		problems: problems(AuthorUnquotedComma)},
	{name: "raw NUL", fields: one(" <admin@legit.test\x00.attack.test>"), problems: problems(AuthorControl)},
	{name: "bare CR became a space", fields: one(" <first@attack.test> <admin@legit.test>"), problems: problems(AuthorUnparsable)},
	{name: "bare CR", fields: one(" <first@attack.test>\rFrom: <admin@legit.test>"), problems: problems(AuthorControl)},
	{name: "bare LF", fields: one(" <first@attack.test>\nFrom: <admin@legit.test>"), problems: problems(AuthorControl)},
	{name: "vertical tab", fields: one("a\vb <a@legit.test>"), problems: problems(AuthorControl)},
	{name: "DEL", fields: one("a\x7f <a@legit.test>"), problems: problems(AuthorControl)},
	{name: "line break in quotes that is no fold", fields: one("\"a\nb\" <a@legit.test>"), problems: problems(AuthorControl)},
	{name: "control in quotes", fields: one("\"a\x01b\" <a@legit.test>"), problems: problems(AuthorControl)},
	{name: "escaped line break in quotes", fields: one("\"a\\\n b\" <a@legit.test>"), problems: problems(AuthorControl)},
	{name: "group of two", fields: one("g:<a@x.test>,<b@legit.test>;"), problems: problems(AuthorGroup)},
	{name: "empty group", fields: one("undisclosed-recipients:;"), problems: problems(AuthorGroup)},
	{name: "mailto", fields: one("mailto:a@legit.test"), problems: problems(AuthorGroup)},
	{name: "semicolon for comma", fields: one("a@legit.test; b@attack.test"), problems: problems(AuthorUnparsable)},
	{name: "quoted address with a blank behind the @", fields: one(`"<admin@ legit.test>" <first@attack.test>`), want: "first@attack.test", problems: problems(AuthorAmbiguous)},
	{name: "encoded address with a fold before the @", fields: one("=?utf-8?Q?=3Cadmin\n =40=6C=65=67=69=74=2E=74=65=73=74=3E?= <first@attack.test>"), want: "first@attack.test", problems: problems(AuthorEncodedAddress)},
	{name: "address in a comment whose domain a fold cuts in two", fields: one("(<admin@LEG\n\tIT.test>) first@attack.test"), want: "first@attack.test", problems: problems(AuthorAmbiguous)},
	{name: "quoted address whose domain a blank cuts in two", fields: one(`"<admin@le git.test>" <first@attack.test>`), want: "first@attack.test", problems: problems(AuthorAmbiguous)},
	{name: "quoted address with a parenthesis before the @", fields: one(`"<Admin(@legit.test>" <first@attack.test>`), want: "first@attack.test", problems: problems(AuthorAmbiguous)},
	{name: "stray > at the end (OpenDMARC #174)", fields: one("user@victim.test>"), problems: problems(AuthorUnbalanced)},
	{name: "stray < in front", fields: one("<user@victim.test"), problems: problems(AuthorUnbalanced)},
	{name: "doubled brackets", fields: one("<<user@victim.test>>"), problems: problems(AuthorUnbalanced)},
	{name: "doubled closing bracket", fields: one("<user@victim.test>>"), problems: problems(AuthorUnbalanced)},
	{name: "open quote", fields: one(`"Joe <joe@x.test>`), problems: problems(AuthorUnbalanced)},
	{name: "open comment", fields: one(`joe@x.test (Joe`), problems: problems(AuthorUnbalanced)},
	{name: "closed comment", fields: one(`joe@x.test Joe)`), problems: problems(AuthorUnbalanced)},
	{name: "open bracket in the name", fields: one(`Joe [home <joe@x.test>`), problems: problems(AuthorUnbalanced)},
	{name: "open literal", fields: one(`joe@[192.0.2.1`), problems: problems(AuthorUnbalanced)},
	{name: "quote cut after backslash", fields: one(`"Joe\`), problems: problems(AuthorUnbalanced)},
	{name: "comments nested too deep", fields: one(strings.Repeat("(", 17) + strings.Repeat(")", 17) + "a@x.test"), problems: problems(AuthorUnparsable)},
	{name: "three members, two with domains", fields: one("a@good.test, b@x.test, c"), want: "a@good.test,b@x.test",
		problems: problems(AuthorUnparsable, AuthorTwoDomains)},
	{name: "two addresses without a comma", fields: one("a@good.test b@evil.test"), problems: problems(AuthorUnparsable)},
	{name: "address as unquoted name", fields: one("admin@legit.test <x@attack.test>"),
		problems: problems(AuthorUnquotedAt, AuthorTwoDomains)},
	{name: "address as unquoted name, more after it", fields: one("admin@legit.test| <x@attack.test>"),
		problems: problems(AuthorUnquotedAt, AuthorTwoDomains)},
	{name: "at and a quoted word in the name", fields: one(`admin@"legit.test" <x@attack.test>`),
		problems: problems(AuthorUnquotedAt, AuthorUnparsable)},
	{name: "unquoted at, the domain goes on after a blank", fields: one("x@attack.test .legit.test <x@attack.test>"),
		problems: problems(AuthorUnquotedAt, AuthorTwoDomains)},
	{name: "unquoted at, the domain goes on after a comment", fields: one("x@attack.test(Joe).legit.test <x@attack.test>"),
		problems: problems(AuthorUnquotedAt, AuthorTwoDomains)},
	{name: "unquoted at beside an encoded one", fields: one("=?utf-8?Q?admin=40legit.test?= x@ <x@attack.test>"),
		want: "x@attack.test", problems: problems(AuthorUnquotedAt, AuthorAmbiguous)},
	{name: "brackets after an address in quotes", fields: one(`"admin@legit.test"[192.0.2.1] <x@attack.test>`),
		want: "x@attack.test", problems: problems(AuthorUnquotedBrackets, AuthorAmbiguous)},
	{name: "unquoted comma and an address in a comment", fields: one(`Doe, Joe (admin@legit.test) <x@attack.test>`),
		want: "x@attack.test", problems: problems(AuthorUnquotedComma, AuthorAmbiguous)},
	{name: "two at signs", fields: one("a@b.test@c.test"), problems: problems(AuthorUnparsable)},
	{name: "colon in brackets", fields: one("<mailto:a@legit.test>"), problems: problems(AuthorUnparsable)},
	{name: "name and address without brackets", fields: one("Joe joe@x.test"), problems: problems(AuthorUnparsable)},
	{name: "domain in quotes", fields: one(`joe@"x.test"`), problems: problems(AuthorUnparsable)},
	{name: "text after a literal", fields: one(`joe@[192.0.2.1].x.test`), problems: problems(AuthorUnparsable)},
	{name: "brackets for a local part", fields: one(`[joe]@x.test`), problems: problems(AuthorUnparsable)},
	{name: "literal of no address", fields: one(`joe@[legit.test]`), problems: problems(AuthorUnparsable)},
	{name: "literal and domain", fields: one(`joe@[192.0.2.1], joe@legit.test`), want: "joe@[192.0.2.1],joe@legit.test",
		problems: problems(AuthorLiteral, AuthorTwoDomains)},
	{name: "obsolete dots in a domain", fields: one("joe@legit.test . attack.test"), problems: problems(AuthorUnparsable)},
	{name: "obsolete dots in a local part", fields: one("a . b@legit.test"), problems: problems(AuthorUnparsable)},
	{name: "trailing dot", fields: one("<a@legit.test.>"), problems: problems(AuthorTrailingDot)},
	{name: "ideographic full stop", fields: one("<a@legit\u3002test>"), problems: problems(AuthorFullStop)},
	{name: "fullwidth full stop", fields: one("<a@legit\uff0etest>"), problems: problems(AuthorFullStop)},
	{name: "zero-width space in the domain", fields: one("<a@legit\u200b.test>"), problems: problems(AuthorZeroWidth)},
	{name: "zero-width joiner in the local part", fields: one("<ad\u200dmin@legit.test>"), problems: problems(AuthorZeroWidth)},
	{name: "soft hyphen in the domain", fields: one("<a@leg\u00adit.test>"), problems: problems(AuthorZeroWidth)},
	{name: "override in the domain", fields: one("<a@\u202etset.tigel>"), problems: problems(AuthorZeroWidth)},
	{name: "fullwidth at in the local part", fields: one("<a\uff20legit.test@attack.test>"), problems: problems(AuthorUnparsable)},
	{name: "no-break space after the domain", fields: one("<a@legit.test\u00a0>"), problems: problems(AuthorBadDomain)},
	{name: "fullwidth letters", fields: one("<a@\uff4cegit.test>"), problems: problems(AuthorBadDomain)},
	{name: "underscore", fields: one("<a@le_git.test>"), problems: problems(AuthorBadDomain)},
	{name: "quote character in the domain", fields: one("<any@legit'@any.attack.test>"), problems: problems(AuthorUnparsable)},
	{name: "A-label of ASCII", fields: one("<a@xn--paypal-.test>"), problems: problems(AuthorBadDomain)},
	{name: "latin-1 local part", fields: one("<f\xf6@legit.test>"), problems: problems(AuthorUnparsable)},
	{name: "encoded local part (Mailsploit)", fields: one("=?utf-8?b?cG90dXNAd2hpdGVob3VzZS5nb3Y=?=@mailsploit.test"),
		problems: problems(AuthorEncodedAddress)},
	{name: "encoded local part with NUL (Mailsploit)",
		fields:   one("=?utf-8?b?cG90dXNAd2hpdGVob3VzZS5nb3Y=?==?utf-8?Q?=00?==?utf-8?b?cG90dXNAd2hpdGVob3VzZS5nb3Y=?=@mailsploit.test"),
		problems: problems(AuthorEncodedAddress)},
	{name: "encoded address in brackets", fields: one("<=?utf-8?Q?admin=40legit.test?=>"), problems: problems(AuthorEncodedAddress)},
	{name: "encoded domain", fields: one("a@=?utf-8?Q?legit=2Etest?="), problems: problems(AuthorEncodedAddress)},
	{name: "encoded word in a quoted local part", fields: one(`"=?utf-8?Q?admin=40legit.test?="@attack.test`), problems: problems(AuthorEncodedAddress)},
	{name: "encoded address alone", fields: one("=?utf-8?B?PGFkbWluQGxlZ2l0LnRlc3Q+?="), problems: problems(AuthorEncodedAddress)},
	{name: "encoded mailbox as a name", fields: one("=?utf-8?B?PGFkbWluQGxlZ2l0LnRlc3Q+?= <x@attack.test>"),
		want: "x@attack.test", problems: problems(AuthorEncodedAddress)},
	{name: "encoded list as a name", fields: one("=?utf-8?Q?admin=40legit.test,_x?= <x@attack.test>"),
		want: "x@attack.test", problems: problems(AuthorEncodedAddress)},
	{name: "encoded NUL after an address", fields: one("=?utf-8?Q?admin=40legit.test=00?= <x@attack.test>"),
		want: "x@attack.test", problems: problems(AuthorNameControl, AuthorEncodedAddress)},
	{name: "encoded NUL in quotes after an address", fields: one(`"=?utf-8?Q?admin=40legit.test=00?=" <x@attack.test>`),
		want: "x@attack.test", problems: problems(AuthorNameControl, AuthorEncodedAddress)},
	{name: "encoded quote swallows the address", fields: one("=?utf-8?Q?admin=40legit.test_=22?= <x@attack.test>"),
		want: "x@attack.test", problems: problems(AuthorEncodedAddress)},
	{name: "encoded at across two words", fields: one("=?utf-16be?B?ADwAYQA=?= =?utf-16be?B?QABsAGUAZwBpAHQALgB0AGUAcwB0AD4=?= <x@attack.test>"),
		want: "x@attack.test", problems: problems(AuthorEncodedAddress)},
	{name: "UTF-7 mailbox as a name", fields: one("=?utf-7?Q?+ADw-admin+AEA-legit.test+AD4-?= <x@attack.test>"),
		want: "x@attack.test", problems: problems(AuthorEncodedAddress)},
	{name: "mailbox in quotes", fields: one(`"<admin@legit.test>" <x@attack.test>`),
		want: "x@attack.test", problems: problems(AuthorAmbiguous)},
	{name: "mailbox in a comment", fields: one(`(<admin@legit.test>) <x@attack.test>`),
		want: "x@attack.test", problems: problems(AuthorAmbiguous)},
	{name: "address in a comment for a name", fields: one(`x@attack.test (admin@legit.test)`),
		want: "x@attack.test", problems: problems(AuthorAmbiguous)},
	{name: "escaped quotes around a list", fields: one(`"\"admin@legit.test, x\"" <x@attack.test>`),
		want: "x@attack.test", problems: problems(AuthorAmbiguous)},
	{name: "address in a quoted local part", fields: one(`"admin@legit.test"@attack.test`),
		want: "admin@legit.test@attack.test", problems: problems(AuthorAmbiguous)},
	{name: "mailbox in a quoted local part", fields: one(`<"admin@legit.test> "@attack.test>`),
		want: "admin@legit.test> @attack.test", problems: problems(AuthorAmbiguous)},
	{name: "address alone in quotes", fields: one(`"admin@legit.test"`), problems: problems(AuthorAmbiguous)},
	{name: "word and an address in a comment", fields: one(`MAILER-DAEMON (admin@legit.test)`), problems: problems(AuthorAmbiguous)},
	{name: "word with a fullwidth at", fields: one("admin\uff20legit.test"), problems: problems(AuthorAmbiguous)},
	{name: "comment that continues the domain", fields: one("admin@attack.test(.legit.test)"), problems: problems(AuthorAmbiguous)},
	{name: "comment in the address", fields: one("<admin@attack.test(.legit.test)>"), problems: problems(AuthorAmbiguous)},
	{name: "comment with an address in the address", fields: one("admin(@legit.test)@attack.test"), problems: problems(AuthorAmbiguous)},
	{name: "encoded word and comma", fields: one("=?utf-8?Q?M=C3=BCller?=, Hans <h@x.test>"), want: "h@x.test",
		problems: problems(AuthorEncodedAddress)},
	{name: "quoted word and comma", fields: one(`"Smith", John <a@x.test>`), want: "a@x.test", problems: problems(AuthorUnparsable)},
	{name: "raw mailbox in an encoded word", fields: one("=?utf-8?Q?admin@legit.test,?= <x@attack.test>"),
		problems: problems(AuthorEncodedAddress)},
	{name: "empty", fields: one(""), problems: problems(AuthorEmpty)},
	{name: "blank", fields: one(" \r\n\t"), problems: problems(AuthorEmpty)},
	{name: "comment only", fields: one(" (nobody) "), problems: problems(AuthorEmpty)},
	{name: "commas only", fields: one(",,"), problems: problems(AuthorEmpty)},
	{name: "null address", fields: one("<>"), problems: problems(AuthorEmpty)},
	{name: "name and null address", fields: one("Mail Delivery System <>"), problems: problems(AuthorEmpty)},
	{name: "bare word", fields: one("MAILER-DAEMON"), names: []string{"MAILER-DAEMON"}, problems: problems(AuthorBareWord)},
	{name: "bare word with a comment", fields: one("MAILER-DAEMON (Mail Delivery System)"), problems: problems(AuthorBareWord)},
	{name: "bare word in brackets", fields: one("Mail Delivery System <MAILER-DAEMON>"), problems: problems(AuthorBareWord)},
	{name: "bare quoted words", fields: one(`"Mail Delivery System"`), problems: problems(AuthorBareWord)},
	{name: "over the limit", fields: one("a@x.test (" + strings.Repeat("x", DefaultFromBytes) + ")"), problems: problems(AuthorTooLong)},
	{name: "59,524 bytes, the address cut off", fields: one(`"` + strings.Repeat("x", 59523)), problems: problems(AuthorTooLong)},
}

// What must never be refused.
var soundAuthors = []authorCase{
	{name: "plain", fields: one(" a@x.test"), want: "a@x.test", names: []string{""}, domain: "x.test"},
	{name: "name and address", fields: one(" Joe Doe <joe@x.test>"), want: "joe@x.test", names: []string{"Joe Doe"}, domain: "x.test"},
	{name: "quoted comma (OpenDMARC #44)", fields: one(` "\"Acme, Inc.\"" <x@y.test>`), want: "x@y.test",
		names: []string{`"Acme, Inc."`}, domain: "y.test"},
	{name: "list rewriting", fields: one(` "'X, Y' via Z" <l@g.test>`), want: "l@g.test", names: []string{"'X, Y' via Z"}, domain: "g.test"},
	{name: "list rewriting without quotes", fields: one(` 'X, Y' via Z <l@g.test>`), want: "l@g.test",
		names: []string{"'X, Y' via Z"}, domain: "g.test", problems: problems(AuthorUnquotedComma)},
	{name: "quoted local part", fields: one(`"john doe"@x.test`), want: `john doe@x.test`, domain: "x.test"},
	{name: "quoted local part in brackets", fields: one(`Joe <"john\"doe"@x.test>`), want: `john"doe@x.test`, domain: "x.test"},
	{name: "comments around", fields: one("(a (b) \\) c) Joe (d) <joe@x.test> (e)"), want: "joe@x.test", names: []string{"Joe"}, domain: "x.test"},
	{name: "comment as the name", fields: one("barry@python.test (Barry A. Warsaw)"), want: "barry@python.test",
		names: []string{"Barry A. Warsaw"}, domain: "python.test"},
	{name: "comments in the address (RFC 5322, appendix A.5)", fields: one(`Pete(A nice \) chap) <pete(his account)@silly.test(his host)>`),
		want: "pete@silly.test", names: []string{"Pete"}, domain: "silly.test"},
	{name: "comment with a handle", fields: one("Joe (@joe) <joe@x.test>"), want: "joe@x.test", domain: "x.test"},
	{name: "two addresses, one domain, Sender", fields: one("Ann <ann@x.test>, Bob <bob@X.test>"), sender: true,
		want: "ann@x.test,bob@x.test", names: []string{"Ann", "Bob"}, domain: "x.test"},
	{name: "two addresses, one domain, no Sender", fields: one("ann@x.test, bob@x.test"),
		want: "ann@x.test,bob@x.test", domain: "x.test", problems: problems(AuthorNoSender)},
	{name: "EAI", fields: one("Дмитрий <дмитрий@пример.испытание>"), want: "дмитрий@xn--e1afmkfd.xn--80akhbyknj4f",
		names: []string{"Дмитрий"}, domain: "xn--e1afmkfd.xn--80akhbyknj4f"},
	{name: "upper case and A/U-label mix, two spellings", fields: one("a@BÜCHER.test, b@xn--Bcher-kva.TEST"), sender: true,
		want: "a@xn--bcher-kva.test,b@xn--bcher-kva.test", domain: "xn--bcher-kva.test"},
	{name: "homograph is its own A-label", fields: one("<a@l\u0435git.test>"), want: "a@xn--lgit-v4d.test", domain: "xn--lgit-v4d.test"},
	{name: "folded name, CRLF", fields: one(" Joe\r\n\tDoe\r\n <joe@x.test>"), want: "joe@x.test", names: []string{"Joe Doe"}, domain: "x.test"},
	{name: "folded quoted name, LF", fields: one(" \"Joe\n Doe\"\n <joe@x.test>"), want: "joe@x.test", names: []string{"Joe Doe"}, domain: "x.test"},
	{name: "fold at the end", fields: one(" joe@x.test\r\n"), want: "joe@x.test", domain: "x.test"},
	{name: "raw UTF-8 name", fields: one("Jürgen Müller <j@x.test>"), want: "j@x.test", names: []string{"Jürgen Müller"}, domain: "x.test"},
	{name: "raw latin-1 name", fields: one("J\xfcrgen <j@x.test>"), want: "j@x.test", names: []string{"J\xfcrgen"}, domain: "x.test"},
	{name: "encoded name", fields: one("=?utf-8?Q?J=C3=BCrgen_M?= =?utf-8?B?w7xsbGVy?= <j@x.test>"), want: "j@x.test",
		names: []string{"Jürgen Müller"}, domain: "x.test"},
	{name: "encoded name in quotes", fields: one(`"=?iso-8859-1?Q?J=FCrgen?=" <j@x.test>`), want: "j@x.test", names: []string{"Jürgen"}, domain: "x.test"},
	{name: "encoded name, character cut in two", fields: one("=?utf-8?Q?J=C3?=\r\n =?utf-8?Q?=BCrgen?= <j@x.test>"), want: "j@x.test",
		names: []string{"Jürgen"}, domain: "x.test"},
	{name: "encoded name with a language", fields: one("=?iso-2022-jp*ja?B?GyRCOzNFRBsoQg==?= <y@x.test>"), want: "y@x.test",
		names: []string{"山田"}, domain: "x.test"},
	{name: "encoded name, small hex digits", fields: one("=?iso-8859-1?q?J=fcrgen=zz?= <j@x.test>"), want: "j@x.test", names: []string{"Jürgen=zz"}, domain: "x.test"},
	{name: "encoded name, base64 with rubbish and an end too many", fields: one("=?utf-8?B?Sm9lA!?= <j@x.test>"), want: "j@x.test", names: []string{"Joe"}, domain: "x.test"},
	{name: "encoded name in UTF-7", fields: one("=?utf-7?Q?J+APw-rgen_+-_A+AOk?= <j@x.test>"), want: "j@x.test", names: []string{"Jürgen + Aé"}, domain: "x.test"},
	{name: "encoded comma", fields: one("=?utf-8?Q?M=C3=BCller,_Hans?= <h@x.test>"), want: "h@x.test",
		names: []string{"Müller, Hans"}, domain: "x.test"},
	{name: "encoded at", fields: one("=?utf-8?Q?ceo=40bank.test?= <h@x.test>"), want: "h@x.test", names: []string{"ceo@bank.test"},
		domain: "x.test", problems: problems(AuthorNameIsAddress)},
	{name: "encoded at, own domain", fields: one("=?utf-8?Q?h=40x.test?= <h@x.test>"), want: "h@x.test", domain: "x.test"},
	{name: "encoded line break", fields: one("=?utf-8?Q?Joe=0A?= <joe@x.test>"), want: "joe@x.test", names: []string{"Joe"},
		domain: "x.test", problems: problems(AuthorNameControl)},
	{name: "unknown charset", fields: one("=?x-klingon?Q?Worf=FF?= <w@x.test>"), want: "w@x.test", names: []string{"Worf\ufffd"}, domain: "x.test"},
	{name: "encoded word that is none", fields: one("=?utf-8?X?Joe?= <joe@x.test>"), want: "joe@x.test", names: []string{"=?utf-8?X?Joe?="}, domain: "x.test"},
	{name: "encoded word with blanks", fields: one("=?utf-8?Q?Joe Doe?= <joe@x.test>"), want: "joe@x.test", names: []string{"Joe Doe"}, domain: "x.test"},
	{name: "name is another address", fields: one(`"a@b.test" <c@d.test>`), want: "c@d.test", names: []string{"a@b.test"},
		domain: "d.test", problems: problems(AuthorNameIsAddress)},
	{name: "calendar", fields: one(`"joe@x.test (Calendar)" <calendar@y.test>`), want: "calendar@y.test", domain: "y.test",
		problems: problems(AuthorNameIsAddress)},
	{name: "address of the same domain as unquoted name", fields: one("joe@x.test <joe@x.test>"), want: "joe@x.test",
		names: []string{"joe@x.test"}, domain: "x.test", problems: problems(AuthorUnquotedAt)},
	{name: "mailbox of the same domain in quotes", fields: one(`"joe@x.test <joe@x.test>" <joe@x.test>`), want: "joe@x.test", domain: "x.test"},
	{name: "at without a domain in the name", fields: one("Team @ Home <joe@x.test>"), want: "joe@x.test", domain: "x.test",
		problems: problems(AuthorUnquotedAt)},
	{name: "brackets in the name", fields: one("[Sales] Joe <joe@x.test>"), want: "joe@x.test", names: []string{"[Sales] Joe"},
		domain: "x.test", problems: problems(AuthorUnquotedBrackets)},
	{name: "dots in the name", fields: one("John Q. Public <j@x.test>"), want: "j@x.test", names: []string{"John Q. Public"}, domain: "x.test"},
	{name: "quotes within the name", fields: one(`"" Angles " Puglisi" <angles@x.test>`), want: "angles@x.test",
		names: []string{"Angles Puglisi"}, domain: "x.test"},
	{name: "override in the name", fields: one("\u202eevil <joe@x.test>"), want: "joe@x.test", domain: "x.test", problems: problems(AuthorNameBidi)},
	{name: "zero-width in the name", fields: one("J\u200boe <joe@x.test>"), want: "joe@x.test", domain: "x.test"},
	{name: "unquoted comma", fields: one("Smith, John <john@x.test>"), want: "john@x.test", names: []string{"Smith, John"},
		domain: "x.test", problems: problems(AuthorUnquotedComma)},
	{name: "unquoted comma after the address", fields: one("Acme <a@x.test>, Inc."), want: "a@x.test", domain: "x.test",
		problems: problems(AuthorUnquotedComma)},
	{name: "member without domain (CVE-2021-34555)", fields: one("a, b@x.test, c"), want: "b@x.test", domain: "x.test",
		problems: problems(AuthorUnquotedComma)},
	{name: "trailing comma", fields: one("<a@x.test>,"), want: "a@x.test", domain: "x.test", problems: problems(AuthorUnquotedComma)},
	{name: "literal", fields: one("a@[203.0.113.66]"), want: "a@[203.0.113.66]", problems: problems(AuthorLiteral)},
	{name: "IPv6 literal", fields: one("Joe <a@[ipv6:2001:DB8::1]>"), want: "a@[IPv6:2001:db8::1]", problems: problems(AuthorLiteral)},
	{name: "dots in the local part", fields: one("<a..b.@docomo.test>"), want: "a..b.@docomo.test", domain: "docomo.test",
		problems: problems(AuthorLocalDots)},
	{name: "long local part", fields: one(strings.Repeat("a", 80) + "@x.test"), want: strings.Repeat("a", 80) + "@x.test",
		domain: "x.test", problems: problems(AuthorLongLocal)},
	{name: "blanks in the brackets", fields: one("Joe < joe@x.test >"), want: "joe@x.test", domain: "x.test"},
	{name: "blanks around the at", fields: one("joe @ x.test"), want: "joe@x.test", domain: "x.test"},
	{name: "one label", fields: one("root@localhost"), want: "root@localhost", domain: "localhost"},
}

func TestParseAuthor(t *testing.T) {
	for _, table := range []struct {
		name  string
		cases []authorCase
		sound bool
	}{{"espoofer", espoofer, false}, {"hostile", hostileAuthors, false}, {"sound", soundAuthors, true}} {
		for _, c := range table.cases {
			t.Run(table.name+"/"+c.name, func(t *testing.T) {
				a := ParseAuthor(c.fields, c.sender, 0)
				var got []string
				for _, address := range a.Addresses {
					text := address.String()
					if address.Domain.String() != "" {
						text = address.Local + "@" + address.Domain.String()
					}
					got = append(got, text)
				}
				if text := strings.Join(got, ","); text != c.want {
					t.Errorf("addresses %q, want %q", text, c.want)
				}
				if a.Domain.String() != c.domain {
					t.Errorf("domain %q, want %q", a.Domain, c.domain)
				}
				if !slices.Equal(a.Problems, c.problems) {
					t.Errorf("problems %v, want %v", a.Problems, c.problems)
				}
				if c.names != nil && !slices.Equal(a.Names, c.names) {
					t.Errorf("names %q, want %q", a.Names, c.names)
				}
				if table.sound && a.Refusable() {
					t.Error("refused, and it must not be")
				}
			})
		}
	}
}
