package Upgrade;

# What the tests of upgrading share: the migrations, one at a time.

use v5.32;
use warnings;

use Cwd ();
use DBI;
use Exporter qw(import);
use File::Basename qw(dirname);
use Time::HiRes qw(sleep time);

our @EXPORT = qw(root db sqitch patiently deploy_alone plan migrate_to empty_database log_mark log_lines log_has script);

my $ROOT = Cwd::realpath(dirname(__FILE__) . '/../../..');
my $DSN = $ENV{TASKEVENTS_TEST_DSN} // die "run me by ./dev test upgrade\n";

sub root { $ROOT }

sub db {
    return DBI->connect("dbi:Pg:$DSN", undef, undef,
        { RaiseError => 1, PrintError => 0, AutoCommit => 1, pg_enable_utf8 => 1 });
}

# output_of COMMAND...: (exit status, what it said); the sub sees each line as it
# comes.
sub output_of {
    my ($watch, @command) = @_;
    my $pid = open(my $out, '-|') // die "fork: $!";
    if (!$pid) {
        open STDERR, '>&', \*STDOUT;
        open STDIN, '<', '/dev/null';
        $ENV{SQITCH_FULLNAME} = 'mod_taskevents test';
        $ENV{SQITCH_EMAIL} = 'test@taskevents.example';
        exec @command or die "$command[0]: $!";
    }
    my $said = '';
    while (my $line = <$out>) {
        $watch->($line);
        $said .= $line;
    }
    close $out;
    return ($? >> 8, $said);
}

sub sqitch {
    my ($verb, @rest) = @_;
    return output_of(sub { }, "$ROOT/migrations/with-dsn", $DSN, 'sqitch', $verb, '--chdir', "$ROOT/migrations", @rest, 'db:pg:');
}

# What the sub says once nobody had a lock that it wanted; as taskevents-migrate, which
# tries again.
sub patiently {
    my ($migrate) = @_;
    my ($status, $said);
    for (1 .. 20) {
        ($status, $said) = $migrate->();
        last if !$status || $said !~ /lock timeout/;
        sleep 1;
    }
    return ($status, $said);
}

# The script of a change as sqitch runs it, without sqitch's own seconds.
sub deploy_alone {
    my ($change) = @_;
    return output_of(sub { }, 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-d', $DSN, '-f', "$ROOT/migrations/deploy/$change.sql");
}

# The command that packages install, on the migrations of this checkout.
sub script {
    my ($watch) = @_;
    return output_of($watch, 'env', "TASKEVENTS_MIGRATIONS=$ROOT/migrations", 'sh', "$ROOT/migrations/taskevents-migrate.in", $DSN);
}

sub migrate_to {
    my ($change) = @_;
    my ($status, $said) = patiently(sub { sqitch('deploy', '--verify', defined $change ? ('--to', $change) : ()) });
    die "sqitch: $said" if $status;
}

# The names of the changes, in their order.
sub plan {
    open my $in, '<', "$ROOT/migrations/sqitch.plan" or die "sqitch.plan: $!";
    return map { /^(\w+) / ? $1 : () } <$in>;
}

sub empty_database {
    my $db = db();
    local $db->{AutoInactiveDestroy} = 1;
    $db->do('SET client_min_messages = error');
    $db->do("DROP SCHEMA IF EXISTS $_ CASCADE") for qw(taskevents sqitch);
}

my $mark = 0;
sub log_file { "$ENV{TASKEVENTS_RUN}/log/httpd.log" }
sub log_mark { $mark = -s log_file() // 0; return }

# What httpd has logged since the mark.
sub log_lines {
    open my $in, '<', log_file() or return;
    seek $in, $mark, 0;
    return <$in>;
}

sub log_has {
    my ($what) = @_;
    return scalar grep { $_ =~ $what } log_lines();
}

1;
