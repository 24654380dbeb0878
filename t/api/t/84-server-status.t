# What httpd's own pages tell of the module: mod_status, as a page and for
# programs, and mod_info.
use strict;
use warnings;
use utf8;
use Test::More;
use TaskEvents::Test;

my $u = user('server-status');
my $get = sub { request(GET => $_[0], vhost => 'server_status') };
my $auto = sub {
    my %value = $get->('/server-status?auto')->{body} =~ /^TaskEvents(\w+): (.*)$/mg;
    return \%value;
};

# --- for programs

my $before = $auto->();
like $before->{Version}, qr/^\d+\.\d+\.\d+$/, '?auto tells the version';
is $before->{Transport}, 'local', '… and the transport';
create($u, title => 'counted <b>&amp;');
my $now;
# what was published is counted behind what was handled, a request behind its answer
ok wait_for(sub { $now = $auto->(); !grep { $now->{$_} <= $before->{$_} } qw(Handled Published Requests) }), 'an event that was handled is counted';
cmp_ok $now->{Requests}, '>', $before->{Requests}, '… and so is the request';
cmp_ok $now->{Published}, '>', $before->{Published}, '… and that the event was published';
is $now->{$_} - $before->{$_}, 0, "there is no change of $_"
    for qw(PublishFailures DeliveriesFailed DeadLetters PoolTimeouts);
cmp_ok $now->{Children}, '>=', 2, 'it is of all children';
is $now->{BreakersOpen}, 0, 'no breaker is open';
is $now->{ThreadsLate}, 0, 'no thread is stuck';
is $now->{PoolMax}, 16 * $now->{Children}, 'their pools are as large as configured';
cmp_ok $now->{PoolUsed} + $now->{PoolIdle}, '<=', $now->{PoolMax}, '… and no larger';
my @lines = grep { /TaskEvents/ } split /\n/, $get->('/server-status?auto')->{body};
is_deeply [grep { !/^TaskEvents\w+: [\w.]+$/ } @lines], [], 'each line is a name and a value';

# --- for people

my %running = map { $_ => 1 } server_children();
my $page = $get->('/server-status')->{body};
like $page, qr{<h1>mod_taskevents</h1>}, 'the page has a section';
my @rows = $page =~ m{<tr><td>\d+</td><td>(\d+)</td><td>closed</td><td>\d+</td>((?:<td>[^<]*</td>)+)</tr>}g;
my %told = @rows;
cmp_ok scalar keys %told, '>=', 2, '… with a row for each child';
is_deeply [grep { !$running{$_} } keys %told], [], '… that runs';
is_deeply [grep { !/^(<td>\d s ago<\/td>){3}<td>\d+ used, \d+ idle, 16 at most, 0 waiting<\/td>$/ } values %told], [],
    '… whose threads go on';
unlike $page, qr/counted/, 'no text of a user is in it';
my $list = $get->('/server-status?notable')->{body};
like $list, qr{<dt>Child \d+, pid \d+: breaker closed, .*publisher: \d s ago}, 'without tables it is a list';

# --- mod_info

my $info = $get->('/server-info?mod_taskevents.c')->{body};
$info =~ s/<[^>]*>//g;
like $info, qr/Module Name:\s*mod_taskevents\.c/, 'mod_info knows the module';
like $info, qr/TaskEventsEngine\s+On/, '… its configuration';
like $info, qr/TaskEventsPool\s+1 4 16/, '… with the values';
like $info, qr/TaskEventsRetention\s+-\s+\S/, '… and the directives, with a word about each';

# --- without them

my ($status, $said) = httpd_try(server_config(lines => '') =~ s/^LoadModule (?:status|info)_module.*\n//mgr, '-t');
is $status, 0, 'httpd takes the module without mod_status and mod_info' or diag $said;
finish();
