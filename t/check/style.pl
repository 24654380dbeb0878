#!/usr/bin/env perl
# What can be counted: lines of at most 100 columns, no tabs and no blanks at
# the end, files of at most 900 lines, functions of at most 100.
use strict;
use warnings;
use File::Find;

my ($columns, $file_lines, $function_lines) = (100, 900, 100);
my $src = $ENV{TASKEVENTS_SRC} // '.';
my (@wrong, @files, $functions);

find({ no_chdir => 1, wanted => sub { push @files, $_ if /\.[ch]$/ } }, "$src/mod_taskevents", "$src/t/unit", "$src/t/fuzz");
die "no sources below $src\n" if !@files;
check($_) for sort @files;
die @wrong if @wrong;
printf "%d files, %d functions\n", scalar @files, $functions;

sub check
{
    my ($file) = @_;
    my $name = $file =~ s{^\Q$src\E/}{}r;
    my $begin;
    open my $fh, '<:encoding(UTF-8)', $file or die "$file: $!\n";
    while (my $line = <$fh>) {
        chomp $line;
        push @wrong, "$name:$.: over $columns columns\n" if length $line > $columns;
        push @wrong, "$name:$.: a tab\n" if $line =~ /\t/;
        push @wrong, "$name:$.: blanks at the end\n" if $line =~ /\s$/;
        # a body begins and ends in the first column
        if ($line eq '{') {
            $begin = $.;
            $functions++;
        }
        elsif ($line eq '}' && $begin) {
            push @wrong, "$name:$begin: a function of over $function_lines lines\n"
                if $. - $begin - 1 > $function_lines;
            $begin = 0;
        }
    }
    push @wrong, "$name: over $file_lines lines\n" if $. > $file_lines;
}
