# A build waits for a schema that is too old: it answers 503, takes no event and
# does no half work; it serves as soon as it was migrated, without a restart.
use v5.32;
use warnings;
use Test::More;
use TaskEvents::Stack;
use Upgrade;

my ($before) = (plan())[-2];
empty_database();
log_mark();
ctl(httpd => 'start');
attach();
my $user = new_user('waits');
my $url = stack('TASKEVENTS_URL');
my @children;
eventually(30, sub { (@children = children()) >= 2 });    # StartServers

ok eventually(30, sub { log_has(qr/TE0204.*version 0/) }), 'without a schema: the log says it, before anybody asks';
waits('without a schema', 0);

migrate_to($before);
my $version = db()->selectrow_array('SELECT taskevents.schema_version()');
waits("migrated up to $before", $version);

migrate_to();
ok eventually(30, sub { ready()->{status} == 200 }), 'ready after the rest of the migrations';
my $made;
ok eventually(30, sub { ($made = api($user, POST => 'tasks', { title => 'first' }))->{status} == 201 }), 'a task is made';
is scalar(tasks($user)), 1, '… the only one: what was answered 503 was not done';
ok eventually(30, sub { deliver(tasks => event())->{status} == 200 }), 'an event is handled';
ok log_has(qr/TE0205/), 'the log says that it goes on';
is_deeply [children()], \@children, 'and no child was started for it';

my ($status, $said) = patiently(sub { sqitch('revert', '-y', '--to', $before) });
is $status, 0, 'the last migration is taken back under the service' or diag $said;
ok eventually(30, sub { ready()->{status} == 503 }), 'it is not ready';
waits('taken back', $version);
migrate_to();
ok eventually(30, sub { api($user, POST => 'tasks', { title => 'second' })->{status} == 201 }), 'and serves again';
is scalar(tasks($user)), 2, 'with nothing half done';
ctl(httpd => 'stop');
done_testing;

sub ready {
    return HTTP::Tiny->new(timeout => 10)->get("$url/readyz");
}

# The children that have said that they wait, and not yet that they go on.
sub waiting {
    my %waits;
    for (log_lines()) {
        $waits{$1} = $2 == 204 if /\[pid (\d+).*\bTE(0204|0205)\b/;
    }
    return grep { $waits{$_} } keys %waits;
}

# Each child notices for itself; none does any of it meanwhile.
sub waits {
    my ($when, $found) = @_;
    ok eventually(30, sub {
        my %waits = map { $_ => 1 } waiting();
        return !grep { !$waits{$_} } children();
    }), "$when: each child waits";
    is api($user, GET => 'tasks')->{status}, 503, '… tasks are not read';
    my $answer = api($user, POST => 'tasks', { title => 'too early' });
    is $answer->{status}, 503, '… none is made';
    like $answer->{json}{detail}, qr/migrations/, '… and the answer says why';
    my $ready = TaskEvents::Stack::json()->decode(ready()->{content});
    is $ready->{schema_version}, $found, "… /readyz has version $found";
    like $ready->{detail}, qr/run the migrations/, '… and what to do';
    is deliver(tasks => event())->{status}, 500, '… an event is for later';
    my $health = HTTP::Tiny->new(timeout => 10)->get("$url/healthz");
    is $health->{status}, 200, '… the child is well';
}

my $n;

sub event {
    return {
        specversion => '1.0', id => sprintf('00000000-0000-4000-8000-%012d', ++$n), source => '/elsewhere',
        type => 'somebody.spoke', subject => 'x', datacontenttype => 'application/json', data => {},
    };
}
