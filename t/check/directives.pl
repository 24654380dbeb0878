#!/usr/bin/env perl
# Every directive of the module is in docs/directives.md and the other way
# round.
use strict;
use warnings;

my $src = $ENV{TASKEVENTS_SRC} // '.';
my $doc = "$src/docs/directives.md";
my $code = slurp("$src/mod_taskevents/http/directives.c");
my %has = map { $_ => 1 } $code =~ /AP_INIT_\w+\(\s*"(\w+)"/g;
die "no directives in http/directives.c\n" if !%has;
if (!-e $doc) {
    print "there is no docs/directives.md yet\n";
    exit 0;
}
my %told;
# a heading, or a row of a table, that begins with the name
$told{$_} = 1 for slurp($doc) =~ /^\s*(?:#+|\||[-*])\s*[`*"]*(TaskEvents\w+)/mg;
my %named = map { $_ => 1 } slurp($doc) =~ /\b(TaskEvents[A-Z]\w*)/g;
my @wrong = (
    (map { "$_ is not in docs/directives.md\n" } grep { !$told{$_} } sort keys %has),
    (map { "$_ of docs/directives.md is no directive\n" } grep { !$has{$_} } sort keys %named),
);
die @wrong if @wrong;
printf "%d directives\n", scalar keys %has;

sub slurp
{
    open my $fh, '<', $_[0] or die "$_[0]: $!\n";
    local $/;
    return scalar <$fh>;
}
