# Mail::DKIM (Perl) as a peer of the tests.
#
#   mail-dkim.pl verify RECORDS FILE...   one line for each signature: FILE d= s= result
#   mail-dkim.pl sign KEY ALGORITHM METHOD SELECTOR FILE   the DKIM-Signature field
#
# RECORDS has a line "name text" for each TXT record.
use strict;
use warnings;
use Mail::DKIM::Verifier;
use Mail::DKIM::Signer;
use Mail::DKIM::DNS;
use Net::DNS;

package Records;

sub new { my ( $class, %txt ) = @_; return bless {%txt}, $class }

sub errorstring { return 'NOERROR' }

sub send {
    my ( $self, $name, $type ) = @_;
    my $p = Net::DNS::Packet->new( $name, $type );
    if ( $self->{$name} ) {
        $p->push( answer => Net::DNS::RR->new( name => $name, type => 'TXT', txtdata => [ $self->{$name} =~ /(.{1,255})/g ] ) );
    }
    return $p;
}

package main;

sub feed {
    my ( $dkim, $file ) = @_;
    open my $f, '<:raw', $file or die "$file: $!";
    local $/;
    $dkim->PRINT(<$f>);
    $dkim->CLOSE;
}

my $what = shift;
if ( $what eq 'verify' ) {
    my %txt;
    open my $f, '<', shift or die $!;
    while (<$f>) {
        chomp;
        my ( $name, $text ) = split / /, $_, 2;
        $txt{$name} = $text;
    }
    Mail::DKIM::DNS::resolver( Records->new(%txt) );
    for my $file (@ARGV) {
        my $dkim = Mail::DKIM::Verifier->new;
        feed( $dkim, $file );
        print join( ' ', $file, $_->domain, $_->selector, $_->result ), "\n" for $dkim->signatures;
    }
}
else {
    my ( $key, $algorithm, $method, $selector, $file ) = @ARGV;
    my $dkim = Mail::DKIM::Signer->new(
        Algorithm => $algorithm,
        Method    => $method,
        Domain    => 'example.org',
        Selector  => $selector,
        KeyFile   => $key,
    );
    feed( $dkim, $file );
    print $dkim->signature->as_string, "\n";
}
