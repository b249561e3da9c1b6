#!/bin/sh
# Installs what the end-to-end tests need: Postfix, Dovecot with Sieve, miltertest,
# and those who also sign and verify: OpenDKIM, OpenDMARC, dkimpy, rspamd (where
# Debian has it); Redis, the store of several hosts; and clamd. Does nothing where all of it is there. No service is started, and nothing is
# configured: the tests run private instances of their own.
#
# usage: integration/install.sh     (as root, on Debian or a relative of it)
set -eu

say() { echo "install.sh: $*"; }
die() { say "$*" >&2; exit 1; }
has() { command -v "$1" >/dev/null 2>&1; }
dovecot_has() { [ -x "/usr/lib/dovecot/$1" ] || [ -x "/usr/libexec/dovecot/$1" ]; }
# Debian's own Python, whichever else comes first in PATH.
python_has() { /usr/bin/python3 -c "import $1" >/dev/null 2>&1; }
perl_has() { /usr/bin/perl -e "use $1" >/dev/null 2>&1; }
# Not every Debian has rspamd; a machine that never ran "apt-get update" cannot tell.
offered() { apt-cache show "$1" 2>/dev/null | grep -q '^Version:'; }
can_tell() { ls /var/lib/apt/lists/*_Packages* >/dev/null 2>&1; }

PATH=$PATH:/usr/sbin:/sbin

missing=
has postfix         || missing="$missing postfix"
has dovecot         || missing="$missing dovecot-core"
dovecot_has imap    || missing="$missing dovecot-imapd"
dovecot_has lmtp    || missing="$missing dovecot-lmtpd"
has sievec          || missing="$missing dovecot-sieve"
has miltertest      || missing="$missing miltertest"
has spamassassin    || missing="$missing spamassassin"
has opendkim        || missing="$missing opendkim"
has opendmarc       || missing="$missing opendmarc$(dpkg -s dbconfig-mysql >/dev/null 2>&1 || echo ' dbconfig-no-thanks')" # no database
has redis-server    || missing="$missing redis-server"
has clamd           || missing="$missing clamav-daemon"
perl_has Mail::DKIM::ARC::Verifier || missing="$missing libmail-dkim-perl"
python_has dkim     || missing="$missing python3-dkim"
python_has nacl     || missing="$missing python3-nacl"
has rspamd          || { can_tell && ! offered rspamd; } || missing="$missing rspamd"
has strace           || missing="$missing strace"
has systemd-analyze || missing="$missing systemd"
missing=${missing# }

if [ -z "$missing" ]; then
  say "everything is there: $(postconf -dh mail_version 2>/dev/null | sed 's/^/Postfix /'), Dovecot $(dovecot --version | cut -d' ' -f1), miltertest, OpenDKIM, OpenDMARC, dkimpy, Redis, ClamAV$(has rspamd && echo ', rspamd')"
  exit 0
fi
say "missing: $missing"
has apt-get || die "there is no apt-get: install Postfix 3.x, Dovecot 2.3 with IMAP, LMTP and Pigeonhole, redis-server, clamd, OpenDKIM with miltertest, OpenDMARC, dkimpy and PyNaCl for /usr/bin/python3, and rspamd by hand"
[ "$(id -u)" = 0 ] || die "not root: run this script as root, or 'apt-get install $missing'"

# A package's script starts its daemon unless policy-rc.d forbids it. One that is
# there already is the operator's own word on that; ours goes away again.
log=$(mktemp)
trap 'rm -f "$log"' EXIT
policy=/usr/sbin/policy-rc.d
if [ -e "$policy" ]; then
  say "$policy is there and stays as it is"
else
  say "writing $policy for as long as this runs, so that no daemon is started"
  trap 'rm -f "$log" "$policy"; say "removed $policy"' EXIT
  trap 'exit 1' HUP INT TERM
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod 755 "$policy"
fi

# Another mail server on this machine is somebody's: --no-remove lets the
# installation fail rather than replace it.
install() {
  apt-get -qq -o DPkg::Lock::Timeout=400 install -y --no-remove --no-install-recommends $missing
}
export DEBIAN_FRONTEND=noninteractive
case " $missing " in
*" postfix "*)
  say "telling debconf to leave Postfix unconfigured"
  echo 'postfix postfix/main_mailer_type select No configuration' | debconf-set-selections
  ;;
esac
say "apt-get update"
apt-get -qq -o DPkg::Lock::Timeout=400 update || say "apt-get update failed; trying with the package lists that are there"
case " $missing " in
*" rspamd "*)
  offered rspamd || {
    say "rspamd is not to be had here: the tests go on without it"
    missing=$(echo " $missing " | sed 's/ rspamd / /; s/^ *//; s/ *$//')
    [ -n "$missing" ] || exit 0
  }
  ;;
esac
say "apt-get install $missing"
install >"$log" 2>&1 || {
  cat "$log" >&2
  die "apt-get could not install $missing (see above): is the network up, and is no other mail server installed?"
}
say "installed: $missing"
