# Prints the tokens that SpamAssassin's Bayes makes of messages: a line "== FILE" for
# each, then a line with sum and text for each token. The first argument is a folder
# with a configuration that loads the plugin.
use strict;
use Mail::SpamAssassin;

my ($config, @files) = @ARGV;
my $sa = Mail::SpamAssassin->new({
  dont_copy_prefs => 1, local_tests_only => 1, rules_filename => $config, site_rules_filename => $config,
  userprefs_filename => '/dev/null',
});
$sa->init(0);
my ($bayes) = grep { ref($_) =~ /::Bayes$/ } @{ $sa->{plugins}{plugins} };
for my $file (@files) {
  open my $in, '<', $file or die "$file: $!";
  my $mail = $sa->parse([<$in>], 1);
  close $in;
  my $status = Mail::SpamAssassin::PerMsgStatus->new($sa, $mail);
  $mail->extract_message_metadata($status);
  my $tokens = $bayes->tokenize($mail, $bayes->_get_msgdata_from_permsgstatus($status));
  print "== $file\n";
  for my $sum (sort keys %$tokens) {
    print unpack('H*', $sum), "\t", $tokens->{$sum} =~ s/[\t\n]/ /gr, "\n";
  }
  $status->finish;
  $mail->finish;
}
