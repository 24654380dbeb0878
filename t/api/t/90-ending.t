# A child that is told to end while a chore is at work in the database waits for
# it. What the chore wrote is told to the publisher, which must still be there.
use strict;
use warnings;
use utf8;
use POSIX 'strftime';
use Test::More;
use Time::HiRes 'sleep';
use TaskEvents::Test;

my $u = user('ending');
my $lead = 86400;
create($u, title => 'due while the child ends', due_date => strftime('%Y-%m-%dT%H:%M:%SZ', gmtime(time + $lead + 10)));
sub state_of { return (row('SELECT state FROM taskevents.reminders WHERE user_id = ?', $u) // {})->{state} // '' }
ok wait_for(sub { state_of() eq 'scheduled' }), 'a reminder is scheduled';
ok wait_for(sub { !outbox($u) }), '… and nothing waits in the outbox';

# the sweep's statement waits for the lock when its time has come
db()->begin_work;
db()->do('LOCK TABLE taskevents.outbox IN EXCLUSIVE MODE');
ok wait_for(sub { row(q{SELECT count(*) AS n FROM pg_locks WHERE NOT granted AND relation = 'taskevents.outbox'::regclass})->{n} }),
  'a chore is at work';
my @old = server_children();
kill USR1 => server_pid();
sleep 1;    # the publisher has nothing to do, and has ended by now
db()->commit;
ok wait_for(sub { !grep { kill 0 => $_ } @old }), 'the children end nevertheless';
ok wait_for(sub { state_of() eq 'triggered' }), '… and what the chore had to do is done';
ok wait_for(sub { (history($u)) == 3 }), '… and published';
finish();
