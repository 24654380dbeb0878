# TaskEventsOpen is for this machine alone, by IPv4 and by IPv6.
use strict;
use warnings;
use utf8;
use Test::More;
use IO::Socket::IP;
use TaskEvents::Test;

my $v6 = TaskEvents::Test::free_port();
plan skip_all => 'no IPv6 here' if !IO::Socket::IP->new(LocalHost => '::1', LocalPort => $v6, Listen => 1, ReuseAddr => 1);
my $config = server_config(lines => qq{TaskEventsEngine On
TaskEventsTransport local
TaskEventsDatabase "$ENV{TASKEVENTS_TEST_DSN}"
TaskEventsOpen On
<Location "/api">
    SetHandler taskevents
    Require taskevents-owner
</Location>});
# every address of both families
my ($port, $stop) = httpd_start($config . "Listen [::]:$v6\n");
my $u = user('loopback');

sub ask
{
    my ($address, $ask, @headers) = @_;
    my $socket = IO::Socket::IP->new(PeerHost => $address, PeerPort => $ask, Timeout => 10) or return { status => "no connection to $address: $@" };
    print {$socket} join "\r\n", 'GET ' . task_path($u) . ' HTTP/1.1', 'Host: localhost', @headers, 'Connection: close', '', '';
    return TaskEvents::Test::answer($socket, 'GET');
}
is ask('127.0.0.1', $port)->{status}, 200, 'IPv4';
is ask('127.0.0.1', $v6)->{status}, 200, 'IPv4 at a socket of both families';
is ask('::1', $v6)->{status}, 200, 'IPv6';
is ask('::1', $v6, 'X-Forwarded-For: ::1')->{status}, 403, '… but not through a proxy';

# an address of this machine that others can reach is none of these
my ($other) = grep { !/^fe80/ } map { join ':', unpack '(A4)8', $_ } map { /^(\S+) .* (?!lo$)\S+$/ ? $1 : () }
    -e '/proc/net/if_inet6' ? split /\n/, TaskEvents::Test::read_file('/proc/net/if_inet6') : ();
SKIP: {
    skip 'no other address here', 1 if !$other;
    is ask($other, $v6)->{status}, 403, 'an address that others can reach';
}
is $stop->(), 0, 'it stops';
finish();
