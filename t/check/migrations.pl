#!/usr/bin/env perl
# Migrations run while the service serves. Each gives up on a lock that it does
# not get soon, and none does to a table that is in use what makes others wait
# for the length of the table, or what an older build cannot live with, unless
# it says why that does no harm here:
#
#     -- online TABLE: the reason
#
# docs/upgrading.md has the rules in words.
use strict;
use warnings;

my $src = $ENV{TASKEVENTS_SRC} // '.';
my @plan = slurp("$src/migrations/sqitch.plan") =~ /^(\w+) /mg;
my @wrong;

# what waits, or is waited for, as long as the table is
my @slow = (
    ['an index that writers wait for (CONCURRENTLY)', qr/^CREATE (?:UNIQUE )?INDEX (?!CONCURRENTLY)/],
    ['dropping an index is waited for (CONCURRENTLY)', qr/^DROP INDEX (?!CONCURRENTLY)/],
    ['a constraint that reads the table (NOT VALID, and VALIDATE in a script of its own)',
        qr/^ALTER TABLE .*\bADD (?:CONSTRAINT \w+ )?(?:CHECK|FOREIGN KEY)(?!.*\bNOT VALID\b)/],
    ['a constraint that builds an index (USING INDEX)',
        qr/^ALTER TABLE .*\bADD (?:CONSTRAINT \w+ )?(?:PRIMARY KEY|UNIQUE|EXCLUDE)(?! USING INDEX)/],
    ['a table that is written anew', qr/^ALTER TABLE .*\bALTER (?:COLUMN )?\w+ (?:SET DATA )?TYPE\b/],
    ['a table that is read under the lock', qr/^ALTER TABLE .*\bSET NOT NULL\b/],
    ['a default of each row its own, so a table that is written anew',
        qr/^ALTER TABLE .*\bADD COLUMN [^,]* DEFAULT (?:gen_random_uuid|clock_timestamp|nextval|random)\b/],
    ['a generated column, so a table that is written anew', qr/^ALTER TABLE .*\bADD COLUMN [^,]* GENERATED\b/],
    ['many rows in one transaction', qr/^(?:UPDATE|DELETE)\b/],
    ['a lock', qr/^(?:LOCK|CLUSTER|REINDEX (?!.*CONCURRENTLY)|VACUUM FULL|TRUNCATE)\b/],
);
# what the build before this one may still use
my @taken = (
    ['a column that an older build uses', qr/^ALTER TABLE .*\bDROP COLUMN\b/],
    ['a table or function that an older build uses', qr/^DROP (?:TABLE|FUNCTION|SEQUENCE|VIEW|SCHEMA)\b/],
    ['a name that an older build uses', qr/^ALTER \w+ .*\bRENAME\b/],
);

for my $change (@plan) {
    for my $folder (qw(deploy revert)) {
        my $name = "$folder/$change.sql";
        my $text = slurp("$src/migrations/$name");
        my ($timeout) = $text =~ /^BEGIN;\nSET LOCAL lock_timeout = '(\d+)ms';$/m;
        push @wrong, "$name: after BEGIN comes SET LOCAL lock_timeout, 500ms at most\n"
            if !$timeout || $timeout > 500;
        next if $folder eq 'revert';
        push @wrong, map { "$name: $_\n" } faults($text);
    }
}
my %planned = map { ($_ => 1) } @plan;
push @wrong, map { m{([^/]+/(\w+)\.sql)$} && !$planned{$2} ? "$1 is not in sqitch.plan\n" : () }
    glob "$src/migrations/{deploy,revert,verify}/*.sql";
die @wrong, "\nSee docs/upgrading.md\n" if @wrong;
printf "%d migrations\n", scalar @plan;

sub faults
{
    my ($text) = @_;
    my %excused = map { ($_ => 1) } $text =~ /^-- online (\w+): \S/mg;
    my ($inside, %new, %held, @faults) = (0);
    for my $statement (statements($text)) {
        ($inside, %held) = (1) if $statement =~ /^BEGIN\b/;
        $inside = 0 if $statement =~ /^COMMIT\b/;
        $new{$1} = 1 if $statement =~ /^CREATE TABLE taskevents\.(\w+)/;
        push @faults, "CONCURRENTLY is not for a transaction: $statement"
            if $inside && $statement =~ /\bCONCURRENTLY\b/;
        my ($made) = $statement =~ /^CREATE (?:UNIQUE )?INDEX CONCURRENTLY (\w+)/;
        push @faults, "a try that was ended leaves $made behind: DROP INDEX CONCURRENTLY IF EXISTS comes before"
            if $made && $text !~ /^DROP INDEX CONCURRENTLY IF EXISTS taskevents\.\Q$made\E;/m;
        my ($table) = $statement =~ /^(?:.*?\bON |\w+ (?:\w+ )*?)taskevents\.(\w+)/;
        next if !$table || $new{$table} || $excused{$table};
        push @faults, 'two tables in use are locked in one transaction, and who has them in another order waits: '
            . join ' and ', sort keys %held if $statement =~ /^ALTER TABLE/ && !$held{$table}++ && keys %held > 1;
        push @faults, "$_->[0]: $statement" for grep { $statement =~ $_->[1] } @slow, @taken;
    }
    return @faults;
}

# Without comments and the bodies of functions, in one line each.
sub statements
{
    my ($text) = @_;
    $text =~ s/--[^\n]*//g;
    $text =~ s/\$(\w*)\$.*?\$\1\$/\$\$/gs;
    return grep { length } map { s/\s+/ /gr =~ s/^ | $//gr } split /;/, $text;
}

sub slurp
{
    open my $fh, '<', $_[0] or die "$_[0]: $!\n";
    local $/;
    return scalar <$fh>;
}
