# Each migration on a filled database, with readers and writers at work.
use v5.32;
use warnings;
use POSIX ();
use Test::More;
use Time::HiRes qw(sleep time);
use Upgrade;

# A request has 4.4 s for the database, and others wait in line behind it. No wait for a
# lock may take LOCKED: PostgreSQL ends it then, whatever else keeps a busy machine.
use constant { LONGEST => 4, LOCKED => 2 };
my $rows = $ENV{TASKEVENTS_ROWS} // 30_000;
my $dir = "$ENV{TASKEVENTS_RUN}/online";
system 'mkdir', '-p', $dir;

# The first schema that has all that the load below works with.
my @later = plan();
my $base = 'recurrence';
while (shift(@later) ne $base) { }
empty_database();
migrate_to($base);
fill($rows);
note sprintf '%d tasks, %d handled events, %d dead letters', map { db()->selectrow_array("SELECT count(*) FROM taskevents.$_") }
    qw(tasks processed_events dead_letters);

my @workers = (map({ start("write$_", \&write_something) } 1, 2), map({ start("read$_", \&read_something) } 1, 2));
sleep 2;
my %window = ('nothing' => [time - 2, time]);
for my $change (@later) {
    my $began = time;
    my ($status, $said) = patiently(sub { deploy_alone($change) });
    is $status, 0, "$change" or diag $said;
    $window{$change} = [$began, time];
}
# so that sqitch knows, too
is +(sqitch('deploy', '--log-only'))[0], 0, 'all of them are written down';

# Somebody holds the table that a migration wants.
my ($blocked) = grep { deploys_alter($_) } reverse @later;
my ($status, $said) = patiently(sub { sqitch('revert', '-y', '--to', "$blocked^") });
is $status, 0, "$blocked is taken back, for what follows" or diag $said;
my $holder = db();
$holder->begin_work;
$holder->selectrow_array('SELECT count(*) FROM taskevents.tasks WHERE id < 10');
my $began = time;
($status, $said) = sqitch('deploy', '--to', $blocked);
$window{'a table that somebody holds'} = [$began, time];
isnt $status, 0, "$blocked gives up while somebody holds the table";
like $said, qr/lock timeout/, '… after its patience';
is db()->selectrow_array(q{SELECT count(*) FROM information_schema.columns
    WHERE table_schema = 'taskevents' AND table_name = 'tasks' AND column_name = 'due_since'}), 0, '… and leaves nothing';
$began = time;
my $tried = 0;
($status, $said) = script(sub { $holder->rollback if $_[0] =~ /trying again/ && ++$tried == 1 });
$window{'… tried again until it is free'} = [$began, time];
is $status, 0, 'taskevents-migrate tries again until it is done' or diag $said;
ok $tried, '… and says so';

my @ops = map { stop($_) } @workers;
my @failed = grep { length $_->{error} } @ops;
is scalar(@failed), 0, 'none of ' . @ops . ' transactions failed' or diag $failed[0]{error};
for my $name ('nothing', @later, 'a table that somebody holds', '… tried again until it is free') {
    my ($from, $to) = @{ $window{$name} };
    my %longest = (read => 0, write => 0);
    for my $op (@ops) {
        next if $op->{end} < $from || $op->{start} > $to;
        my $took = $op->{end} - $op->{start};
        $longest{ $op->{kind} } = $took if $took > $longest{ $op->{kind} };
    }
    cmp_ok $longest{$_}, '<', LONGEST, "$name: nobody waits long to $_" for qw(read write);
    diag sprintf '%-28s %6.1f s; the longest read %4.0f ms, the longest write %4.0f ms', $name, $to - $from,
        map { 1000 * $longest{$_} } qw(read write);
}
done_testing;



# Does it change a table that is in use?
sub deploys_alter {
    open my $in, '<', root() . "/migrations/deploy/$_[0].sql" or die $!;
    return scalar grep { /^ALTER TABLE taskevents\.tasks\b/ } <$in>;
}

