# TaskEventsCatchUp Skip: what is said to come next is not in the past.
use strict;
use warnings;
use utf8;
use Test::More;
use POSIX 'strftime';
use TaskEvents::Test;

my $u = user('catch-up');
my $task = create($u, title => 'daily', due_date => strftime('%Y-%m-%dT09:00:00Z', gmtime time - 10 * 86400), is_recurring => JSON::PP::true, recurring_interval => 'daily');
my $a = request(GET => task_path($u, $task->{id}, 'occurrences') . '?limit=2', as => $u);
is $a->{status}, 200, 'the next occurrences of a task that was due ten days ago';
my ($first) = map { $_->{due_date} } @{ $a->{json} // [] };
cmp_ok seconds_of($first), '>', time, '… begin after now';
finish();
