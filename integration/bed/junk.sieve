require ["fileinto", "mailbox"];
# What nearly every tutorial tells mail operators to install.
if header :is "X-Spam-Flag" "YES" { fileinto :create "Junk"; stop; }
