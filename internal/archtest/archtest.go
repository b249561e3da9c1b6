// Package archtest holds the tests of the house itself: which package may import
// which, what no source file may contain, what belongs in a check's room, and that
// the documents and the files of deploy say what the code does.
//
// A rule that only a reader could enforce is forgotten within a year; these run
// with every other test. Where a rule is in the way, change it here, in a line of
// its own, so that somebody sees it.
//
// Parts of the documents are made from the code: between a line that begins with
// "<!-- generated" and the next "<!-- end -->". "make docs" writes them again; the
// tests fail where they are stale.
package archtest
