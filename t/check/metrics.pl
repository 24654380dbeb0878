#!/usr/bin/env perl
# Every metric of the table is in docs/metrics.md, with its type, its labels and
# its OpenTelemetry name, and the other way round.
use strict;
use warnings;

my $src = $ENV{TASKEVENTS_SRC} // '.';
my %type = (COUNTER => 'counter', HISTOGRAM => 'histogram', CHILD => 'gauge', BEAT => 'gauge', SAMPLE => 'gauge');
my (%has, %told, @wrong);
my $code = slurp("$src/mod_taskevents/base/metrics.c");
my %label = $code =~ /\[TE_LABEL_(\w+)\] = \{"([\w,]+)"/g;

my $table = slurp("$src/mod_taskevents/base/metrics_table.h");
while ($table =~ /^ +M\((\w+), "(\w+)", (\w+),\s(?:\\\n)?\s*(\w+),\s(?:\\\n)?\s*(\w+),\s/mg) {
    my ($id, $name, $kind, @labels) = ($1, "taskevents_$2", $3, $4, $5);
    push @wrong, "$name is in the table twice\n" if $has{$name};
    @labels = map { split /,/, $label{$_} // die "no label $_ in base/metrics.c\n" } grep { $_ ne 'NONE' } @labels;
    push @labels, 'child' if $kind eq 'CHILD' || $kind eq 'BEAT';
    $has{$name} = join ' ', $type{$kind} // "no kind $kind", @labels;
    push @wrong, "$name: a counter's name ends in _total, no other does\n"
        if ($kind eq 'COUNTER') != ($name =~ /_total$/);
    push @wrong, "$name: a histogram's name ends in _seconds\n" if $kind eq 'HISTOGRAM' && $name !~ /_seconds$/;
}
die "no metrics in base/metrics_table.h\n" if !%has;
my $lines = () = $table =~ /\bM\(\w+,/g;
die "a line of base/metrics_table.h was not understood\n" if $lines != keys %has;

my $doc = slurp("$src/docs/metrics.md");
while ($doc =~ /^\| `(taskevents_\w+)` \| (\w+) \|([^|]*)\| `[a-z]+(?:\.[a-z_]+)+` \| \S/mg) {
    my ($name, $type, $labels) = ($1, $2, $3);
    push @wrong, "$name is in docs/metrics.md twice\n" if $told{$name};
    $told{$name} = join ' ', $type, $labels =~ /`(\w+)`/g;
}
push @wrong, map { "$_ is not in docs/metrics.md\n" } grep { !$told{$_} } sort keys %has;
push @wrong, map { "$_ of docs/metrics.md is no metric\n" } grep { !$has{$_} } sort keys %told;
push @wrong, map { "$_: docs/metrics.md says '$told{$_}', it is '$has{$_}'\n" }
    grep { $told{$_} && $told{$_} ne $has{$_} } sort keys %has;

# the values of labels, too
for my $label (qw(outcome reason stage state thread chore effect)) {
    my @lists = $code =~ /\{"$label", VALUES\(([^)]*)\)/g or die "no label $label in base/metrics.c\n";
    push @wrong, map { "docs/metrics.md does not tell $label '$_'\n" }
        grep { $doc !~ /`\Q$_\E`/ } map { /"(\w+)"/g } @lists;
}
die @wrong if @wrong;
printf "%d metrics\n", scalar keys %has;

sub slurp
{
    open my $fh, '<', $_[0] or die "$_[0]: $!\n";
    local $/;
    return scalar <$fh>;
}
