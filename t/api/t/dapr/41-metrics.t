# Nobody answers where the sidecar should: the metrics say so.
use strict;
use warnings;
use utf8;
use Test::More;
use Time::HiRes qw(sleep);
use TaskEvents::Test;
use TaskEvents::Metrics;

my $u = user('waiting');
my $metrics = sub { (parse_metrics(request(GET => '/metrics', vhost => 'metrics')->{body}))[0] };

my $before = $metrics->();
create($u, title => 'waits') for 1 .. 3;
sleep 1.2;
my $now = $metrics->();
is $now->value('taskevents_outbox_events') - $before->value('taskevents_outbox_events'), 3, 'three events wait';
cmp_ok $now->value('taskevents_outbox_oldest_seconds'), '>=', 1.1, '… for more than a second by now';
cmp_ok $now->value('taskevents_outbox_oldest_seconds'), '<', 3600, '… and less than an hour';
ok wait_for(sub { grep { $_ > 0 } $metrics->()->values('taskevents_breaker_state') }, 20), 'a breaker is open';
cmp_ok $metrics->()->value('taskevents_publish_failures_total', reason => 'unreachable'), '>', 0,
    '… because nobody is there';
cmp_ok $metrics->()->value('taskevents_publish_attempts_total', type => 'task.created'), '>', 0, 'that it was tried is counted';
finish();
