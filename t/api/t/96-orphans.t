# httpd's parent is killed: its children end, and leave the port to the next httpd.
use strict;
use warnings;
use utf8;
use Test::More;
use Time::HiRes 'sleep';
use TaskEvents::Test;

my ($port, $stop) = httpd_start(server_config(lines => qq{TaskEventsEngine On
TaskEventsTransport local
TaskEventsDatabase "$ENV{TASKEVENTS_TEST_DSN}"}));
ok wait_for(sub { -s root() . '/try/httpd.pid' }), 'it has started';
my $parent = TaskEvents::Test::read_file(root() . '/try/httpd.pid') + 0;
# a child that has begun to publish has begun to look after its parent
ok wait_for(sub { children_of($parent) >= 2 && TaskEvents::Test::read_file(root() . '/try/error_log') =~ /AH00489/ }, 20), 'there are children';
sleep 1;
my @children = children_of($parent);
kill KILL => $parent;
ok wait_for(sub { !grep { kill 0, $_ } @children }, 30), 'they end by themselves';
ok(IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => $port, Listen => 1, ReuseAddr => 1), 'and the port is free');
my $log = TaskEvents::Test::read_file(root() . '/try/error_log');
like $log, qr/TE0020: httpd's parent process $parent was killed/, 'which the log tells';
unlike $log, qr/exit signal|AddressSanitizer/, '… and nothing worse';
$stop->();
finish();
