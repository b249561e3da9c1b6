require ["vnd.dovecot.pipe", "copy", "imapsieve", "environment", "variables"];
# Somebody has taken a message out of Junk. On its way to the bin it is still spam:
# milterd knows the bin by the mailbox's name.
if environment :matches "imap.mailbox" "*" { set "mailbox" "${1}"; }
if string :is "${mailbox}" ["Trash", "Deleted Items", "Deleted Messages"] { stop; }
if environment :matches "imap.user" "*" { set "user" "${1}"; }
if environment :matches "imap.cause" "*" { set "cause" "${1}"; }
pipe :copy "training" [ "ham", "${user}", "${cause}", "${mailbox}" ];
