# A task due later than the lead has a reminder, which fires when its time comes.
use v5.32;
use warnings;
use POSIX qw(strftime);
use Test::More;
use Time::HiRes qw(time);
use TaskEvents::Stack;

bring_up('dapr');

my $lead  = 24 * 3600;
my $wait  = 4;
my $user  = new_user('reminder');
my $fires = int(time) + $wait + 1;

my $created = api($user, POST => 'tasks', {
    title    => 'Dentist',
    due_date => strftime('%Y-%m-%dT%H:%M:%SZ', gmtime $fires + $lead),
});
is $created->{status}, 201, 'a task is created, due a day and some seconds from now';

my $told = eventually $wait + 20, sub {
    my $list = api($user, GET => 'notifications')->{json};
    ref $list eq 'ARRAY' && @$list && $list;
};
my $late = time - $fires;
ok $told, 'its user is told';
is scalar(@{ $told // [] }), 1, 'once';
is $told->[0]{type}, 'task_reminder', 'that this is a reminder';
is $told->[0]{task_id}, $created->{json}{id}, 'of this task';
cmp_ok $late, '>=', -0.5, 'not before its time';
cmp_ok $late, '<', 7, 'and soon after it';

my @types = map { $_->{type} } first_occurrences(stream_of($user, 'reminders'));
is_deeply \@types, [qw(reminder.scheduled reminder.triggered)],
  'Kafka has that it was scheduled and that it fired';
ok gapless(stream_of($user, 'reminders')), 'counted without a gap';

done_testing;
