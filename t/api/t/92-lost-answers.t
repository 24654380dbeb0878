# A thousand connections are cut while tasks are made, changed, completed and
# deleted: what was answered 2xx is true, nothing is done twice, no stream has a gap.
use strict;
use warnings;
use utf8;
use Test::More;
use Time::HiRes qw(sleep time);
use TaskEvents::Test;

my $CUTS = 1000;
my $LONGEST = 120;
my ($true, $false) = (JSON::PP::true, JSON::PP::false);
my $me = row('SELECT pg_backend_pid() AS pid')->{pid};
my $json = JSON::PP->new->canonical;
my @children_before = server_children();

# Each with a user of its own, so that it knows what must be; and some who change
# each other's tasks.
my @alone = map { user("lost$_") } 1 .. 4;
my $shared = user('lost-shared');
my @shared_tasks = map { create($shared, title => "shared $_")->{id} } 1 .. 3;

# One worker: asks and writes down what was answered, until told to stop.
sub work
{
    my ($name, $user, $own) = @_;
    my ($end, $n, @tasks) = (0, 0, $own ? () : @shared_tasks);
    local $SIG{TERM} = sub { $end = 1 };
    open my $log, '>', root() . "/lost.$name" or die $!;
    my $ask = sub {
        my ($op, $method, $id, $member, @headers) = @_;
        my $path = task_path($user, defined $id ? ($id, $op eq 'complete' ? 'complete' : ()) : ());
        my $a = eval { request($method => $path, as => $user, $member ? (json => $member) : (), headers => \@headers, timeout => 20) } // { status => 0 };
        my $task = ref $a->{json} eq 'HASH' && $a->{json}{version} ? $a->{json} : undef;
        print {$log} $json->encode({ op => $op, status => $a->{status} + 0, id => $task ? $task->{id} : $id, member => $member, key => $headers[1],
            task => $task, seen => $op eq 'delete' && $id > 9e18 ? 'never' : '' }), "\n";
        return $a->{status} =~ /^2/ ? $task // 1 : undef;
    };
    until ($end) {
        my $nonce = "$name-" . ++$n;
        my $id = $tasks[rand @tasks];
        my $what = rand;
        if ($own && (@tasks < 3 || $what < 0.2)) {
            my $task = $ask->(create => 'POST', undef, { title => $nonce, rand() < 0.2 ? (is_recurring => $true, recurring_interval => 'daily') : () });
            push @tasks, $task->{id} if $task;
        }
        elsif ($own && $what < 0.4) {
            # until it is answered: the same key, and once
            for (1 .. 5) {
                my $task = $ask->(keyed => 'POST', undef, { title => $nonce }, 'Idempotency-Key' => $nonce) or next;
                push @tasks, $task->{id};
                last;
            }
        }
        elsif ($what < 0.7) { $ask->(patch => 'PATCH', $id, { title => $nonce, rand() < 0.3 ? (completed => rand() < 0.5 ? $true : $false) : () }) }
        elsif ($what < 0.9) {
            $ask->(complete => 'POST', $id, { completed => rand() < 0.5 ? $true : $false }, rand() < 0.5 ? ('Idempotency-Key' => $nonce) : ());
        }
        elsif ($own && $what < 0.95) {
            $ask->(delete => 'DELETE', $id);
            @tasks = grep { $_ != $id } @tasks;         # whatever came of it
        }
        else { $ask->(delete => 'DELETE', 9223372036854775000 - int rand 1000) }     # never was there
    }
    close $log;
}

