#!/usr/bin/env perl
# Each folder includes only folders below it, and what knows PostgreSQL, httpd
# and HTTP stays in the folder that is there for it.
use strict;
use warnings;
use File::Find;

my $src = $ENV{TASKEVENTS_SRC} // '.';
my %may = (
    base  => [qw(base)],
    store => [qw(store base)],
    core  => [qw(core store base)],
    http  => [qw(http core store base)],
    ''    => [qw(http core store base)],
);
my (@wrong, $files);

find({ no_chdir => 1, wanted => \&look }, "$src/mod_taskevents");
die "no sources below $src/mod_taskevents\n" if !$files;
die @wrong if @wrong;
print "$files files include what they may\n";

sub look
{
    /\.[ch]$/ or return;
    my ($folder, $name) = m{/mod_taskevents/(?:(\w+)/)?([^/]+)$} or return;
    $folder //= '';
    $files++;
    open my $fh, '<', $_ or die "$_: $!\n";
    while (my $line = <$fh>) {
        my ($bracket, $header) = $line =~ /^\s*#\s*include\s*([<"])([^>"]+)[>"]/ or next;
        my $bad = $bracket eq '"' ? own($folder, $header) : foreign($folder, $header);
        push @wrong, "mod_taskevents/" . ($folder && "$folder/") . "$name:$.: $bad\n" if $bad;
    }
}

# "x.h", "../core/x.h", and "core/x.h" at the top
sub own
{
    my ($folder, $header) = @_;
    my $from = $header =~ m{^(?:\.\./)?(\w+)/} ? $1 : $folder;
    return if grep { $_ eq $from } @{ $may{$folder} // die "what is mod_taskevents/$folder?\n" };
    return "$folder/ may not include \"$header\"";
}

sub foreign
{
    my ($folder, $header) = @_;
    my $is_httpd = $header =~ m{^(?:httpd|ap_\w+|http_\w+|mod_\w+|scoreboard|mpm_common|util_\w+)\.h$};
    return "<$header> belongs to http/" if $is_httpd && $folder !~ /^(?:http|)$/;
    return "<$header> belongs to store/" if $header =~ m{^(?:libpq.*|postgres.*|apr_dbd.*)\.h$} && $folder ne 'store';
    return "<$header> belongs to base/" if $header =~ m{^curl/} && $folder ne 'base';
    return;
}
