# PostgreSQL drops every connection, again and again: nothing is made twice,
# nothing that was answered is lost, and the server comes back by itself.
use strict;
use warnings;
use utf8;
use Test::More;
use Time::HiRes qw(sleep time);
use TaskEvents::Test;

my $me = row('SELECT pg_backend_pid() AS pid')->{pid};
# They are gone when it returns.
sub drop_all
{
    my @pids = map { $_->{pid} } rows(q{SELECT pid, pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'});
    wait_for(sub { !row('SELECT count(*) AS n FROM pg_stat_activity WHERE pid = ANY(?)', \@pids)->{n} });
    return scalar @pids;
}

my $u = user('drop');
create($u);
for my $round (1 .. 5) {
    cmp_ok drop_all(), '>', 0, "round $round: every connection is gone";
    is request(POST => task_path($u), as => $u, json => { title => "after $round" })->{status}, 201, '… the next request does not notice';
    is request(GET => task_path($u), as => $u)->{status}, 200, '… nor the one after';
}
is_deeply [map { $_->{sequence} + 0 } events($u)], [1 .. 6], 'no gap, nothing twice';
ok wait_for(sub { history($u) == 6 }, 15), 'all handled';

# in the middle of it
my $v = user('drop-busy');
my %status;
my $dropper = fork // die $!;
if (!$dropper) {
    my $own = DBI->connect('dbi:Pg:', undef, undef, { RaiseError => 1 });
    for (1 .. 40) {
        $own->do('SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()
            AND pid NOT IN (pg_backend_pid(), ?) AND backend_type = \'client backend\'', undef, $me);
        sleep 0.05;
    }
    POSIX::_exit(0);
}
my $until = time + 2.5;
my @made;
while (time < $until) {
    for my $answer (at_once(map { [POST => task_path($v), as => $v, json => { title => 'x' }] } 1 .. 8)) {
        $status{ $answer->{status} }++;
        push @made, $answer->{json}{id} if $answer->{status} == 201;
    }
}
waitpid $dropper, 0;
note join ', ', map { "$_: $status{$_}" } sort keys %status;
is_deeply [grep { !/^(?:201|503)$/ } keys %status], [], 'under way: 201 or 503 and nothing else (' . join(', ', map { "$_ x $status{$_}" } sort keys %status) . ')';
my %stored = map { $_->{id} => 1 } rows('SELECT id FROM taskevents.tasks WHERE user_id = ?', $v);
is_deeply [grep { !$stored{$_} } @made], [], 'every task that was answered 201 is there';
cmp_ok abs(keys(%stored) - @made), '<=', $status{503} // 0, 'none was made twice';
my @events = events($v);
is scalar(@events), scalar(keys %stored), 'an event for each task';
is_deeply [map { $_->{sequence} + 0 } @events], [1 .. @events], 'without a gap';
ok wait_for(sub { history($v) == @events }, 20), 'all handled in the end';
is_deeply [map { $_->{event_id} } history($v)], [map { $_->{id} } @events], 'in order';
is row('SELECT count(*) AS n FROM taskevents.dead_letters WHERE user_id IN (?, ?)', $u, $v)->{n}, 0, 'nothing was given up on';
expect_log(qr/\[taskevents:error\].*TE0[125]0\d/, 'that connections were lost') if log_lines(qr/\[taskevents:error\].*TE0[125]0\d/);
finish();
