# Connections over loopback that end in each way: closed, aborted, and refused, at once and after SYNs that were not answered.
use strict;
use warnings;
use IO::Socket::INET;
use Socket qw(SOL_SOCKET SO_LINGER);

my ($closed, $aborted, $bytes) = (20, 5, 100_000);

sub connection_to {
    my ($port) = @_;
    return IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port, Proto => 'tcp');
}

my $listener = IO::Socket::INET->new(Listen => 5, LocalAddr => '127.0.0.1', Proto => 'tcp') or die "listen: $@";
for my $turn (1 .. $closed + $aborted) {
    my $child = fork() // die "fork: $!";
    if ($child == 0) {
        my $socket = connection_to($listener->sockport) or die "connect: $@";
        print $socket 'x' x $bytes or die "write: $!";
        $socket->flush;
        setsockopt($socket, SOL_SOCKET, SO_LINGER, pack('ii', 1, 0)) or die "SO_LINGER: $!" if $turn > $closed;
        close $socket or die "close: $!";
        exit 0;
    }
    my $peer = $listener->accept or die "accept: $!";
    while (sysread($peer, my $buffer, 65536)) { }
    close $peer;
    waitpid($child, 0);
    die 'a client failed' if $? != 0;
}

# Nobody listens there.
my $port = $listener->sockport;
close $listener;
die 'not refused' if connection_to($port);

# An accept queue for one connection: the SYNs of the next one are dropped, and sent again after a second.
sub retransmitted {
    open my $file, '<', '/proc/net/snmp' or die "snmp: $!";
    my ($names, $values) = map { [split] } grep { /^Tcp:/ } <$file>;
    my %of;
    @of{@$names} = @$values;
    return $of{RetransSegs};
}
my $full = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1', Proto => 'tcp') or die "listen: $@";
listen $full, 0 or die "listen: $!";
my $first = connection_to($full->sockport) or die "connect: $@";
my $before = retransmitted();
my $second = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $full->sockport, Proto => 'tcp', Blocking => 0)
    or die "connect: $@";
select undef, undef, undef, 0.1 while retransmitted() == $before;
close $first;
close $full;
# Refused, when its SYN is sent once more.
my $ended = '';
vec($ended, fileno $second, 1) = 1;
select undef, $ended, undef, undef;