sub fill {
    my ($n) = @_;
    my $db = db();
    $db->do(q{INSERT INTO taskevents.tasks (id, user_id, title, description, due_date, tags, last_event_id, created_at, updated_at)
              SELECT g, 'user-' || g % 1000, 'Task number ' || g, repeat('words ', 20),
                     now() + (g % 1000) * interval '1 hour', ARRAY['home', 'tag' || g % 50],
                     gen_random_uuid(), now() - g * interval '1 second', now() FROM generate_series(1, ?::int) AS g}, undef, $n);
    $db->do(q{INSERT INTO taskevents.processed_events (source, event_id, user_id, position, type, task_id, event, outcome, processed_at)
              SELECT '/taskevents', gen_random_uuid()::text, 'user-' || g % 1000, g / 1000 + 1, 'task.created', g,
                     '{"time":"' || to_char(now() - g * interval '1 second', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') || '","data":"' || repeat('x', 400) || '"}',
                     'handled', now() - g * interval '1 second' FROM generate_series(1, ?::int) AS g}, undef, $n);
    $db->do(q{INSERT INTO taskevents.series SELECT gen_random_uuid(), 'user-' || g % 1000, 1, now(), 'UTC', 'daily'
              FROM generate_series(1, ?::int / 10) AS g}, undef, $n);
    $db->do(q{INSERT INTO taskevents.dead_letters (stage, event_id, body, body_size, reason, first_failed_at, last_failed_at)
              SELECT 'handle', g::text, 'x', 1, 'r', now(), now() FROM generate_series(1, ?::int / 100) AS g}, undef, $n);
    $db->do(q{INSERT INTO taskevents.streams SELECT 'user-' || g, 'tasks', 1 FROM generate_series(0, 999) AS g});
    $db->do("ANALYZE taskevents.$_") for qw(tasks processed_events series dead_letters streams);
}

# A process that does it again and again and writes down how long each took.
sub start {
    my ($name, $work) = @_;
    my $pid = fork // die "fork: $!";
    return { pid => $pid, name => $name } if $pid;

    my $stop = 0;
    local $SIG{TERM} = sub { $stop = 1 };
    open my $out, '>', "$dir/$name" or die "$name: $!";
    my $db = db();
    $db->do("SET lock_timeout = '" . LOCKED . "s'");
    my $n = 0;
    until ($stop) {
        my $start = time;
        my $done = eval { $work->($db, ++$n); 1 };
        my $error = $done ? '' : $@ =~ s/\s+/ /gr;
        eval { $db->rollback } if !$done && !$db->{AutoCommit};
        printf {$out} "%.4f %.4f %s\n", $start, time, $error;
        sleep 0.002;
    }
    close $out;
    POSIX::_exit(0);
}

sub stop {
    my ($worker) = @_;
    kill TERM => $worker->{pid};
    waitpid $worker->{pid}, 0;
    open my $in, '<', "$dir/$worker->{name}" or die "$worker->{name}: $!";
    return map {
        my ($start, $end, $error) = /^(\S+) (\S+) (.*)$/;
        { start => $start, end => $end, error => $error, kind => $worker->{name} =~ s/\d+//r }
    } <$in>;
}

# What a request and a delivery do, in words that each of the schemas knows.
sub write_something {
    my ($db, $n) = @_;
    my ($user, $id) = ('user-' . int rand 1000, 10_000_000 + $$ * 100_000 + $n);
    $db->begin_work;
    $db->do(q{INSERT INTO taskevents.tasks (id, user_id, title, last_event_id, created_at, updated_at)
              VALUES (?, ?, 'new', gen_random_uuid(), now(), now())}, undef, $id, $user);
    my ($sequence) = $db->selectrow_array(q{UPDATE taskevents.streams SET last = last + 1
        WHERE user_id = ? AND name = 'tasks' RETURNING last}, undef, $user);
    $db->do(q{INSERT INTO taskevents.outbox (user_id, topic, sequence, event_id, event)
              VALUES (?, 'tasks', ?, gen_random_uuid(), '{}')}, undef, $user, $sequence);
    $db->commit;
    $db->begin_work;
    $db->do(q{UPDATE taskevents.tasks SET title = 'changed', version = version + 1 WHERE id = ?}, undef, 1 + int rand $rows);
    $db->do(q{INSERT INTO taskevents.processed_events (source, event_id, user_id, type, event, outcome)
              VALUES ('/taskevents', gen_random_uuid()::text, NULL, 'task.created', '{}', 'handled')});
    $db->do('DELETE FROM taskevents.outbox WHERE user_id = ? AND sequence = ?', undef, $user, $sequence);
    $db->commit;
}

sub read_something {
    my ($db) = @_;
    my $user = 'user-' . int rand 1000;
    $db->selectall_arrayref(q{SELECT * FROM taskevents.tasks WHERE user_id = ?
        ORDER BY created_at DESC, id DESC LIMIT 50}, undef, $user);
    $db->selectall_arrayref(q{SELECT event FROM taskevents.processed_events WHERE user_id = ?
        ORDER BY position LIMIT 50}, undef, $user);
}
