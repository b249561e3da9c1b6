# Prints what SpamAssassin's Bayes thinks of messages: a line "PROBABILITY FILE" for
# each, or "none FILE". The first argument is a folder with a configuration that loads
# the plugin and names its memory.
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
  my $p = $bayes->scan($status, $mail);
  printf "%s %s\n", defined $p ? sprintf('%.17g', $p) : 'none', $file;
  $status->finish;
  $mail->finish;
}
