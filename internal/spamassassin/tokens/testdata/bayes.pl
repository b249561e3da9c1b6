# Asks SpamAssassin's Bayes about messages: perl bayes.pl QUESTION CONFIG FILE...
#
# CONFIG is a folder with a configuration that loads the plugin, and for "probability"
# names its memory. The answers to the question
#   tokens       a line "== FILE" for each message, then a line with sum and text for
#                each token that it makes of it
#   probability  a line "PROBABILITY FILE" for each message, or "none FILE"
use strict;
use Mail::SpamAssassin;

my ($question, $config, @files) = @ARGV;
my $answer = { tokens => \&tokens, probability => \&probability }->{$question} or die "no question: $question\n";
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
  $answer->($file, $mail, $status);
  $status->finish;
  $mail->finish;
}

sub tokens {
  my ($file, $mail, $status) = @_;
  my $tokens = $bayes->tokenize($mail, $bayes->_get_msgdata_from_permsgstatus($status));
  print "== $file\n";
  for my $sum (sort keys %$tokens) {
    print unpack('H*', $sum), "\t", $tokens->{$sum} =~ s/[\t\n]/ /gr, "\n";
  }
}

sub probability {
  my ($file, $mail, $status) = @_;
  my $p = $bayes->scan($status, $mail);
  printf "%s %s\n", defined $p ? sprintf('%.17g', $p) : 'none', $file;
}
