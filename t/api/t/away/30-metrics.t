# Without a database the metrics that need none are told, in time.
use strict;
use warnings;
use utf8;
use Test::More;
use Time::HiRes qw(time);
use TaskEvents::Test;
use TaskEvents::Metrics;

my $start = time;
my $a = request(GET => '/metrics', vhost => 'metrics');
cmp_ok time - $start, '<', 5, 'the answer does not wait for the database';
is $a->{status}, 200, 'the metrics are told without a database';
my ($now, @wrong) = parse_metrics($a->{body});
is_deeply \@wrong, [], 'every line can be read';
is $now->value('taskevents_database_up'), 0, 'it is told that the database is away';
ok !$now->has($_), "$_ is not told then"
    for qw(taskevents_outbox_events taskevents_outbox_oldest_seconds taskevents_dead_letters taskevents_reminders_due);
ok $now->has('taskevents_http_requests_total'), 'the rest is told';
expect_log(qr/TE0202/, 'that PostgreSQL is away') if log_lines(qr/TE0202/);
finish();
