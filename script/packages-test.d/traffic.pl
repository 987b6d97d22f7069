# One connection over loopback, which carries 100 000 bytes.
use strict;
use warnings;
use IO::Socket::INET;

my $bytes = 100_000;
my $listener = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1', Proto => 'tcp') or die "listen: $@";
my $child = fork() // die "fork: $!";
if ($child == 0) {
    my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $listener->sockport, Proto => 'tcp')
        or die "connect: $@";
    print $socket 'x' x $bytes or die "write: $!";
    close $socket or die "close: $!";
    exit 0;
}
my $peer = $listener->accept or die "accept: $!";
my $received = 0;
while (my $n = sysread($peer, my $buffer, 65536)) { $received += $n; }
close $peer;
waitpid($child, 0);
exit($? == 0 && $received == $bytes ? 0 : 1);
