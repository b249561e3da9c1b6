require ["vnd.dovecot.pipe", "copy", "imapsieve", "environment", "variables"];
# Somebody has put a message into Junk.
if environment :matches "imap.user" "*" { set "user" "${1}"; }
if environment :matches "imap.cause" "*" { set "cause" "${1}"; }
pipe :copy "training" [ "spam", "${user}", "${cause}" ];
