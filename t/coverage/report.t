#!/usr/bin/env perl
# The report of t/coverage judges what gcov says: each of its refusals, and what it
# accepts. Its own tests, without a build.
use strict;
use warnings;
use Test::More;
use File::Temp 'tempdir';
use FindBin;
use JSON::PP;

my $dir = tempdir(CLEANUP => 1);
my $FILE = 'mod_taskevents/base/it.c';
mkdir "$dir/mod_taskevents" or die $!;
mkdir "$dir/mod_taskevents/base" or die $!;
# each line says its own number, except two that are the same
my @lines = map { "    line $_;" } 1 .. 40;
@lines[11, 21] = ('    return NULL;') x 2;
write_file("$dir/$FILE", map { "$_\n" } @lines);

# report(REASONS, LINE => COUNT ...): lines 1 to 40 of one function are reached, except these.
sub report
{
    my ($reasons, %count) = @_;
    my $options = delete $count{options} // '';
    my @counted = map { { line_number => $_, function_name => 'te_it', count => $count{$_} // 3,
        branches => $_ == 1 ? [ { count => 3 }, { count => 0 } ] : [] } } 1 .. 40;
    write_file("$dir/counted.json", encode_json({ current_working_directory => $dir,
        files => [ { file => $FILE, lines => \@counted }, { file => 'stdio.h', lines => [] } ] }), "\n");
    write_file("$dir/reasons", $reasons);
    local $ENV{TASKEVENTS_COVERAGE_REASONS} = "$dir/reasons";
    my $said = qx($^X "$FindBin::Bin/report" $options "$dir/counted.json" 2>&1);
    return ($? >> 8, $said);
}

sub because { return "$FILE te_it" . ($_[1] // '') . "\n    $_[0]\nbecause nothing\ncan do that\n\n" }
sub sometimes { return because(@_) =~ s/because/sometimes/r }

my ($status, $said) = report('');
is $status, 0, 'all lines reached, no reasons: it is well';
like $said, qr/^all +lines 100\.0 % of +40, branches +50\.0 % of +2$/m, '… lines and branches of all are printed';
like $said, qr{^mod_taskevents/base +lines 100\.0 % of +40, branches +50\.0 % of +2$}m, '… and of each folder';

($status, $said) = report('', 5 => 0, 6 => 0);
is $status, 1, 'a block without a reason fails';
like $said, qr/no reason why not: \Q$FILE\E, te_it, lines 5 to 6:\n    line 5;/, '… and is shown';

is +(report(because('line 5;'), 5 => 0, 6 => 0))[0], 0, 'the reason of its first line is that of the whole block';
is +(report(because('line 6;'), 5 => 0, 6 => 0))[0], 1, '… that of a later line is not that of the lines before';
is +(report(because('line 5;'), 5 => 0, 7 => 0))[0], 1, '… nor is it that of a block behind lines that are reached';
is +(report(because('line 5;') . because('line 7;'), 5 => 0, 7 => 0))[0], 0, '… which has its own';

($status, $said) = report(because('line 5;'));
is $status, 1, 'a reason for what is reached fails';
like $said, qr/te_it: is reached:\n    line 5;/, '… and is shown';
is +(report(sometimes('line 5;')))[0], 0, '… but not if it is reached sometimes';
is +(report(sometimes('line 5;'), 5 => 0))[0], 0, '… and sometimes not';

($status, $said) = report(because('line 50;'));
is $status, 1, 'a reason for a line that is gone fails';
like $said, qr/there is no such line:\n    line 50;/, '… and is shown';
is +(report(sometimes('line 50;')))[0], 1, '… also if it was one of sometimes';

is +(report(because('return NULL;'), 12 => 0, 22 => 0))[0], 1, 'of two lines that say the same one has a reason: not the other';
is +(report(because('return NULL;', ' 2 times'), 12 => 0, 22 => 0))[0], 0, '… unless it says how many there are';
is +(report(because('return NULL;', ' 2 times'), 12 => 0))[0], 1, '… and there are as many';
is +(report(sometimes('return NULL;', ' 2 times'), 12 => 0))[0], 0, '… or sometimes fewer';
is +(report(sometimes('return NULL;'), 12 => 0, 22 => 0))[0], 1, '… but never more';

is +(report(because('line 1;'), map { $_ => 0 } 1 .. 4))[0], 0, '90 % of the lines are enough';
($status, $said) = report(because('line 1;'), map { $_ => 0 } 1 .. 5);
is $status, 1, 'fewer are not';
like $said, qr/^coverage: fewer lines than 90 %$/m, '… and that is said';

is +(report(because('line 1;'), options => '--tell', map { $_ => 0 } 1 .. 5))[0], 1, '… also when it is only to tell';
($status, $said) = report(because('line 6;'), options => '--tell', 5 => 0);
is $status, 0, 'a block without a reason, and a reason without one, are told then';
like $said, qr/no reason why not: .*te_it: is reached/s, '… both';

isnt +(report("$FILE te_it\n    line 5;\n\n", 5 => 0))[0], 0, 'a place without a reason is not one';
isnt +(report("line 5 because\n", 5 => 0))[0], 0, 'what is not understood is not skipped';

done_testing;

sub write_file { my ($name, @text) = @_; open my $file, '>', $name or die "$name: $!"; print {$file} @text; close $file or die $! }