my @workers;
for my $worker ((map { [$_, $alone[$_], 1] } 0 .. $#alone), map { ["shared$_", $shared, 0] } 1 .. 3) {
    my $pid = fork // die $!;
    if (!$pid) { work(@$worker); POSIX::_exit(0) }
    push @workers, $pid;
}
# those that are at work, and a few that are not
my ($cut, $until) = (0, time + $LONGEST);
while ($cut < $CUTS && time < $until) {
    $cut += row(q{SELECT count(pg_terminate_backend(pid)) AS n FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend' AND random() < CASE state WHEN 'idle' THEN 0.02 ELSE 0.4 END})->{n};
    sleep 0.005;
}
kill TERM => @workers;
waitpid $_, 0 for @workers;
cmp_ok $cut, '>=', $CUTS, sprintf '%d connections were cut in %.1f s', $cut, $LONGEST - ($until - time);

my %asked;
for my $name (0 .. $#alone, map { "shared$_" } 1 .. 3) {
    push @{ $asked{ $name =~ /shared/ ? $shared : $alone[$name] } },
        map { { %{ $json->decode($_) }, who => $name } } split /\n/, TaskEvents::Test::read_file(root() . "/lost.$name");
    unlink root() . "/lost.$name";
}
my %status;
$status{"$_->{op} $_->{status}"}++ for map { @$_ } values %asked;
note join ', ', map { "$_ x $status{$_}" } sort keys %status;
is_deeply [grep { !/ (?:200|201|204|404|503)$/ && !/^(?:keyed|complete) 409$/ } sort keys %status], [], 'answered in the end, or 503: nothing else'
    or diag join ', ', map { "$_ x $status{$_}" } sort keys %status;
cmp_ok scalar(map { @$_ } values %asked), '>', 300, 'so much was asked';

for my $user (@alone, $shared) {
    ok wait_for(sub { !outbox($user) }, 30), "$user: all is handled in the end";
    my @events = events($user);
    my @all = @{ $asked{$user} };
    is_deeply [map { $_->{sequence} + 0 } @events], [1 .. @events], '… the stream has no gap';
    is_deeply [map { $_->{event_id} } history($user)], [map { $_->{id} } @events], '… and was handled in order';

    # a version is one change, and told once: by one event, or by two of one PATCH
    my (%events_of, @twice, @skipped, @wrong);
    push @{ $events_of{ $_->{data}{task_id} } }, $_ for @events;
    my %now = map { $_->{id} => $_ } rows('SELECT id, version, title, completed FROM taskevents.tasks WHERE user_id = ?', $user);
    for my $id (keys %events_of) {
        my ($last, %told) = (0);
        for my $event (@{ $events_of{$id} }) {
            my $version = $event->{type} eq 'task.deleted' ? $last : $event->{data}{task}{version};
            push @twice, "$id $event->{type} $version" if $told{"$event->{type} $version"}++;
            push @skipped, "$id $last -> $version" if $version != $last && $version != $last + 1;
            push @skipped, "$id goes on behind its end" if $told{deleted};
            $told{deleted} = 1 if $event->{type} eq 'task.deleted';
            $last = $version;
        }
        my $task = delete $now{$id};
        push @wrong, "$id is " . ($told{deleted} ? 'deleted' : "at $last") . ', not ' . ($task ? "at $task->{version}" : 'there')
            if $told{deleted} ? $task : !$task || $task->{version} != $last;
    }
    is_deeply \@twice, [], '… no change is told twice';
    is_deeply \@skipped, [], '… no version is missing';
    is_deeply \@wrong, [], '… the tasks are where their events say';
    is_deeply [keys %now], [], '… and no task is without';

    # who asked for a title once got it at most once, and exactly once if told so
    my %titles;
    for my $event (@events) {
        my $title = $event->{type} eq 'task.created' && $event->{data}{origin} eq 'user' ? $event->{data}{task}{title} : ($event->{data}{changes} // {})->{title};
        $title = $title->{new} if ref $title;
        push @{ $titles{$title} }, $event if defined $title;
    }
    is_deeply [grep { @{ $titles{$_} } > 1 } sort keys %titles], [], '… nothing was done twice';
    my @untrue;
    for my $asked (@all) {
        my ($op, $status, $task) = @$asked{qw(op status task)};
        my $lie = sub { push @untrue, "$op $asked->{id} answered $status: $_[0] " . $json->encode($asked) };
        if ($op eq 'delete' && $asked->{seen} eq 'never') {
            $lie->('it never was there') if $status == 204;
            next;
        }
        next if $status !~ /^2/;
        my @told = @{ $events_of{ $asked->{id} } // [] };
        if ($op eq 'delete') {
            $lie->('no event') if !grep { $_->{type} eq 'task.deleted' } @told;
            next;
        }
        my ($version) = grep { $_->{type} ne 'task.deleted' && $_->{data}{task}{version} == $task->{version} } reverse @told;
        if (!$version) { $lie->('no event of its version'); next }
        $lie->('another task than was told') if $json->encode($version->{data}{task}) ne $json->encode($task);
        my $title = ($asked->{member} // {})->{title};
        if (defined $title) {
            $lie->('its change is not told') if !$titles{$title};
            $lie->('another title') if $task->{title} ne $title;
        }
        $lie->('not as asked') if exists $asked->{member}{completed} && !$asked->{member}{completed} != !$task->{completed};
    }
    is_deeply \@untrue, [], '… every answer of success is true (' . grep({ $_->{status} =~ /^2/ } @all) . ')';
    # one who works alone is never told 404 of a task that he did not delete
    my (%deleted, @lost);
    for my $asked ($user eq $shared ? () : grep { defined $_->{id} && $_->{id} < 9e18 } @all) {
        push @lost, $json->encode($asked) if $asked->{status} == 404 && !$deleted{ $asked->{id} };
        $deleted{ $asked->{id} } = 1 if $asked->{op} eq 'delete';
    }
    is_deeply \@lost, [], '… no task is lost';
    my %by_key;
    $by_key{ $_->{key} }{ $_->{id} } = 1 for grep { $_->{op} eq 'keyed' && $_->{status} == 201 } @all;
    is_deeply [grep { keys %{ $by_key{$_} } > 1 } keys %by_key], [], '… a key is one task';
}

# no connection is left inside a transaction, none was handed on in one
ok wait_for(sub { !row(q{SELECT count(*) AS n FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND state LIKE 'idle in transaction%'})->{n} }, 5),
    'no connection is left inside a transaction';
is request(POST => task_path($shared), as => $shared, json => { title => 'after it' })->{status}, 201, 'the first request after it';
is_deeply [server_children()], \@children_before, 'no child died';
is row('SELECT count(*) AS n FROM taskevents.dead_letters WHERE user_id = ANY(?)', [@alone, $shared])->{n}, 0, 'nothing was given up on';
my $known = qr/TE0(?:202|50[1-4])\b|TE0507: .*(?:not connected|connection|terminat|in time)/;
my @faults = grep { !/$known/ } log_lines(qr/\[taskevents:(?:error|crit|alert|emerg)\]/);
is_deeply \@faults, [], 'the log tells of lost connections and nothing worse';
expect_log(qr/\[taskevents:error\].*$known/, 'that connections were lost') if log_lines(qr/\[taskevents:error\].*$known/);
finish();
