#!/usr/bin/env perl
# A test that nobody runs proves nothing: each START_TEST is added to its case
# once, and each case runs in one of the programs.
use strict;
use warnings;

my $src = $ENV{TASKEVENTS_SRC} // '.';
my @files = glob("$src/t/unit/*_test.c");
my $mains = join '', map { slurp($_) } "$src/t/unit/main.c", "$src/t/unit/db_main.c";
my (@wrong, $tests);

die "no tests below $src/t/unit\n" if !@files;
for my $file (@files) {
    my ($name) = $file =~ m{([^/]+)$};
    my $text = slurp($file);
    my (%written, %added);
    $written{$_}++ for $text =~ /START_TEST\(\s*(\w+)\s*\)/g;
    $added{$_}++ for $text =~ /tcase_add_\w*test\w*\(\s*\w+\s*,\s*(\w+)/g;
    $tests += keys %written;
    push @wrong, map { "$name: $_ is not run\n" } grep { !$added{$_} } sort keys %written;
    push @wrong, map { "$name: $_ is run twice\n" } grep { $added{$_} > 1 } sort keys %added;
    for my $case ($text =~ /^TCase \*(\w+)\(void\)/mg) {
        push @wrong, "$name: no program runs $case\n" if $mains !~ /\b$case\b/;
    }
    push @wrong, "$name is not in Makefile.am\n" if slurp("$src/Makefile.am") !~ m{\bt/unit/\Q$name\E\b};
}
die @wrong if @wrong;
printf "%d tests in %d files\n", $tests, scalar @files;

sub slurp
{
    open my $fh, '<', $_[0] or die "$_[0]: $!\n";
    local $/;
    return scalar <$fh>;
}
