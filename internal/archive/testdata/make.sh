#!/bin/sh
# Makes the archives of this folder again, with 7-Zip. The tests only read them.
set -eu
cd "$(dirname "$0")"
here=$PWD
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
printf 'MZ\220\000 and more' >run.exe
printf hello >note.txt
i=0; while [ $i -lt 4096 ]; do printf 0123456789abcdef; i=$((i + 1)); done >long.txt
tar --format=ustar -cf note.tar note.txt
zip -q in.zip note.txt run.exe
head -c 125829120 /dev/zero >zeros
pack() { out=$1; shift; rm -f "$here/$out"; 7z a -bd -y "$here/$out" "$@" >/dev/null; }
pack a.7z note.txt run.exe long.txt
pack lzma.7z -m0=lzma note.txt long.txt
pack copy.7z -mx0 note.txt run.exe
pack plainlist.7z -mhc=off note.txt
pack bzip2.7z -m0=bzip2 -ms=off note.txt long.txt
pack ppmd.7z -m0=ppmd note.txt
pack secret.7z -psecret note.txt
pack names.7z -psecret -mhe=on note.txt
pack nested.7z in.zip note.txt
pack zeros.7z zeros
pack secret.zip -tzip -psecret note.txt
pack deflate64.zip -tzip -mm=deflate64 long.txt
pack lzma.zip -tzip -mm=lzma long.txt
pack bzip2.zip -tzip -mm=bzip2 long.txt
pack a.tar.bz2 -tbzip2 note.tar
