#!/usr/bin/env perl
# Every log code of the sources is in docs/log-codes.md and the other way round.
# A code has one meaning: used twice, its text starts alike.
use strict;
use warnings;
use File::Find;

my $src = $ENV{TASKEVENTS_SRC} // '.';
my $doc = "$src/docs/log-codes.md";
my (%used, %texts, @wrong);

find({ no_chdir => 1, wanted => sub { read_source($_) if /\.[ch]$/ } }, "$src/mod_taskevents");
die "no log codes below $src/mod_taskevents\n" if !%used;
for my $code (sort keys %texts) {
    my %starts = map { first_words($_) => 1 } @{ $texts{$code} };
    push @wrong, "$code has more than one meaning:\n" . join('', map { "    $_ ...\n" } sort keys %starts)
        if keys %starts > 1;
}
if (-e $doc) {
    my %told;
    open my $fh, '<', $doc or die "$doc: $!\n";
    while (my $line = <$fh>) {
        # the code that a row or a heading is about comes first in it
        $told{$1}++ if $line =~ /^\s*(?:\|\s*|#+\s*|[-*]\s*)?[`*"]*(TE\d{4})\b/;
    }
    push @wrong, map { "$_ ($used{$_}) is not in docs/log-codes.md\n" } grep { !$told{$_} } sort keys %used;
    push @wrong, map { "$_ of docs/log-codes.md is nowhere in the sources\n" } grep { !$used{$_} } sort keys %told;
    push @wrong, map { "$_ is in docs/log-codes.md $told{$_} times\n" } grep { $told{$_} > 1 } sort keys %told;
}
else {
    print "there is no docs/log-codes.md yet\n";
}
die @wrong if @wrong;
printf "%d codes\n", scalar keys %used;

sub read_source
{
    my ($file) = @_;
    open my $fh, '<', $file or die "$file: $!\n";
    my $text = do { local $/; <$fh> };
    $text =~ s{/\*.*?\*/}{ $& =~ tr/\n//cdr }gse;
    # "TE0501: text" of httpd's macros, "TE0501", "text" of te_log
    while ($text =~ /"(TE\d{4})((?:"\s*,\s*"|:\s*)((?:[^"\\]|\\.|"\s*")*))?/g) {
        my ($code, $words) = ($1, $3);
        $used{$code} //= $file =~ s{.*/mod_taskevents/}{}r;
        push @{ $texts{$code} }, $words =~ s/"\s*"//gr if defined $words && length $words;
    }
}

sub first_words
{
    my @words = split ' ', $_[0];
    return join ' ', grep { defined } @words[0 .. 2];
}
