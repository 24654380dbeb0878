# A graceful restart and a killed child while requests come in: no request fails,
# no event is lost, and the stream goes on without a gap.
use strict;
use warnings;
use utf8;
use Test::More;
use Time::HiRes qw(sleep time);
use TaskEvents::Test;

my $pid = TaskEvents::Test::read_file(root() . '/t/logs/httpd.pid') + 0;
sub children { return map { m{/(\d+)/} } grep { my $is; if (open my $f, '<', $_) { $is = (<$f> // '') =~ /\) \S $pid / } $is } glob '/proc/[0-9]*/stat' }

# Makes tasks one after the other until told to stop: how many, and what failed.
sub hammer
{
    my ($user) = @_;
    pipe my $read, my $write or die $!;
    my $child = fork // die $!;
    if (!$child) {
        close $read;
        my ($made, $end, @failed) = (0, 0);
        local $SIG{TERM} = sub { $end = 1 };
        until ($end) {
            my $a = eval { request(POST => task_path($user), as => $user, json => { title => 'under way' }) } // { status => "no connection: $@" };
            $a->{status} eq '201' ? $made++ : push @failed, $a->{status};
        }
        print {$write} join ' ', $made, map { s/\s+/_/gr } @failed;
        close $write;
        POSIX::_exit(0);
    }
    close $write;
    return sub { kill TERM => $child; my ($made, @failed) = split / /, do { local $/; <$read> }; waitpid $child, 0; return ($made, @failed) };
}

# Until that many more of the user's tasks are there.
sub wait_made
{
    my ($user, $more) = @_;
    my $count = sub { return row('SELECT count(*) AS n FROM taskevents.tasks WHERE user_id = ?', $user)->{n} };
    my $enough = $count->() + $more;
    return wait_for(sub { $count->() >= $enough });
}

# read once here: each that is forked would take its time to
TaskEvents::Test::vhost('oidc');

for my $case (['a graceful restart', sub { kill USR1 => $pid }], ['another', sub { kill USR1 => $pid }]) {
    my ($name, $do) = @$case;
    my $u = user('restart-' . $name =~ tr/a-z//cdr);
    my %before = map { $_ => 1 } children();
    my $stop = hammer($u);
    sleep 1;
    wait_made($u, 11);
    $do->();
    ok wait_for(sub { my @now = children(); @now >= 2 && !grep { $before{$_} } @now }, 20), "$name: other children serve";
    sleep 0.5;
    wait_made($u, 11);
    my ($made, @failed) = $stop->();
    cmp_ok $made, '>', 20, "$name: $made tasks were made meanwhile";
    is_deeply \@failed, [], '… and no request failed';
    is_deeply [map { $_->{sequence} + 0 } events($u)], [1 .. $made], '… an event each, without a gap';
    ok wait_for(sub { history($u) == $made }), '… all handled';
    is_deeply [map { $_->{event_id} } history($u)], [map { $_->{id} } events($u)], '… in order';
}

# a child is killed: whatever it had in hand, what was committed is published
my $u = user('kill');
my $stop = hammer($u);
for my $round (1 .. 3) {
    sleep 0.7;
    wait_made($u, 6);
    my ($victim) = children();
    kill KILL => $victim;
}
sleep 1.5;
wait_made($u, 6);
my ($made, @failed) = $stop->();
cmp_ok $made, '>', 20, "three children were killed while $made tasks were made";
cmp_ok scalar @failed, '<=', 3, '… at most the request that each had in hand failed' or diag "@failed";
my @events = events($u);
is_deeply [map { $_->{sequence} + 0 } @events], [1 .. @events], '… the stream has no gap';
cmp_ok scalar @events, '>=', $made, '… and an event for every task that was answered';
is scalar(@events), row('SELECT count(*) AS n FROM taskevents.tasks WHERE user_id = ?', $u)->{n}, '… and for every task there is';
ok wait_for(sub { history($u) == @events }), '… all handled by the others';
is_deeply [map { $_->{event_id} } history($u)], [map { $_->{id} } @events], '… in order';
finish();
