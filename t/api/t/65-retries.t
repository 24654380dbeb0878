# The local transport tries an event again after 1 s, 2 s and 4 s, and then gives
# it up; the user's later events wait for that, other users' do not.
use strict;
use warnings;
use utf8;
use Test::More;
use Time::HiRes qw(time sleep);
use TaskEvents::Test;

# The handling of a user's completions fails, the first few times. A sequence is
# not rolled back, so sequences tell when each was tried.
sub break_handling
{
    my (%times) = @_;       # user => how many times
    db()->do('CREATE SCHEMA broken');
    db()->do('CREATE TABLE broken.users (user_id text, name text, times int)');
    my $n = 0;
    for my $user (sort keys %times) {
        my $name = 'u' . ++$n;
        db()->do('INSERT INTO broken.users VALUES (?, ?, ?)', undef, $user, $name, $times{$user});
        db()->do("CREATE SEQUENCE broken.${name}_$_") for 'n', 1 .. 9;
    }
    db()->do(q{
        CREATE FUNCTION broken.now_and_then() RETURNS trigger LANGUAGE plpgsql AS $$
        DECLARE
            who broken.users;
            attempt bigint;
        BEGIN
            SELECT * INTO who FROM broken.users u WHERE u.user_id = NEW.user_id;
            attempt := nextval(format('broken.%s_n', who.name));
            PERFORM setval(format('broken.%s_%s', who.name, attempt),
                           (extract(epoch FROM clock_timestamp()) * 1000)::bigint);
            IF attempt <= who.times THEN
                RAISE EXCEPTION 'this one is broken';
            END IF;
            RETURN NEW;
        END $$});
    db()->do(q{
        CREATE TRIGGER broken BEFORE INSERT ON taskevents.processed_events FOR EACH ROW
        WHEN (NEW.type = 'task.completed' AND NEW.user_id LIKE 'retry%') EXECUTE FUNCTION broken.now_and_then()});
}
# the trigger goes with its function
END { local $?; db()->do('SET client_min_messages = error; DROP SCHEMA IF EXISTS broken CASCADE') if $ENV{TASKEVENTS_TEST_ROOT} }

sub tried_at
{
    my ($user) = @_;
    my $name = row('SELECT name FROM broken.users WHERE user_id = ?', $user)->{name};
    my $count = row("SELECT last_value AS n FROM broken.${name}_n")->{n};
    return map { row("SELECT last_value / 1000.0 AS at FROM broken.${name}_$_")->{at} } 1 .. $count;
}
my @all_late;
sub waits_are
{
    my ($user, $want, $name) = @_;
    my @at = tried_at($user);
    my @waits = map { $at[$_] - $at[$_ - 1] } 1 .. $#at;
    is scalar(@waits), scalar(@$want), "$name: tried " . @at . ' times';
    my @late = map { ($waits[$_] // 0) - $want->[$_] } 0 .. $#$want;
    for my $n (0 .. $#$want) {
        ok $late[$n] >= -0.005 && $late[$n] < 4.5, "... with $want->[$n] s between" or diag $late[$n];
    }
    push @all_late, @late;
}
sub types { return join ' ', grep { /^task\./ } map { $_->{type} } history($_[0]) }
sub letters { return rows('SELECT * FROM taskevents.dead_letters WHERE user_id = ?', $_[0]) }

my ($bad, $weak, $late, $good) = map { user($_) } 'retry-bad', 'retry-weak', 'retry-late', 'retry-not';
break_handling($bad => 99, $weak => 2, $late => 2, $good => 0);
my %task;
for my $u ($bad, $weak, $late) {
    # not at the same moment: neither may be forgotten for the other
    sleep 0.4 if $u eq $late;
    $task{$u} = create($u, is_recurring => JSON::PP::true, recurring_interval => 'daily', due_date => '2031-01-01T09:00:00Z');
    request(POST => task_path($u, $task{$u}{id}, 'complete'), as => $u);
    create($u, title => 'later');
}
ok wait_for(sub { (outbox($bad))[0]{attempts} // 0 }), 'an event fails';
like((outbox($bad))[0]{last_error}, qr/this one is broken/, 'its row says why');
is types($bad), 'task.created', "the user's later events wait";

# others do not: each while that one waits
my @took;
for my $n (1 .. 5) {
    my $began = time;
    create($good, title => "other $n");
    wait_for(sub { history($good) == $n });
    push @took, time - $began;
    sleep 0.2;
}
# a machine that is busy may hold up one or two of them, and not for as long as that one waits
cmp_ok +(sort { $a <=> $b } @took)[2], '<', 0.75, 'events of others do not' or diag "@took";
is scalar(outbox($bad)), 2, '... although it still waits';

ok wait_for(sub { !outbox($weak) && !outbox($late) }, 15), 'one that works the third time is handled';
waits_are($weak, [1, 2], 'twice broken');
waits_are($late, [1, 2], 'and in between');
is types($weak), 'task.created task.completed task.created task.created', 'before the later one, and its effect after';
is scalar(rows('SELECT 1 FROM taskevents.tasks WHERE series_id = ?', $task{$weak}{series_id})), 2, 'once';
is scalar(letters($weak)), 0, 'nothing was given up on';

ok wait_for(sub { letters($bad) }, 15), 'one that never works is given up on';
waits_are($bad, [1, 2, 4], 'always broken');
# the publisher is woken at the time, and has to read the outbox: what it does unasked,
# about every second, would be later. Now and then it may meet a busy machine.
cmp_ok +(sort { $a <=> $b } @all_late)[3], '<', 0.25, '... each at its time, and not when somebody happens to look' or diag "@all_late";
ok wait_for(sub { !outbox($bad) }), 'the later ones go on then';
is types($bad), 'task.created task.created', 'without it';
my ($letter) = letters($bad);
my ($completed) = grep { $_->{type} eq 'task.completed' } events($bad);
is scalar(letters($bad)), 1, 'one dead letter';
is_deeply { map { $_ => $letter->{$_} } qw(stage topic attempts state source) },
    { stage => 'handle', topic => 'tasks', attempts => 4, state => 'open', source => '/taskevents/test' }, 'that says where and how often';
like $letter->{reason}, qr/this one is broken/, '... and why';
like $letter->{body}, qr/"type":"task\.completed"/, '... and has the event';
is scalar(rows('SELECT 1 FROM taskevents.tasks WHERE series_id = ?', $task{$bad}{series_id})), 1, 'it had no effect';

expect_log(qr/\[taskevents:alert\].*TE0401.*\(handle\)/, 'the dead letter');
finish();
