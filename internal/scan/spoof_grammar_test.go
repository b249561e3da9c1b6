package scan

import (
	"fmt"
	"strings"
	"time"

	"milterd/internal/dns/dnstest"
)

// spoofs is the grammar of what the attacker sends: the 19 server cases of
// espoofer (Chen, Paxson, Jiang: "Composition Kills", USENIX Security 2020), what
// else has fooled a mail filter, and what they are made of.
var spoofs = map[string][]string{
	// The From field or fields, or what passes for one.
	"from": {
		"From: {author}", "From: {author}", "From: {author}", "From: {author}", "From: {author}", "From: {author}", "From: {author}", "From: {author}",
		"From: {honest}", "From: {honest}", "From: {honest}", "From: {honest}", "From: {honest}", "From: {honest}", "From: {honest}", "From: {honest}",
		"From: {honest}", "From: {honest}", "From: {honest}", "From: {honest}", "From: {honest}", "From: {honest}", "From: {honest}", "From: {honest}",
		"From: {honest}", "From: {honest}", "From: {honest}", "From: {honest}", "From: {honest}", "From: {honest}", "From: {honest}", "From: {honest}",
		"From: <{ea}>\r\nFrom: <{va}>", " From: <{ea}>\r\nFrom: <{va}>", "From: <{ea}>\r\nFrom : <{va}>", // a8, a9, a10
		"From\r\n : <{ea}>\r\nFrom: <{va}>", "From\r\n : <{ea}>\r\nSender: <{va}>", "From\r\n : <{ea}>\r\nResent-From: <{va}>", // a11, a12, a13
		"From: <{va}>\r\nFrom: <{ea}>", "FROM: <{ea}>\r\nfrom\t: {va}", "From: <{ea}>\nFrom: <{va}>", "From: <{ea}>\rFrom: <{va}>",
		"From:\r\n {author}", "From:{author}\r\n", "Fr\x00om: {author}", "Fr\u00f6m: {author}", "\u200bFrom: {author}", "Frоm: {author}\r\nFrom: <{ea}>",
		": {author}\r\nFrom: <{va}>", "no colon here\r\nFrom: <{va}>", "From {ea} Fri Nov 20 10:00:00 2026\r\nFrom: <{va}>", "",
		"X: {long}\r\nFrom: <{va}>", "Sender: {va}", "From: {author}\r\nSender: {va}", "From: {author}\r\nSender: {ea}\r\nReply-To: {va}",
	},
	// A field that has but one reading.
	"honest": {"{ea}", "<{ea}>", "{word} <{ea}>", "\"Legit, Inc.\" <{ea}>", "=?utf-8?Q?Legit=2C_Inc=2E?= <{ea}>", "{ea} ({word})", "{va}", "<{va}>", "{word} <{va}>",
		"\"{va}\" <{ea}>", "{va} <{ea}>", "=?utf-8?Q?{qp va}?= <{ea}>", "=?utf-8?B?{b64 va}?= <{ea}>", "admin@[203.0.113.66]", "{word}, {word} <{ea}>"},
	"author": {
		"<{ea}>, <{va}>", "=?utf-8?B?{b64 angled}?=,<{ea}>", "<@{evil},@any.test:{va}>", "<{va}>\\,<{ea}>", "{va},<{ea}>", "<{ea}>{va}", // a14 to a19
		"{honest}", "{honest}", "{soup}", "{soup} <{ea}>", "{soup} <{va}>", "<{va}>, <{ea}>", "{ea}, {va}", "{va};{ea}", "{va} {ea}", "<{va}> <{ea}>",
		"g:<{ea}>,<{va}>;", "g:{va};, {ea}", "{va}>", "<{va}", "<{va}>>", "<<{va}>>", "<{ea}<{va}>", "<{va} <{ea}>", "<{ea}> <{va}", "{va}<{ea}>",
		"=?utf-8?Q?{qp angled}?= <{ea}>", "=?utf-8?Q?{qp va}?=", "\"=?utf-8?Q?{qp angled}?=\" <{ea}>", "=?utf-8?Q?{qp va}?=,<{ea}>", "<=?utf-8?Q?{qp va}?=>",
		"=?utf-8?B?{b64 angled}?= =?utf-8?Q?,?= <{ea}>", "=?utf-8?Q?=22?= {va} <{ea}>", "=?utf-8?q?x=0AFrom:{qp va}?= <{ea}>", "=?utf-8?Q?=00{qp va}?= <{ea}>",
		"\"<{va}>\" <{ea}>", "({va}) <{ea}>", "(<{va}>) {ea}", "{ea} (<{va}>)", "{ea} ({va})", "<{ea}> ({va})", "(a(b) <{va}>) <{ea}>", "\"\\\"\" <{va}> \"\\\"\" <{ea}>",
		"\"a\" <{va}> \"b\\\" <{ea}>", "{word} (\\) <{va}> ( <{ea}>)", "\"{word}\\\\\" <{va}>, \"<{ea}>", "<{ea}>\x00<{va}>", "\"{va}\x00\" <{ea}>", "<{va}\x00.attack.test>",
		"<{ea}>\r\n <{va}>", "<{ea}>\r\n\t,<{va}>", "<{ea}>\r<{va}>", "<{va}>\r\n\r\n<{ea}>", "\"{va}\"@attack.test", "<\"{va}>\"@attack.test>", "\"a\\\"{va}\"@attack.test",
		"\"{ea}\"@{victim}", "a@attack.test@{victim}", "a@{victim}@attack.test", "<a@attack.test.{victim}>", "a%{victim}@attack.test", "a@{victim}.", "<a@.{victim}>",
		"a @ {victim}", "a@ {victim}", "<a@\r\n {victim}>", "<a@(attack.test){victim}>", "<a@{victim}(.attack.test)>", "<a(@attack.test)@{victim}>", "(x@{victim})a@(y)attack.test",
		"\u202e{va}\u202c <{ea}>", "\u2066{word}\u2069 <{va}>", "a\uff20{victim} <{ea}>", "\uff1c{va}\uff1e <{ea}>", "a@{look}", "<a@{look}>", "{word} <a@{look}>",
		"", "<>", "MAILER-DAEMON", "{word} <>", "{va} <>", "\"{va}\" <>", ";", ",<{va}>", "<{ea}>,", "{long}<{va}>", "\"{long}\" <{va}>", "{va}{long}", "undisclosed:;",
		"<mailto:{va}>", "mailto:{va}", "<{va}> via <{ea}>", "{va} via {word} <{ea}>", "'{va}' <{ea}>", "'{va} <{ea}>", "[{va}] <{ea}>", "<{ea}>; <{va}>", "<{ea}\\>, <{va}>",
		"\"{va}, {word}\" <{ea}>", "\"<admin{space}@{space}{victim}>\" <{ea}>", "=?utf-8?Q?=3Cadmin{space}=40{qp victim}=3E?= <{ea}>", "=?utf-8?Q?{qp va} ?= =?utf-8?Q?{qp angled}?= <{ea}>",
		"=?utf-8?Q?x?={va} <{ea}>", "{word}<{va}>{word} <{ea}>", "({word}<{va}) {word}> <{ea}>", "<{ea}>(\r\n <{va}>)", "\"{word}\"<{va}>\"{word}\" <{ea}>", "=?x-unknown?Q?{qp angled}?= <{ea}>",
		"=?utf-7?Q?+ADw-admin+AEA-legit.test+AD4-?= <{ea}>", "=?utf-16?B?PABhAGQAbQBpAG4AQABsAGUAZwBpAHQALgB0AGUAcwB0AD4A?= <{ea}>", "=?utf-8*en?Q?{qp angled}?= <{ea}>", "=?utf-8?Q?{qp angled}?",
	},
	"soup": {"{piece}", "{piece}{soup}", "{piece}{soup}", "{piece} {soup}"},
	"piece": {"{va}", "{ea}", "<{va}>", "<{ea}>", "@{victim}", "a@", "<", ">", "\"", "\\", "\\\"", "(", ")", ",", ";", ":", "{space}", ".", "@", "{word}", "=?utf-8?Q?{qp va}?=",
		"=?utf-8?Q?=22?=", "=?utf-8?B?{b64 angled}?=", "=?utf-8?Q?=00=2C?=", "=?utf-8?Q?=3C?=", "[", "]", "[198.51.100.1]", "\u200b", "\u3002", "=?", "?=", "\x00", "\r", "\n",
		"\x0b", "\u00e9", "\xff", "{victim}", "{evil}", "\u00a0", "=", "|", "'"},
	"angled": {"<{va}>"},
	"va":     {"admin@{victim}", "admin@{victim}", "admin@{victim}", "\"admin\"@{victim}", "Admin@{victim}"},
	"ea":     {"first@{evil}", "first@{evil}", "first@{evil}", "\"second one\"@{evil}"},
	"space":  {" ", "\t", "  ", "\r\n ", "\r\n\t", " \t ", "\n ", ""},
	"word":   {"Joe", "Legit Inc", "PayPal", "é", "x.y", "A"},
	"long":   {strings.Repeat("x", 200), strings.Repeat("x ", 4200), strings.Repeat("a@attack.test, ", 560), strings.Repeat("x\r\n ", 2100)},
	"many":   {strings.Repeat("X-A: b\r\n", 30), strings.Repeat("X-A: b\r\n", 1001), "X-Long: " + strings.Repeat("x", 250<<10)},
	"label":  {"a", "b7", "mail", "x-y", "no.such", "a.b.c.d.e.f.g.h.i", strings.Repeat("l", 63), "xn--bcher-kva", "b\u00fccher", "_dmarc", "_domainkey", "{one}{one}{one}{one}"},
	"one":    {"a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p"},

	// Names of the victim, of the attacker, and those that are not what they seem.
	"victim": {"legit.test", "legit.test", "legit.test", "legit.test", "legit.test", "LEGIT.test", "news.legit.test", "{label}.legit.test", "no.such.legit.test", "dark.test"},
	"evil": {"attack.test", "attack.test", "attack.test", "attack.test", "legit.test.attack.test", "{label}.attack.test", "alias.attack.test", "include.attack.test",
		"redirect.attack.test", "exists.attack.test", "mx.attack.test", "plus.attack.test", "none.attack.test", "psd.attack.test", "a.psd.attack.test", "two.attack.test",
		"huge.attack.test", "many.attack.test", "servfail.attack.test", "refused.attack.test", "loop.attack.test", "poison.attack.test", "late.attack.test"},
	"look": {"legit.test.", ".legit.test", "legit..test", "legit\u3002test", "legit\uff0etest", "leg\u200bit.test", "legit.te\u017ft", "leg\u0131t.test", "ｌｅｇｉｔ.test", "xn--legit-.test",
		"l\u0435git.test", "xn--lgit-8of.test", "legit.test(.attack.test", "legit.test'a.attack.test", "legit.test'@any.attack.test", "legit.test\".attack.test", "legit.test\x00.attack.test",
		"legit.test .attack.test", "legit.test\t", "legit.test;attack.test", "legit.test,attack.test", "legit.test:attack.test", "legit_.test", "-.legit.test", "legit-.test", "test", "",
		"[198.51.100.1]", "[IPv6:::ffff:198.51.100.1]", "legit.test\\.attack.test", "%{i}.legit.test", "*.legit.test", "legit.test/attack.test", "legit=2Etest", "legit.test\r\n .attack.test"},

	// The envelope: a1, a2, a5, a6, a7, and their kin.
	"mailfrom": {"first@{evil}", "first@{evil}", "first@{evil}", "first@{evil}", "first@{evil}", "first@{evil}", "first@{evil}", "first@{evil}", "first@{evil}", "first@{evil}",
		"first@attack.test", "first@attack.test", "first@attack.test", "first@attack.test", "{ea}", "{ea}", "{va}", "{va}", "", "", "", "", "any@mailfrom.notexist.{victim}", "(any@{victim}", "any@{victim}(a.attack.test",
		"any@{victim}'@any.attack.test", "@{victim},@any.test:'any@attack.test", "any@{look}", "any@{look}", "{victim}", "any", "postmaster", "\"any@{victim}\"@attack.test",
		"any@attack.test@{victim}", "any@{victim}@attack.test", "any@{victim}>", "any@attack.test> <any@{victim}", "\"; dmarc=pass header.from=legit.test;\"@attack.test",
		"header.from=legit.test@attack.test", "dmarc=pass@attack.test", "\"\\\"; spf=pass smtp.mailfrom=legit.test (\"@attack.test", "any@attack.test (any@{victim})", "any @{victim}",
		"any@[203.0.113.66]", "{soup}", "SRS0=x=y={victim}=any@attack.test", "any+any={victim}@attack.test", "@{evil}:any@{victim}", "any@{victim}:any@attack.test"},
	"helo": {"helo.attack.test", "helo.attack.test", "{evil}", "{evil}", "{evil}", "{evil}", "{evil}", "{evil}", "{victim}", "mail.legit.test", "{look}", "[203.0.113.66]", "[198.51.100.1]", "localhost", "mx.test", "x", "{soup}"},
	"ptr":  {"unknown", "mail.legit.test", "localhost", "mail.attack.test", "mx.test"},

	// Signatures with the attacker's key: @BH and @B stand for the true hash and value.
	"signature": {
		"v=1; a=ed25519-sha256; c=relaxed/relaxed; d={evil}; s={own}; h=from; bh=@BH; b=@B", "v=1; a=ed25519-sha256; c=relaxed/simple; d={evil}; s={own}; h={h}; bh=@BH; b=@B",
		"v=1; a=ed25519-sha256; c={c}; d={d}; s={s}; h={h}; bh=@BH; b=@B", "v=1; a=ed25519-sha256; c={c}; d={d}; s={s}; h={h}; bh=@BH; b=@B",
		"v=1; a=ed25519-sha256; c=relaxed/relaxed; d={evil}; s={own}; i={i}; h=from; bh=@BH; {tag}; b=@B", "v={v}; a={a}; c={c}; d={d}; s={s}; h={h}; {tag}; {tag}; bh=@BH; b=@B",
		"b=@B; bh=@BH; h={h}; s={s}; d={d}; a=ed25519-sha256; v=1; {tag}", "v=1;{space}a=ed25519-sha256;{space}c=relaxed/relaxed;d{space}={space}{d}{space};s={space}{s};h={h};bh=@BH;b={space}@B",
		"v=1; a={a}; c={c}; d=legit.test; s={s}; h={h}; bh=@BH; b=@B", "v=1; a=rsa-sha256; c={c}; d=legit.test; s=r; h={h}; bh=@BH; b=@B",
	},
	"d": {"{evil}", "{evil}", "legit.test", "legit.test", "{victim}", "{look}", "{look}", "legit.test.attack.test", "attack.test{space}", "{soup}"},
	"s": {"{own}", "{own}", "{own}", "e", "r", "{label}", "own._domainkey.attack.test.", "own._domainkey.attack.test.\x00.any", "e._domainkey.legit.test", "evil", "", ".", "*", "own\r\n\t.attack",
		"e.", "{soup}"},
	"own": {"own", "own", "own", "alias", "servfail", "two"},
	"h": {"from", "from:to:subject:date", "From:From:Subject:Subject", "subject:to", "", ":", "from:", "FROM", "From\r\n\t:{space}To", "fr\u00f6m", "from:dkim-signature", "to:from:x-none",
		"sender:reply-to", "f rom", "from" + strings.Repeat(":from", 98), "from" + strings.Repeat(":x", 150)},
	"c":       {"relaxed/relaxed", "relaxed/relaxed", "simple/simple", "relaxed", "simple", "relaxed/simple", "", "Relaxed/relaxed", "nowsp/nowsp", "relaxed/relaxed/relaxed"},
	"a":       {"ed25519-sha256", "ed25519-sha256", "ED25519-SHA256", "rsa-sha256", "rsa-sha1", "ed25519-sha1", "", "none", "ed25519 -sha256"},
	"v":       {"1", "1", "01", "0.5", "2", "", "1\r\n "},
	"i":       {"@attack.test", "@{victim}", "admin@{victim}", "@{evil}", "admin=40{victim}@attack.test", "@legit.test.attack.test", "legit.test", "@", "a@b@{victim}"},
	"tag":     {"{tagpart}", "d={victim}", "s=e", "i={i}", "h=from", "l=0", "l=5", "l=99999999999999999999", "t=0", "t=1795172400", "t=99999999999", "x=1", "x=1795262400", "z=From:admin@legit.test|b=x", "q=dns/txt", "q=x", "D=legit.test", "x_d=legit.test", "k=rsa", "bh=x", "b=x", "", "d", "={victim}", "c={c}", "a={a}"},
	"tagpart": {"d=legit.test", "d=attack.test", "d=news.legit.test", "s=e", "s=r", "s=own", "h=from", "h=From:", "c=relaxed/relaxed", "c=relaxed/simple", "c=simple/simple", "a=ed25519-sha256", "a=rsa-sha256", "v=1", "x=", "t=", "bh=", "b=", ";", " ", "\r\n\t"},

	// What else may stand in a header.
	"extra": {
		"To: alice@mx.test", "Subject: {word}", "Date: Fri, 20 Nov 2026 10:00:00 +0000", "Message-ID: <{one}{one}{one}@attack.test>", "X-{one}: {soup}", "Received: from mail.legit.test ([198.51.100.1]) by mx.test; x",
		"Authentication-Results: {id}; dmarc=pass header.from=legit.test", "Authentication-Results:{space}{id}{space};{space}spf=pass smtp.mailfrom=legit.test; dmarc=pass header.from=legit.test",
		"AUTHENTICATION-RESULTS : {id}; dmarc=pass header.from=legit.test", "Authentication-Results: (x) {id} 1; dkim=pass header.d=legit.test", "Authentication-Results: {soup}{id}; {soup}",
		"ARC-Authentication-Results: i=1; mx.test; dmarc=pass header.from=legit.test", "ARC-Seal: i=1; a=ed25519-sha256; cv=none; d={d}; s={s}; t=1795172400; b=eA==",
		"ARC-Message-Signature: i=1; a=ed25519-sha256; c=relaxed/relaxed; d={d}; s={s}; h=from; bh=eA==; b=eA==", "Received-SPF: pass client-ip=198.51.100.1; envelope-from=legit.test",
		"X-Milterd-Id: {one}{one}; pass", "X-Milterd-Carry: {soup}", "X-Spam-Flag: NO", "X-Spam-Status: No, score=-100", "Sender: {va}", "Reply-To: {va}", "Resent-From: {va}", "Return-Path: <{va}>",
		"List-Id: <list.{evil}>", "List-Post: <mailto:list@attack.test>", "List-Id: <list.legit.test>", "DKIM-Signature: v=1; a=rsa-sha256; d=legit.test; s=e; h=from; bh=eA==; b=eA==", "DKIM-Signature: {soup}",
		"Content-Type: multipart/mixed; boundary=b", "Content-Type: message/rfc822", "Content-Transfer-Encoding: base64", "MIME-Version: 1.0", "Auto-Submitted: auto-replied", "{soup}", "{from}", "{from}",
		"Subject: {word}", "Subject: {word}", "X-{one}: {word}", "X-{one}: {word}", "To: alice@mx.test", "{rare}",
	},
	"rare": {"X-A: b", "X-A: b", "X-A: b", "X-A: b", "X-A: b", "X-A: b", "X-A: b", "{many}"},
	"id":   {"mx.test", "MX.test", "mx.test.", "\"mx.test\"", "m\r\n x.test", "(c)mx.test", "mx.test(c)", "mx.test/1", "\uff4dx.test", "other.test"},
	"body": {"", "\r\n", "hello\r\n", "hello  there \r\n\r\n\r\n", "Please pay 900 euros to the new account.\r\n", "--b\r\nContent-Type: text/plain\r\n\r\nFrom: <{va}>\r\n--b--\r\n", "From: <{va}>\r\n\r\nhello\r\n",
		"no line end", "\x00\xff\r\n", "bare\rCR and\nLF\r\n", ".\r\n", "<html><a href=\"http://legit.test\">{word}</a></html>\r\n"},
}

