# New tasks that come together are written together, and tasks are looked up together:
# nobody waits long for another, nothing is lost, nothing is done twice, and each has
# his own.
use strict;
use warnings;
use utf8;
use IO::Select;
use POSIX ();
use Test::More;
use Time::HiRes qw(sleep time);
use TaskEvents::Test;

# POSTs of these users at the same moment: their answers
sub post_at_once { return at_once(map { [POST => task_path($_), as => $_, json => { title => "of $_" }] } @_) }
sub made
{
    my ($u, $n) = @_;
    is row('SELECT count(*) AS n FROM taskevents.tasks WHERE user_id = ?', $u)->{n}, $n, "$u: tasks";
    my @events = events($u);
    is_deeply [map { $_->{sequence} + 0 } @events], [1 .. $n], '… their events, without a gap';
}

# a child that has made one has task ids for more
create(user('group-warm')) for 1 .. 8;
my $transactions = 0;
for my $round (1 .. 3) {
    my @users = map { user("group$round-$_") } 1 .. 10;
    my @answers = post_at_once(map { @users } 1 .. 3);
    is_deeply [map { $_->{status} } @answers], [(201) x 30], "round $round: 30 POSTs at once are all answered";
    is scalar(keys %{ { map { $_->{json}{id} => 1 } @answers } }), 30, '… with a task each';
    is_deeply [grep { $_->{json}{title} ne 'of ' . $_->{json}{user_id} } @answers], [], '… that of its user';
    $transactions += row('SELECT count(DISTINCT xmin::text) AS n FROM taskevents.tasks WHERE user_id = ANY(?)', \@users)->{n};
    made($_, 3) for @users;
}
cmp_ok $transactions, '<', 90, "90 tasks in $transactions transactions";

# looked up at the same moment, each task by its user and by somebody else
my @users = map { user("group-read-$_") } 1 .. 5;
my @ids = map { create($_)->{id} } @users;
for my $round (1 .. 3) {
    my @asked = map { my $n = $_; map { [$n, $_] } 0 .. 4 } 0 .. 4;
    my @answers = at_once(map { [GET => task_path($users[$_->[0]], $ids[$_->[1]]), as => $users[$_->[0]]] } @asked);
    is_deeply [map { $_->{status} } @answers], [map { $_->[0] == $_->[1] ? 200 : 404 } @asked],
        "round $round: 25 GETs at once, and nobody has another's task";
    is_deeply [map { $_->{json}{id} } grep { $_->{status} == 200 } @answers], \@ids, '… each his own';
}

# one user's stream is locked by somebody
my $tries = 0;
sub locked_out
{
    my ($seconds, $status, $name) = @_;
    my ($slow, @users, @told, @took, $held, $answers);
    # Who waits for a lock does so for 2 s. When the machine stood still while it was to be
    # held for one, the answer says nothing: then all of it is done again.
    for my $left (2, 1, 0) {
        ++$tries;
        ($slow, @users) = map { user("group-$status-$tries-$_") } 0 .. 8;
        create($slow);
        @told = @took = ();
        my $holder = db()->clone;
        $holder->begin_work;
        $holder->selectall_arrayref('SELECT 1 FROM taskevents.streams WHERE user_id = ? AND name = ? FOR UPDATE', undef, $slow, 'tasks');
        pipe my $read, my $write or die $!;
        my $since = time;
        my $pid = fork // die $!;
        if (!$pid) {
            my @answers = post_at_once($slow, @users[0 .. 3]);
            print {$write} join ' ', map { $_->{status} } @answers;
            close $write;
            POSIX::_exit(0);
        }
        close $write;
        my ($until, $answered) = (time + $seconds, IO::Select->new($read));
        # who is to give up has done so, however late he came
        while (time < $until || $status != 201 && time < $until + 30 && !$answered->can_read(0)) {
            my $start = time;
            push @told, request(POST => task_path($users[4]), as => $users[4], json => { title => 'meanwhile' })->{status};
            push @took, time - $start;
        }
        $holder->rollback;
        $held = time - $since;
        $holder->disconnect;
        $answers = <$read>;
        waitpid $pid, 0;
        last if $status != 201 || $held < 1.8;
        note sprintf 'held for %.1f s: again', $held;
    }
    is $answers, "$status 201 201 201 201", "$name: $status, and 201 for those who came with him";
    is_deeply [grep { $_ != 201 } @told], [], '… while others are served (' . @told . ')';
    # who waits for the lock himself waits for 2 s, and so do all who come after him: one of
    # them alone may have met a busy machine
    my (undef, $longest) = sort { $b <=> $a } @took, 0;
    cmp_ok $longest, '<', 1.9, sprintf '… in %.2f s at most, but for one', $longest;
    made($_, 1) for @users[0 .. 3];
    made($users[4], scalar @told);
    made($slow, $status == 201 ? 2 : 1);
    is request(POST => task_path($slow), as => $slow, json => { title => 'after' })->{status}, 201, '… and then he is served too';
}
locked_out(1, 201, 'a user whose stream is locked for a second');
locked_out(3.5, 503, 'one whose stream stays locked');
finish();
