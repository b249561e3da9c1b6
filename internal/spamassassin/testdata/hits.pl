# Prints which of its rules SpamAssassin hits in messages, one JSON object a line.
#
# usage: hits.pl MORE.cf <LIST-OF-FILES
#
# One process for all of them, with local tests only and nothing that learns. The
# rules are those that are installed, with what MORE.cf says about them on top.
use strict;
use warnings;
use JSON::PP;
use Mail::SpamAssassin;

my ($more) = @ARGV;
my $config = do { local $/; open my $file, '<', $more or die "$more: $!"; <$file> };
my $filter = Mail::SpamAssassin->new({
    local_tests_only    => 1,
    dont_copy_prefs     => 1,
    userprefs_filename  => '/dev/null',
    post_config_text    => "use_bayes 0\nuse_auto_welcomelist 0\ntime_limit 0\n$config",
});
$filter->init(0);

my $json = JSON::PP->new->canonical;
while (my $name = <STDIN>) {
    chomp $name;
    my $text = do { local $/; open my $file, '<', $name or die "$name: $!"; <$file> };
    my $message = $filter->parse($text, 1);
    my $status  = $filter->check($message);
    my @hits = grep { length } map { split /,/ } $status->get_names_of_tests_hit, $status->get_names_of_subtests_hit;
    print $json->encode({ file => $name, hits => \@hits }), "\n";
    $status->finish;
    $message->finish;
}
