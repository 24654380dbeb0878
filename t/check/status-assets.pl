#!/usr/bin/env perl
# http/status_assets.c is what http/status.css and http/status.js make of it.
# With --write it is made anew.
use strict;
use warnings;
use Digest::SHA 'sha256_base64';

my $folder = ($ENV{TASKEVENTS_SRC} // '.') . '/mod_taskevents/http';
my $target = "$folder/status_assets.c";
my $style = packed(slurp("$folder/status.css"));
my $script = packed(slurp("$folder/status.js"));
my $policy = join '; ', "default-src 'none'", 'style-src ' . digest($style), 'script-src ' . digest($script),
    q{img-src data:}, q{connect-src 'self'}, q{form-action 'self'}, q{base-uri 'none'}, q{frame-ancestors 'none'};
my $text = <<"END";
/* Made from status.css and status.js by t/check/status-assets.pl --write; do
 * not edit. */
#include "status_assets.h"

const char te_status_style[] =
@{[literals($style)]}

const char te_status_script[] =
@{[literals($script)]}

const char te_status_policy[] =
@{[literals($policy)]}
END

if (@ARGV && $ARGV[0] eq '--write') {
    open my $out, '>', $target or die "$target: $!\n";
    print $out $text;
    close $out or die "$target: $!\n";
}
die "$target is not what t/check/status-assets.pl --write makes: run it\n" if slurp($target) ne $text;
printf "%d bytes of style, %d of script\n", length $style, length $script;

# Without what only a reader of the source needs: comments that stand alone,
# indentation, empty lines.
sub packed
{
    my ($source) = @_;
    die "only ASCII in the assets\n" if $source =~ /[^\x20-\x7e\n]/;
    $source =~ s{^ *(?://.*|/\*.*?\*/) *$}{}gm;
    $source =~ s/^ +//gm;
    $source =~ s/\n{2,}/\n/g;
    return $source =~ s/^\n//r;
}

sub digest { my $digest = sha256_base64($_[0]); return "'sha256-$digest" . '=' x (-length($digest) % 4) . "'" }

# Lines of string literals, none split inside an escape, each line of the
# source a line at least.
sub literals
{
    my ($source) = @_;
    my @lines;
    for my $line ($source =~ /[^\n]*\n|[^\n]+/g) {
        my $now = '';
        for my $char (split //, $line) {
            # two question marks could begin a trigraph
            my $escaped = $char eq "\n" ? '\n' : $char =~ /["\\?]/ ? "\\$char" : $char;
            if (length($now) + length($escaped) > 73) {
                push @lines, $now;
                $now = '';
            }
            $now .= $escaped;
        }
        push @lines, $now;
    }
    return join("\n", map { qq{    "$_"} } @lines) . ';';
}

sub slurp
{
    open my $fh, '<', $_[0] or die "$_[0]: $!\n";
    local $/;
    return scalar <$fh>;
}
