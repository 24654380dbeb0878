# Through all that the tests before this one did, httpd neither crashed nor hung.
use v5.32;
use warnings;
use Test::More;
use TaskEvents::Stack;

my $log = "$ENV{TASKEVENTS_RUN}/log/httpd.log";
plan skip_all => 'no test before this one has used the stack' if !-e $log;

open my $lines, '<', $log or die "$log: $!";
my @bad = grep {
    /exit signal|sending a SIGKILL|could not make child|Sanitizer|runtime error/    # httpd's and the compilers'
      || /:(?:crit|alert|emerg)\]/ && !/TE0401: .*\((?:deadletter|malformed)\)|TE0020/   # given up on, and killed, as is tested
} <$lines>;
is "@bad", '', 'no crash, no child that would not end, nothing critical in its log';

done_testing;
