package Migrations;

# What the migration tests share. The PG* environment names the database.

use strict;
use warnings;
use Exporter 'import';
use DBI;

our @EXPORT = qw(connect_db migrations sqitch schema_dump psql_script);

sub migrations { $ENV{TASKEVENTS_MIGRATIONS} or die "run me by t/migrations/run\n" }

sub connect_db
{
    return DBI->connect('dbi:Pg:', undef, undef,
        { RaiseError => 1, PrintError => 0, AutoCommit => 1, pg_enable_utf8 => 1 });
}

# sqitch('deploy') -> (exit status, output)
sub sqitch
{
    my ($command, @rest) = @_;
    my $pid = open my $out, '-|';
    defined $pid or die "fork: $!";
    if (!$pid) {
        open STDERR, '>&', \*STDOUT;
        chdir migrations() or die "migrations: $!";
        exec 'sqitch', $command, @rest, 'db:pg:';
        die "sqitch: $!";
    }
    my $text = do { local $/; <$out> };
    close $out;
    return ($? >> 8, $text);
}

# Everything in the database except sqitch's own registry, as SQL.
sub schema_dump
{
    open my $dump, '-|', qw(pg_dump --schema-only --exclude-schema=sqitch) or die "pg_dump: $!";
    # comments and the random \restrict key of newer releases differ each time
    my $text = join '', grep { !/^(?:--|\\(?:un)?restrict)/ } <$dump>;
    close $dump or die 'pg_dump failed';
    return $text;
}

# Runs a script with psql, as sqitch would: (exit status, output).
sub psql_script
{
    my ($script) = @_;
    require File::Temp;
    my $file = File::Temp->new(SUFFIX => '.sql');
    print {$file} $script;
    close $file;
    my $text = qx{psql -X -q -v ON_ERROR_STOP=1 -f $file 2>&1};
    return ($? >> 8, $text);
}

1;
