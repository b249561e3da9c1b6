require ["fileinto", "mailbox", "variables", "editheader", "vnd.dovecot.execute"];
# milterd's second look, now that there is one recipient: what this user has called
# spam and ham may file the message or save it. Where milterd has nothing to say or
# does not answer, what it said to Postfix counts. Scripts of the user's run after
# this one, on what is not filed.
set "opinion" "";
if not execute :pipe :output "opinion" "delivery" {
  set "opinion" "";
}
if string :matches "${opinion}" "SPAM (*)*" {
  addheader "X-Milterd-Delivery" "spam ${1}";
  fileinto :create "Junk";
} elsif string :matches "${opinion}" "HAM (*)*" {
  addheader "X-Milterd-Delivery" "ham ${1}";
} elsif header :is "X-Spam-Flag" "YES" {
  fileinto :create "Junk";
}