// attackerZone is what the attacker publishes: all that can be said of names below
// attack.test, and lies besides.
func attackerZone() dnstest.Zone {
	const spf = "TXT v=spf1 ip4:203.0.113.66 ip6:2001:db8:66::/48 -all"
	key := edRecord(attackerKey)
	zone := dnstest.Zone{
		"attack.test": {spf, "MX 10 mail.attack.test"}, "_dmarc.attack.test": {"TXT v=DMARC1; p=none"}, "mail.attack.test": {spf, "A 203.0.113.66"},
		"*.attack.test": {spf, key, "TXT v=DMARC1; p=none; psd=y"}, "*._domainkey.attack.test": {key}, "two._domainkey.attack.test": {key, key},
		"alias.attack.test": {"CNAME legit.test"}, "_dmarc.alias.attack.test": {"CNAME _dmarc.legit.test"}, "own._domainkey.alias.attack.test": {"CNAME e._domainkey.legit.test"},
		"alias._domainkey.attack.test": {"CNAME e._domainkey.legit.test"}, "include.attack.test": {"TXT v=spf1 include:legit.test +all"}, "redirect.attack.test": {"TXT v=spf1 redirect=legit.test"},
		"exists.attack.test": {"TXT v=spf1 exists:%{i}.x.attack.test exp=%{s}.legit.test -all"}, "*.x.attack.test": {"A 127.0.0.2"}, "mx.attack.test": {"TXT v=spf1 mx -all", "MX 10 mail.attack.test"},
		"plus.attack.test": {"TXT v=spf1 +all"}, "none.attack.test": {"A 203.0.113.66"}, "psd.attack.test": {spf, key}, "_dmarc.psd.attack.test": {"TXT v=DMARC1; p=reject; psd=y"},
		"_dmarc.a.psd.attack.test": {"TXT v=DMARC1; p=none; psd=n; aspf=r; adkim=r"}, "two.attack.test": {spf, spf}, "_dmarc.two.attack.test": {"TXT v=DMARC1; p=none", "TXT v=DMARC1; p=reject"},
	}
	for _, name := range []string{"huge", "many", "servfail", "refused", "loop", "poison", "late"} {
		zone[name+".attack.test"] = []string{spf, key}
		zone["own._domainkey."+name+".attack.test"] = []string{key}
		zone["_dmarc."+name+".attack.test"] = []string{"TXT v=DMARC1; p=none"}
	}
	return zone
}

