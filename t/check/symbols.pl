#!/usr/bin/env perl
# The module exports its module record and nothing else: all httpd modules
# share one name space.
use strict;
use warnings;

my $module = $ENV{TASKEVENTS_MODULE} // die "TASKEVENTS_MODULE: the module as built\n";
die "$module is not there: run make first\n" if !-e $module;
open my $nm, '-|', 'nm', '-D', '--defined-only', $module or die "nm: $!\n";
# What sanitizers and gcov put into every object is not ours.
my @names = grep { !/^(?:__(?:asan|ubsan|tsan|odr_asan|sanitizer|gcov|llvm)|_(?:init|fini)$|__bss_start$|_edata$|_end$)/ }
    map { (split)[-1] } <$nm>;
close $nm or die "nm failed\n";
my $got = join ' ', sort @names;
die "exported: $got\nwanted:   taskevents_module\n" if $got ne 'taskevents_module';
print "exports taskevents_module only\n";