// lie makes the server answer for the attacker as its own servers could.
func lie(s *dnstest.Server) {
	for name, lies := range map[string][]dnstest.Lie{
		"huge": {dnstest.HugeTXT(60_000)}, "many": {dnstest.ManyTXT(500)}, "servfail": {dnstest.ServFail}, "refused": {dnstest.Refused},
		"loop": {dnstest.CNAMELoop}, "late": {dnstest.Delay(20 * time.Millisecond)},
		"poison": {dnstest.Foreign("legit.test", "TXT \"v=spf1 +all\"")},
	} {
		s.Lie(name+".attack.test", lies...)
		s.Lie("_dmarc."+name+".attack.test", lies...)
	}
	s.Lie("servfail._domainkey.attack.test", dnstest.ServFail)
	s.Lie("_dmarc.poison.attack.test", dnstest.Foreign("_dmarc.legit.test", "TXT \"v=DMARC1; p=none\""))
	s.Lie("own._domainkey.poison.attack.test", dnstest.Foreign("evil._domainkey.legit.test", strings.Replace(edRecord(attackerKey), "TXT ", "TXT \"", 1)+`"`))
}

// tarpits is what else the grammar has where the attacker means to waste our time.
var tarpits = map[string][]string{
	"from":     {"From: <admin@{fresh}.legit.test>"},
	"fresh":    {"{one}{one}{one}{one}", "{one}.{one}{one}{one}.{one}.{one}.{one}.{one}{one}"},
	"mailfrom": {"{one}@burn.attack.test", "{one}@slow.attack.test", "{one}@crawl.attack.test", "{one}@tar{digit}.attack.test", "{one}@late{digit}.attack.test", "", "{one}@{fresh}.legit.test"},
	"helo":     {"burn.attack.test", "slow.attack.test", "crawl.attack.test", "tar{digit}.attack.test"},
	"digit":    {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"},
	"extra":    {"{keys}", "{keys}", "To: alice@mx.test", "Subject: {word}"},
	"keys":     {"{key}\r\n{key}\r\n{key}\r\n{key}\r\n{key}\r\n{key}\r\n{key}\r\n{key}"},
	"key": {"DKIM-Signature: v=1; a=ed25519-sha256; d=attack.test; s=tar{digit}; h=from; bh=" + strings.Repeat("A", 43) + "=; b=" + strings.Repeat("A", 86) + "==",
		"DKIM-Signature: v=1; a=ed25519-sha256; d=attack.test; s=late{digit}; h=from; bh=" + strings.Repeat("A", 43) + "=; b=" + strings.Repeat("A", 86) + "=="},
	"signature": {"v=1; a=ed25519-sha256; c=relaxed/relaxed; d=attack.test; s=tar{digit}; h=from; bh=@BH; b=@B", "v=1; a=ed25519-sha256; c=relaxed/relaxed; d=legit.test; s={fresh}; h=from; bh=@BH; b=@B"},
}

// tarpitZone publishes SPF that asks for all that may be asked: silence, patience,
// and more than a hundred questions.
func tarpitZone() dnstest.Zone {
	zone := dnstest.Zone{"slow.attack.test": {"TXT v=spf1"}, "crawl.attack.test": {"TXT v=spf1"}, "burn.attack.test": {"TXT v=spf1"}}
	for n := range 10 {
		zone["slow.attack.test"][0] += fmt.Sprintf(" include:tar%d.attack.test", n)
		zone["crawl.attack.test"][0] += fmt.Sprintf(" include:late%d.attack.test", n)
		zone["burn.attack.test"][0] += fmt.Sprintf(" mx:m%d.attack.test", n)
		zone[fmt.Sprintf("late%d.attack.test", n)] = []string{"TXT v=spf1 ?all"}
		for host := range 10 {
			name := fmt.Sprintf("h%d%d.attack.test", n, host)
			zone[name] = []string{"A 192.0.2.1", "AAAA 2001:db8::1"}
			zone[fmt.Sprintf("m%d.attack.test", n)] = append(zone[fmt.Sprintf("m%d.attack.test", n)], fmt.Sprintf("MX %d %s", host, name))
		}
	}
	return zone
}
